/** Whether and when a call is tried again. Pure. */
import type { InferError } from "./inferError.ts";

/** A try that failed. */
export type Failure = Pick<InferError, "code" | "status" | "retryable" | "retryAfterMs">;
export interface Tries {
  /** The one that failed included. */
  readonly made: number;
  readonly most: number;
  /** Until the call must be over, and until the request's deadline, counted from the first try; `null`: it names none. */
  readonly leftMs: number;
  readonly leftToDeadlineMs: number | null;
  /** In [0, 1). */
  readonly random: number;
}
export type NextTry = { readonly kind: "try"; readonly afterMs: number } | { readonly kind: "give_up"; readonly why: "not_retryable" | "tries" | "timeout" | "deadline" };

const FIRST_MS = 250;
const LONGEST_MS = 8_000;

/** A request keeps its id, so that a try after one that was accepted is no second request. */
export function afterFailure(failure: Failure, { made, most, leftMs, leftToDeadlineMs, random }: Tries): NextTry {
  if (!isRetried(failure)) return { kind: "give_up", why: "not_retryable" };
  if (made >= most) return { kind: "give_up", why: "tries" };
  const jitterMs = random * Math.min(LONGEST_MS, FIRST_MS * 2 ** (made - 1));
  const afterMs = Math.round((failure.retryAfterMs ?? 0) + jitterMs);
  if (afterMs >= leftMs) return { kind: "give_up", why: "timeout" };
  if (leftToDeadlineMs !== null && afterMs >= leftToDeadlineMs) return { kind: "give_up", why: "deadline" };
  return { kind: "try", afterMs };
}

function isRetried({ code, status, retryable }: Failure): boolean {
  if (!retryable || ITS_LAST.has(code)) return false;
  return status === null || status >= 500 || status === 408 || status === 429 || IN_PROGRESS.has(code);
}
/** The pieces of a stream are with the caller; and time that is over does not come back. */
const ITS_LAST: ReadonlySet<string> = new Set(["stream_broken", "timeout"]);
const IN_PROGRESS: ReadonlySet<string> = new Set(["idempotency_in_progress"]);

const FIRST_LOOK_MS = 100;
const LONGEST_LOOK_MS = 5_000;
/** Between two looks for an outcome: what the service asks for, or ever longer; a little spread. `looks` made before. */
export const nextLookMs = (looks: number, retryAfterMs: number | null, random: number): number =>
  Math.round(Math.max(retryAfterMs ?? 0, Math.min(LONGEST_LOOK_MS, FIRST_LOOK_MS * 1.5 ** (looks - 1))) * (1 + random / 5));
