/** An audit event of whatever version and origin, as the one that this release knows. Pure. */
import { compiled } from "#shared/contracts/compiled.ts";
import { describeIssues } from "#shared/contracts/describeIssues.ts";
import { Completion } from "#shared/contracts/events.ts";
import { isNewer } from "#shared/messaging/newerVersion.ts";

import type { Unreadable } from "./auditSource.ts";

const CURRENT = "completion.v1";
/**
 * How an event of each version becomes one of the next, until it is of the current one. There has been one version so far, which gained optional
 * fields: `ABSENT` says what an event without them means, and nothing is filled in.
 */
const UPCASTS: ReadonlyMap<string, (event: object) => object> = new Map();

/** What it means that an event of version 1 does not have a field: it is older than the field, or the rest of this line. Every optional field is here. */
export const ABSENT: Readonly<Record<string, string>> = {
  message: "an answer of one text, or none",
  cache: "it was made for this request",
  key_id: "it came without an API key",
  input_sha256: "the request could not be read",
  input: "the tenant's retention has no prompts stored: it can be decided again, and not be run again",
  webhook: "no webhook endpoint is told",
  latency_slo_ms: "the request asked for no latency",
  experiment: "it was in none, or which arm chose its policy is not known",
  terms: "which limits it asked for is not known: its decisions cannot be made again",
  "attempts.replica": "the tier has one backend",
  "attempts.first_token_ms": "it was not streamed",
  "attempts.uncapped_cost_nano_usd": "it cost no more than it was quoted at",
  "attempts.rates": "nothing was charged, or at which price is not known",
  "attempts.charges": "one price alone",
  "attempts.checks": "no call was made to learn how sure the answer is",
  "attempts.usage.cached_input_tokens": "not told",
  "attempts.usage.cache_write_input_tokens": "not told",
  "attempts.usage.reasoning_output_tokens": "not told",
  "attempts.usage.unpriced_tokens": "all tokens have a price",
  "attempts.usage.is_clamped": "what was told can be",
  "attempts.usage.reported": "what was told can be, or nothing was",
  "decisions.tier_file": "which tier file decided is not known: it cannot be decided again",
  "decisions.facts.quotes.input_tokens": "not known: cost alone",
  "decisions.facts.quotes.tokens_source": "not known",
  "decisions.facts.min_within_slo": "`min_on_time` counts",
  "decisions.facts.pacing": "no paced budget",
  "decisions.facts.budget_left": "no budget over several requests stood in the way",
  "decisions.learned": "no routing model was active",
  "decisions.learned.lambda_source": "the floor",
  "decisions.draw": "nothing was drawn: another policy than `random`",
  "decisions.exploration": "the choice was certain: a propensity of 1",
};

export type ReadEvent = { readonly completion: Completion } | Pick<Unreadable, "why" | "what">;

export function readAuditEvent(value: unknown): ReadEvent {
  if (typeof value !== "object" || value === null || !("type" in value) || typeof value.type !== "string") return { why: "unknown_type", what: "it has no type" };
  const { type } = value;
  if (isNewer(type, CURRENT)) return { why: "newer_version", what: `${type} is of a later release than this one, which reads ${CURRENT}` };
  if (type !== CURRENT && !UPCASTS.has(type)) return { why: "unknown_type", what: `${JSON.stringify(type.slice(0, 64))} is no audit event` };
  const read = compiled(Completion).safeParse(upcast(value as { type: string }));
  return read.success ? { completion: read.data } : { why: "invalid", what: describeIssues(read.error) };
}

function upcast(event: { readonly type: string }): object {
  const step = UPCASTS.get(event.type);
  return step === undefined ? event : upcast(step(event) as { type: string });
}
