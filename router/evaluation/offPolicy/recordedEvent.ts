/**
 * What an audit event, and whatever else is known of its request, says for judging another policy: the steps that were taken
 * and how probable they were, and how each tier did that was tried or shadowed. Pure.
 */
import { askedIn } from "#shared/contracts/chat.ts";
import type { Decision, Exclusion, Facts, LearnedFacts } from "#shared/contracts/decision.ts";
import type { Attempt, Completion } from "#shared/contracts/events.ts";
import type { ExperimentArm } from "#shared/contracts/experimentArm.ts";
import { type NanoUsd, nanoUsd } from "#shared/contracts/money.ts";
import type { QueryFeatures } from "#shared/contracts/queryFeatures.ts";
import type { ShadowTier } from "#shared/contracts/shadow.ts";
import { liveQuality } from "#router/evaluation/liveRows.ts";
import type { Wish } from "#router/policy/policy.ts";
import { queryFeatures } from "#router/policy/queryFeatures.ts";

/** A step as it was taken: a tier that was run, or `null`, a stop. */
export interface LoggedStep {
  readonly tier: string | null;
  /** Under the policy that decided: of running a tier, or of `null`, stopping. */
  readonly chanceOf: (tier: string | null) => number;
}
export interface RecordedEvent {
  readonly tenant_id: string;
  readonly request_id: string;
  readonly user_id: string | null;
  /** Of the experiment that chose the policy, and with what probability it was drawn. */
  readonly arm: ExperimentArm | null;
  readonly wish: Omit<Wish, "policy">;
  readonly latencySloMs: number | null;
  /** By the number of attempts that were over. */
  readonly facts: readonly [Facts, ...Facts[]];
  readonly steps: readonly LoggedStep[];
  /** Tiers that the request ran, in order. */
  readonly path: readonly string[];
  /** How a tier did: on the request itself, or else in its shadow. */
  readonly outcomes: ReadonlyMap<string, Attempt>;
  /** Of answers, in [0, 1], by tier, as far as somebody or the shadow says. */
  readonly qualities: ReadonlyMap<string, number>;
  readonly isShadowed: boolean;
  /** Whether every order of all tiers had a chance, and the outcome of a tier did not depend on those before it. */
  readonly isFree: boolean;
  /** Whose answer was given; `null`: none. */
  readonly kept: string | null;
  readonly costNanoUsd: NanoUsd;
  readonly latencyMs: number;
  /** Per attempt, beside its own latency. */
  readonly overheadMs: number;
  readonly query: QueryFeatures | null;
  /** As a routing model saw the query, where the query itself is not known. */
  readonly seen: LearnedFacts["features"] | null;
  readonly inputBytes: number;
}
/** What is known of a request beside its event. */
export interface Known {
  /** Of its shadow. Empty: it was not shadowed. */
  readonly shadow?: { readonly tiers: readonly ShadowTier[]; readonly query: QueryFeatures | null } | undefined;
  /** Of the kept answer, by those who judge answers whatever they are like. */
  readonly score?: number | undefined;
  /** By tier. */
  readonly labels?: ReadonlyMap<string, number> | undefined;
}
/** Why an event says nothing of a policy. */
export type Unusable = "cached" | "not_decided" | "cut_off";

export function toRecordedEvent(completion: Completion, { shadow, score, labels }: Known): RecordedEvent | Unusable {
  const { decisions, attempts, cache, tenant_id, request_id } = completion;
  const [first, ...later] = decisions;
  if (cache !== undefined) return "cached";
  if (first === undefined) return "not_decided";
  if (decisions.filter(({ step }) => step.kind === "run").length !== attempts.length) return "cut_off"; // closed by a deadline, or given up on
  const outcomes = new Map(attempts.map((attempt) => [attempt.tier, attempt]));
  const qualities = new Map<string, number>();
  const kept = completion.outcome === "completed" || completion.outcome === "degraded" ? completion.tier : null;
  for (const tier of shadow?.tiers ?? []) {
    if (!outcomes.has(tier.tier)) outcomes.set(tier.tier, attemptOf(tier));
    const quality = liveQuality(tier, score ?? null);
    if (quality !== null) qualities.set(tier.tier, quality);
  }
  if (kept !== null && score !== undefined) qualities.set(kept, score);
  for (const [tier, quality] of labels ?? []) qualities.set(tier, quality);
  const path = attempts.map(({ tier }) => tier);
  return {
    tenant_id, request_id, kept, path, outcomes, qualities, user_id: completion.user_id, arm: completion.experiment ?? null,
    wish: wishOf(completion, first), latencySloMs: completion.latency_slo_ms ?? null,
    facts: [first.facts, ...later.map(({ facts }) => facts)], steps: stepsOf(decisions), isShadowed: shadow !== undefined, isFree: isFree(completion, first),
    costNanoUsd: completion.cost_nano_usd, latencyMs: completion.latency_ms,
    overheadMs: attempts.length === 0 ? 0 : Math.max(0, completion.latency_ms - attempts.reduce((sum, { latency_ms }) => sum + latency_ms, 0)) / attempts.length,
    query: completion.input === undefined ? (shadow?.query ?? null) : queryFeatures(askedIn(completion.input)),
    seen: first.learned?.features ?? null, inputBytes: completion.input_bytes ?? 0,
  };
}

const OF_THE_CALLER: readonly Exclusion[] = ["not_allowed", "below_min_tier", "above_max_tier"];
/** What the caller asked for. An older event does not say it: as far as the first decision shows it. */
function wishOf({ task, budget_nano_usd, terms }: Completion, { facts, step }: Decision): RecordedEvent["wish"] {
  if (terms !== undefined) {
    const { min_tier = null, max_tier = null, min_quality = null, allowed_tiers } = terms;
    return { task, min_tier, max_tier, min_quality, budget_nano_usd: budget_nano_usd ?? nanoUsd(0), ...(allowed_tiers === undefined ? {} : { allowed_tiers }) };
  }
  const allowed = facts.quotes.map(({ tier }) => tier).filter((tier) => { const limit = step.excluded[tier]; return limit === undefined || !OF_THE_CALLER.includes(limit); });
  return { task, min_tier: null, max_tier: null, min_quality: null, budget_nano_usd: budget_nano_usd ?? nanoUsd(0), ...(allowed.length === facts.quotes.length ? {} : { allowed_tiers: allowed }) };
}

/** A worker that accepts an answer stops for certain, without a decision of its own. */
function stepsOf(decisions: readonly Decision[]): LoggedStep[] {
  const steps = decisions.map((decision): LoggedStep => {
    const tier = decision.step.kind === "run" ? decision.step.tier : null;
    return { tier, chanceOf: chancesOf(decision, tier) };
  });
  return steps.at(-1)?.tier === null ? steps : [...steps, { tier: null, chanceOf: (tier) => (tier === null ? 1 : 0) }];
}

function chancesOf({ draw, exploration }: Decision, taken: string | null): LoggedStep["chanceOf"] {
  if (draw !== undefined) return (tier) => (tier === taken ? draw.propensity : (tier === null ? draw.may_stop : draw.from.includes(tier)) ? 1 / (draw.from.length + (draw.may_stop ? 1 : 0)) : 0);
  if (exploration === undefined) return (tier) => (tier === taken ? 1 : 0);
  const { eligible, greedy, share } = exploration;
  return (tier) => (tier === null || !eligible.includes(tier) ? 0 : share / eligible.length + (tier === greedy ? 1 - share : 0));
}

/** Decided by what the first decision knew, which is the same on every path. */
function isFree({ decisions, budget_nano_usd, latency_slo_ms, attempts, terms }: Completion, { facts, draw, step }: Decision): boolean {
  if (draw === undefined || (terms?.min_quality ?? 0) > 0 || latency_slo_ms !== undefined || decisions.some((one) => one.draw === undefined)) return false;
  if (attempts.some(({ outcome }) => outcome.kind === "answered" && outcome.confidence_source === "tier_agreement")) return false;
  const isOpen = facts.quotes.every(({ tier }) => { const limit = step.excluded[tier]; return limit === undefined || OF_THE_CALLER.includes(limit); });
  const most = facts.quotes.reduce((sum, quote) => sum + (draw.from.includes(quote.tier) ? quote.max_cost_nano_usd : 0), 0);
  return isOpen && most <= (budget_nano_usd ?? 0);
}

const attemptOf = ({ tier, model, error_code, is_sound, confidence, confidence_source, cost_nano_usd, cost_is_partial, latency_ms, usage }: ShadowTier): Attempt => ({
  attempt: 1, tier, model, started_at_ms: 1, latency_ms, tries: 1, usage, cost_nano_usd, cost_is_partial,
  outcome: error_code === null ? { kind: "answered", is_sound, confidence: confidence ?? 0, confidence_source: confidence_source ?? "none" } : { kind: "failed", code: error_code, message: "" },
});
