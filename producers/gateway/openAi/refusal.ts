import { type AppError, ERROR_CODES, type ErrorCode, type RateLimitHit } from "#shared/contracts/errors.ts";
import type { OpenAiErrorReply } from "#shared/contracts/openAi.ts";

/** Why a call gets no answer, in OpenAI's words. */
export interface Refusal {
  readonly status: number;
  readonly error: OpenAiErrorReply["error"];
  /** Whether the same call may succeed later. */
  readonly isRetryable: boolean;
}
export interface Refused {
  /** It is the request's stored outcome: its id gives it for ever. */
  readonly isOutcome: boolean;
  /** The client did not choose the request's id, so a repeated call is another request. */
  readonly isIdOurs: boolean;
}

const MAY_BE_ACCEPTED: ReadonlySet<string | null> = new Set<ErrorCode>(["accept_unknown", "outcome_pending"]);
/** Pure. Whether a client that repeats by itself should: not where that fails again, or asks and pays a second time. */
export function shouldRepeat({ isRetryable, error }: Refusal, { isOutcome, isIdOurs }: Refused): boolean {
  if (!isRetryable) return false;
  return isOutcome ? isIdOurs : !(isIdOurs && MAY_BE_ACCEPTED.has(error.code));
}

export const badCall = (code: string, message: string, param: string | null, status = 400): Refusal =>
  ({ status, error: { message, type: "invalid_request_error", param, code }, isRetryable: false });

/** Pure. A spent budget is a 429 here, as OpenAI's is, so that clients have a class for it. `kind`: of the rate limit that ran out. */
export function refusalOf({ code, message }: { readonly code: ErrorCode; readonly message: string }, kind: RateLimitHit["kind"] = "requests"): Refusal {
  const { httpStatus, retryable } = ERROR_CODES[code];
  const status = code === "budget_exceeded" ? 429 : httpStatus;
  if (code === "rate_limited") return { status, error: { message, type: kind, param: null, code: "rate_limit_exceeded" }, isRetryable: retryable };
  return { status, error: { message, type: typeOf(code, status), param: null, code }, isRetryable: retryable };
}
export const refusalOfError = ({ code, publicMessage, limit }: AppError): Refusal => refusalOf({ code, message: publicMessage }, limit?.kind);

/** What is told to a client whose pieces turned out not to be the answer. */
export const STREAM_BROKEN: Refusal["error"] = { message: "the answer that was kept is not the one that was streamed: ask again with the same request_id for it", type: "server_error", param: null, code: "stream_broken" };

function typeOf(code: ErrorCode, status: number): string {
  if (code === "budget_exceeded") return "insufficient_quota";
  if (code === "cancelled" || status === 502) return "api_error";
  if (status === 504) return "timeout";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly code: string | undefined;
  readonly message: string;
  /** Of `unrecognized_keys`. */
  readonly keys?: readonly string[] | undefined;
  /** Of `invalid_union`: what each of its kinds says, with paths from there on. */
  readonly errors?: readonly (readonly Issue[])[] | undefined;
}
/** Pure. What a schema said of a body, of which OpenAI's shape names the first problem. */
export function refusalOfIssues([outer]: readonly Issue[]): Refusal {
  if (outer === undefined) return badCall("invalid_value", "the request is not valid", null);
  const first = innermost(outer);
  const [unknown] = first.keys ?? [];
  const param = paramOf(unknown === undefined ? first.path : [...first.path, unknown]);
  if (first.code === "unrecognized_keys") return badCall("unknown_parameter", `Unknown parameter: '${param ?? ""}'.`, param);
  if (/received undefined/.test(first.message)) return badCall("missing_required_parameter", `Missing required parameter: '${param ?? "body"}'.`, param);
  return badCall(first.code === "invalid_type" ? "invalid_type" : "invalid_value", `Invalid '${param ?? "body"}': ${first.message}`.slice(0, 500), param);
}

/** Of the kinds that a value may have, what the one says that understood most of it. */
function innermost(issue: Issue): Issue {
  const [deepest] = (issue.errors ?? []).flatMap(([inner]) => inner ?? []).toSorted((a, b) => b.path.length - a.path.length);
  return deepest === undefined || deepest.path.length === 0 ? issue : innermost({ ...deepest, path: [...issue.path, ...deepest.path] });
}

/** `messages[0].role`. */
function paramOf(path: readonly PropertyKey[]): string | null {
  const text = path.map((key) => (typeof key === "number" || /^\d+$/.test(String(key)) ? `[${String(key)}]` : `.${String(key)}`)).join("");
  return text === "" ? null : text.replace(/^\./, "").slice(0, 200);
}
