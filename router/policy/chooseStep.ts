import type { Exclusion, Step, StopReason, TierQuote } from "#shared/contracts/decision.ts";
import { type NanoUsd, nanoUsd } from "#shared/contracts/money.ts";
import { type SagaContext, spentOn } from "#shared/saga/inferenceMachine.ts";

import { preferenceOf } from "./policies.ts";
import { type Excluded, run, type Situation, type StaticRoutes, stop } from "./policy.ts";

/**
 * The next step of a request: the first tier in its policy's order that no limit rules out, or stop. Pure.
 *
 * Limits are hard (tier range, breaker, budget, deadline) or soft: with no answer in hand, a tier beyond the latency
 * SLO or without a live worker is taken when nothing better is left, fastest first. With an answer in hand it is not.
 */
export function chooseStep(situation: Situation, file: StaticRoutes): Step {
  const { request, saga } = situation;
  if (isGoodEnough(situation)) return stop("good_enough", {});

  const { order, minConfidence, isSatisfied = false } = preferenceOf(situation, file);
  if (isSatisfied && saga.best !== null) return stop("good_enough", {});
  const remaining = nanoUsd(Math.min(Math.max(0, request.budget_nano_usd - spentOn(saga)), situation.facts.budget_left?.nano_usd ?? Infinity));
  const limitOf = (quote: TierQuote) => (isTried(quote, saga) ? "tried" : order.includes(quote) ? limitOn(quote, situation, remaining) : "not_in_policy");
  const limits = situation.facts.quotes.map((quote) => [quote.tier, limitOf(quote)] as const);
  const excluded: Excluded = Object.fromEntries(limits.filter((limit): limit is [string, Exclusion] => limit[1] !== null));

  const next = order.find(({ tier }) => excluded[tier] === undefined) ?? (saga.best === null ? lastResort(order, excluded) : undefined);
  if (next === undefined) return stop(reasonOf(Object.values(excluded)), excluded);
  const threshold = Math.max(minConfidence(next), request.min_quality ?? 0);
  const { [next.tier]: missed, ...others } = excluded;
  return run(next.tier, threshold, others, missed === "beyond_slo" || missed === "no_worker" ? missed : undefined);
}

/** The worker asked, though its answer had reached the threshold it was given. Without one the policy decides anew. */
function isGoodEnough({ saga, request }: Situation): boolean {
  const last = saga.finished.at(-1);
  if (saga.best === null || last?.outcome.kind !== "answered" || !last.outcome.is_sound) return false;
  const threshold = Math.max(saga.acceptance?.min_confidence ?? Infinity, request.min_quality ?? 0);
  return last.outcome.confidence >= threshold;
}

const isTried = ({ tier }: TierQuote, saga: SagaContext) => saga.finished.some((attempt) => attempt.tier === tier);

function limitOn(quote: TierQuote, { request, facts }: Situation, remaining: NanoUsd): Exclusion | null {
  if (request.allowed_tiers?.includes(quote.tier) === false) return "not_allowed";
  const rank = (tier: string) => facts.quotes.findIndex((other) => other.tier === tier);
  if (request.min_tier !== null && rank(quote.tier) < rank(request.min_tier)) return "below_min_tier";
  if (request.max_tier !== null && rank(quote.tier) > rank(request.max_tier)) return "above_max_tier";
  if (quote.max_cost_nano_usd > remaining) return "over_budget";
  if (quote.on_time < facts.min_on_time) return "too_late";
  if (quote.breaker === "open") return "breaker_open";
  if (quote.workers === 0) return "no_worker";
  if (quote.within_slo < (facts.min_within_slo ?? facts.min_on_time)) return "beyond_slo";
  return null;
}

/** Nothing meets every limit: the fastest of those that only miss the SLO (of equals the best), else the first that only lacks a live worker. */
function lastResort(order: readonly TierQuote[], excluded: Excluded): TierQuote | undefined {
  const slow = order.filter(({ tier }) => excluded[tier] === "beyond_slo");
  const fastest = slow.toSorted((a, b) => a.expected_latency_ms - b.expected_latency_ms || b.quality - a.quality)[0];
  return fastest ?? order.find(({ tier }) => excluded[tier] === "no_worker");
}

/** What stood in the way: the limit that a caller can change comes first. */
function reasonOf(limits: readonly Exclusion[]): StopReason {
  if (limits.includes("over_budget")) return "budget";
  if (limits.includes("too_late")) return "deadline";
  if (limits.includes("beyond_slo")) return "latency_slo";
  if (limits.includes("breaker_open") || limits.includes("no_worker")) return "unavailable";
  return "tiers_exhausted";
}
