/**
 * Events as lines of the ledger. Pure, and the same event always gives the same lines, so a redelivered one is booked once. The charged lines of a
 * completion add up to its cost; what an attempt cost beyond what was charged is nobody's but the service's. What cost nothing has no line.
 */
import type { Attempt, Completion, DeadLetter } from "#shared/contracts/events.ts";
import { isCharged, type LineKind } from "#shared/contracts/ledger.ts";
import { type NanoUsd, nanoUsd } from "#shared/contracts/money.ts";
import type { ShadowEvent } from "#shared/contracts/shadow.ts";
import type { ledger, ledgerRequests } from "#shared/db/schema/books.ts";

export type Line = typeof ledger.$inferInsert;
export type BookedRequest = typeof ledgerRequests.$inferInsert;

type Common = Pick<Line, "tenant_id" | "request_id" | "at" | "stream" | "stream_seq"> & Partial<Pick<Line, "user_id" | "key_id" | "policy" | "is_to_answer_tier" | "is_to_answer_model">>;
type Paid = Pick<Line, "tier" | "model" | "cost_nano_usd" | "cost_is_partial">;

const iso = (epochMs: number) => new Date(epochMs).toISOString();
const lineOf = ({ user_id = null, key_id = null, policy = null, is_to_answer_tier = false, is_to_answer_model = false, ...common }: Common, kind: LineKind, part: string, { tier, model, cost_nano_usd, cost_is_partial }: Paid): Line[] =>
  cost_nano_usd === 0 ? [] : [{ ...common, user_id, key_id, policy, is_to_answer_tier, is_to_answer_model, kind, part, tier, model, cost_nano_usd, cost_is_partial, is_charged: isCharged(kind) }];

/** `streamSeq`: its place in COMPLETIONS. */
export function linesOfCompletion({ tenant_id, request_id, user_id, key_id, policy, tier, model, attempts, decisions, accepted_at_ms }: Completion, streamSeq: number): Line[] {
  const ofRequest = { tenant_id, request_id, user_id, key_id: key_id ?? null, policy, at: iso(accepted_at_ms), stream: "COMPLETIONS", stream_seq: streamSeq };
  const explored = new Set(decisions.flatMap(({ step, exploration, after_attempt }) => (step.kind === "run" && exploration?.is_explored === true ? [after_attempt + 1] : [])));
  return attempts.flatMap((attempt) => {
    const checked = checksCost(attempt);
    const part = String(attempt.attempt);
    const common = { ...ofRequest, is_to_answer_tier: attempt.tier === tier, is_to_answer_model: attempt.model === model };
    return [
      ...lineOf(common, explored.has(attempt.attempt) ? "exploration" : "attempt", part, { ...attempt, cost_nano_usd: nanoUsd(attempt.cost_nano_usd - checked) }),
      ...lineOf(common, "verification", part, { ...attempt, cost_nano_usd: nanoUsd(checked) }),
      ...lineOf(common, "waste", `${part} beyond its quote`, { ...attempt, cost_nano_usd: nanoUsd((attempt.uncapped_cost_nano_usd ?? attempt.cost_nano_usd) - attempt.cost_nano_usd) }),
    ];
  });
}

/** They are part of the attempt's cost. */
const checksCost = ({ checks = [], cost_nano_usd }: Attempt): number => Math.min(cost_nano_usd, checks.reduce((sum, check) => sum + check.cost_nano_usd, 0));

/** `streamSeq`: its place in COMPLETIONS; `lines`: those of this completion. */
export const bookedRequestOf = ({ tenant_id, request_id, user_id, key_id, policy, tier, model, outcome, cache, baseline_tier, baseline_cost_nano_usd, attempts, latency_ms, latency_slo_ms, error, accepted_at_ms }: Completion, streamSeq: number, lines: readonly Line[]): BookedRequest => ({
  tenant_id, request_id, user_id, key_id: key_id ?? null, policy, tier, model, outcome, baseline_tier, baseline_cost_nano_usd,
  cache: cache?.kind ?? null,
  cost_is_partial: attempts.some(({ cost_is_partial }) => cost_is_partial),
  paid_nano_usd: sumOf(lines),
  paid_to_answer_tier_nano_usd: sumOf(lines.filter(({ is_to_answer_tier }) => is_to_answer_tier)),
  paid_to_answer_model_nano_usd: sumOf(lines.filter(({ is_to_answer_model }) => is_to_answer_model)),
  at: iso(accepted_at_ms),
  attempted: attempts.map((one) => one.tier).join(","),
  latency_ms,
  latency_slo_ms: latency_slo_ms ?? null,
  error_code: error?.code ?? null,
  stream_seq: streamSeq,
});

const sumOf = (lines: readonly Line[]): NanoUsd => nanoUsd(lines.reduce((sum, { cost_nano_usd }) => sum + cost_nano_usd, 0));

/** `streamSeq`: its place in SHADOWS. A tier that answered the request itself is on the completion's lines. */
export function linesOfShadow(event: ShadowEvent, streamSeq: number): Line[] {
  const { tenant_id, request_id, at_ms } = event;
  const common = { tenant_id, request_id, at: iso(at_ms), stream: "SHADOWS", stream_seq: streamSeq };
  switch (event.type) {
    case "shadow.v1": return event.tiers.filter(({ is_shadow }) => is_shadow).flatMap((call) => lineOf({ ...common, policy: event.policy }, "shadow", call.tier, call));
    case "shadow_tier.v1": return event.is_shadow ? lineOf(common, "shadow", event.tier, event) : [];
    case "cache_audit.v1": return lineOf(common, "cache_audit", event.tier, event);
  }
}

/**
 * `streamSeq`: its place in DEAD_LETTERS. The run itself is what the line is known by, not the letter: a letter may be written twice, and
 * two workers may each have paid for a run of one job.
 */
export function linesOfLetter({ tenant_id, request_id, late_attempt }: DeadLetter, streamSeq: number): Line[] {
  if (late_attempt === null || tenant_id === null || request_id === null) return [];
  const { attempt, tier, started_at_ms, latency_ms } = late_attempt;
  const common = { tenant_id, request_id, at: iso(started_at_ms), stream: "DEAD_LETTERS", stream_seq: streamSeq };
  return lineOf(common, "waste", `${attempt} ${tier} ${latency_ms}`, { ...late_attempt, cost_nano_usd: late_attempt.uncapped_cost_nano_usd ?? late_attempt.cost_nano_usd });
}
