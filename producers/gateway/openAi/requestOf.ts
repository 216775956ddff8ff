/** A chat completion as OpenAI's clients ask for it, as a request of ours. Pure: what is wrong with it comes back as a value. */
import { cacheControlOf } from "#shared/cache/cacheControl.ts";
import { type ChatCompletionBody, OptimizerControls } from "#shared/contracts/openAi.ts";
import { InferBody } from "#shared/contracts/request.ts";
import { storable } from "#shared/contracts/text.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";

import { IdempotencyKey } from "../idempotencyKey.ts";
import { policyOf } from "./models.ts";
import { badCall, type Refusal, refusalOfIssues } from "./refusal.ts";

export type Asked = { readonly kind: "asked"; readonly body: InferBody } | { readonly kind: "refused"; readonly refusal: Refusal };
export interface Door {
  readonly tierFile: Pick<TierFile, "tiers" | "embedders" | "baseline_tier">;
  /** Budget of a request that names none, in USD. */
  readonly budgetUsd: number;
}
/** Names in lower case, as node has them. */
export type Headers = Readonly<Record<string, string | string[] | undefined>>;

const PREFIX = "x-optimizer-";
const TENANT = `${PREFIX}tenant`;
const KEY = "idempotency-key";
/** Without a key that says it. */
export const DEFAULT_TENANT = "default";
const DEFAULT_USER = "anonymous";

/** What both of OpenAI's APIs say beside the conversation. */
interface Common {
  readonly model: string;
  readonly stream?: boolean | null | undefined;
  readonly user?: string | null | undefined;
  readonly metadata?: ChatCompletionBody["metadata"];
  readonly optimizer?: OptimizerControls | undefined;
}
type Path = readonly PropertyKey[];

export function requestOf(body: ChatCompletionBody, headers: Headers, door: Door): Asked {
  const limit = body.max_completion_tokens ?? body.max_tokens;
  if (body.max_tokens != null && limit !== body.max_tokens) return refused(badCall("invalid_value", "max_tokens and max_completion_tokens differ: name one of them", "max_tokens"));
  if (body.top_logprobs != null && body.logprobs !== true) return refused(badCall("invalid_value", "top_logprobs needs logprobs: true", "top_logprobs"));
  return asking(body, chatOf(body, limit), headers, door, chatNames);
}

/** `chat` is read here by its own schema; `namesOf` gives where a caller wrote what lies at a path of it. */
export function asking(body: Common, chat: object, headers: Headers, door: Door, namesOf: (path: Path) => Path): Asked {
  const chosen = policyOf(body.model, door.tierFile);
  return chosen === null ? refused(noSuchModel(body.model)) : askingBy(chosen.policy, body, { chat }, headers, door, namesOf);
}

export const noSuchModel = (model: string): Refusal => badCall("model_not_found", `The model '${storable(model)}' does not exist: GET /v1/models lists all of them`, "model", 404);

/** As `asking`, of a policy that was chosen already. */
export function askingBy(policy: string | null, body: Omit<Common, "model">, question: { readonly chat: object } | { readonly embed: object }, headers: Headers, { budgetUsd }: Door, namesOf: (path: Path) => Path): Asked {
  const controls = controlsOf(body.optimizer ?? {}, headers);
  if ("error" in controls) return refused(controls);

  const { budget_usd, ...rest } = controls;
  const parsed = InferBody.safeParse(withoutUnset({
    ...rest,
    tenant_id: one(headers[TENANT]),
    user_id: body.user || DEFAULT_USER,
    budget: budget_usd ?? budgetUsd,
    metadata: body.metadata,
    policy,
    cache_control: cacheControlOf(controls.cache_control, one(headers["cache-control"])),
    stream: body.stream === true ? true : null,
    ...question,
  }));
  return parsed.success ? { kind: "asked", body: parsed.data } : refused(refusalOfIssues(parsed.error.issues.map(({ path, ...issue }) => ({ ...issue, path: ourNames(path, namesOf) }))));
}

export const refused = (refusal: Refusal): Asked => ({ kind: "refused", refusal });

function chatOf(body: ChatCompletionBody, max_output_tokens: number | null | undefined) {
  const { messages, tools, tool_choice, parallel_tool_calls, response_format, temperature, top_p, frequency_penalty, presence_penalty, stop, seed, logprobs, top_logprobs, reasoning_effort } = body;
  return withoutUnset({
    messages, tools, tool_choice, parallel_tool_calls, response_format, max_output_tokens,
    temperature, top_p, frequency_penalty, presence_penalty, stop, seed, logprobs, top_logprobs, reasoning_effort,
  });
}

export const withoutUnset = (fields: Readonly<Record<string, unknown>>) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined));

const chatNames = (path: Path): Path => (path[0] === "max_output_tokens" ? ["max_completion_tokens"] : path.length === 0 ? ["messages"] : path);

/** Of the request as we call it, to what the caller wrote. */
function ourNames(path: Path, namesOf: (path: Path) => Path): Path {
  const [first, ...rest] = path;
  if (first === "chat" || first === "embed") return namesOf(rest);
  if (first === "user_id") return ["user"];
  if (first === "tenant_id") return [TENANT];
  return first === "metadata" ? path : ["optimizer", ...path];
}

/** Headers and body say the same, or only one of them says it. */
function controlsOf(inBody: OptimizerControls, headers: Headers): OptimizerControls | Refusal {
  const inHeaders: Record<string, unknown> = {};
  for (const [header, value] of Object.entries(headers)) {
    if (!header.startsWith(PREFIX) || header === TENANT) continue;
    const name = header.slice(PREFIX.length).replaceAll("-", "_");
    if (!(name in OptimizerControls.shape)) return badCall("unknown_parameter", `Unknown header: '${header}'.`, header);
    inHeaders[name] = valueOf(name, one(value) ?? "");
  }
  const parsed = OptimizerControls.safeParse(inHeaders);
  if (!parsed.success) return refusalOfIssues(parsed.error.issues.map(({ path, ...issue }) => ({ ...issue, path: [`${PREFIX}${String(path[0]).replaceAll("_", "-")}`] })));
  const key = IdempotencyKey.optional().safeParse(one(headers[KEY]));
  if (!key.success) return refusalOfIssues(key.error.issues.map((issue) => ({ ...issue, path: [KEY] })));
  const sources: readonly OptimizerControls[] = [inBody, parsed.data, key.data === undefined ? {} : { request_id: key.data }];
  const found: Record<string, unknown> = {};
  for (const [name, value] of sources.flatMap((source) => Object.entries(source))) {
    if (value === undefined) continue;
    if (name in found && found[name] !== value) return badCall("invalid_value", `${name} is given twice and differs`, `optimizer.${name}`);
    found[name] = value;
  }
  return found; // each value was read by its schema
}

const NUMBERS: ReadonlySet<string> = new Set(["budget_usd", "min_quality", "deadline_ms", "latency_slo_ms"]);
function valueOf(name: string, text: string): unknown {
  if (NUMBERS.has(name)) return text.trim() === "" ? text : Number(text);
  if (name === "explain" || name === "webhook") return text === "true" ? true : text === "false" ? false : text;
  return text;
}

const one = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);
