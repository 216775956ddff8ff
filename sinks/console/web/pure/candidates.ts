/** For each decision of a request, each tier that might have run: what was known of it, and why it was or was not chosen. */
import type { Decision, Exclusion, StopReason, TierQuote } from "#shared/contracts/decision.ts";

import { formatMs, formatShare } from "./format.ts";
import { formatUsd } from "./money.ts";

export interface Candidate {
  readonly quote: TierQuote;
  readonly isChosen: boolean;
  readonly why: string;
}

export const STOP_WORDS: Readonly<Record<StopReason, string>> = {
  good_enough: "the answer in hand is good enough",
  budget: "the budget leaves too little for another attempt",
  deadline: "no other tier would answer before the deadline",
  latency_slo: "no other tier would answer within the latency SLO",
  tiers_exhausted: "no tier is left to ask",
  unavailable: "no tier that is left can be asked now",
};

export function decisionWords({ step, after_attempt }: Decision): string {
  const when = after_attempt === 0 ? "At the start" : `After attempt ${after_attempt}`;
  if (step.kind === "stop") return `${when}: stop, ${STOP_WORDS[step.reason]}`;
  const kept = step.acceptance === null ? "" : `, keep its answer from confidence ${step.acceptance.min_confidence.toFixed(3)} on`;
  const despite = step.despite === undefined ? "" : step.despite === "no_worker" ? ", although no worker was heard of, since no tier meets all limits" : ", although it may miss the latency SLO, since no tier meets all limits";
  return `${when}: ask ${step.tier}${kept}${despite}`;
}

export function candidatesOf(decision: Decision): Candidate[] {
  const { facts, step } = decision;
  return facts.quotes.map((quote) => {
    const isChosen = step.kind === "run" && step.tier === quote.tier;
    return { quote, isChosen, why: isChosen ? whyChosen(decision, quote.tier) : whyNot(decision, quote) };
  });
}

function whyChosen({ exploration, draw, learned, policy }: Decision, tier: string): string {
  if (exploration?.is_explored === true) return `drawn to learn from, with probability ${exploration.propensity.toFixed(2)}; the policy would have asked ${exploration.greedy}`;
  if (draw !== undefined) return `drawn by lot, with probability ${draw.propensity.toFixed(2)}`;
  const value = learned?.candidates.find((candidate) => candidate.tier === tier)?.value;
  if (value !== undefined) return `worth most to ${policy}: ${value.toFixed(3)}`;
  return `the choice of ${policy} among those that meet the limits`;
}

function whyNot(decision: Decision, quote: TierQuote): string {
  const { step, learned } = decision;
  const exclusion = step.excluded[quote.tier];
  if (exclusion !== undefined) return exclusionWords(exclusion, decision, quote);
  if (step.kind === "stop") return STOP_WORDS[step.reason];
  const values = new Map(learned?.candidates.map((candidate) => [candidate.tier, candidate.value]));
  const [own, chosen] = [values.get(quote.tier), values.get(step.tier)];
  if (own !== undefined && chosen !== undefined && decision.exploration?.is_explored !== true) return `worth ${own.toFixed(3)}, less than ${step.tier} with ${chosen.toFixed(3)}`;
  const chosenCost = decision.facts.quotes.find(({ tier }) => tier === step.tier)?.expected_cost_nano_usd ?? 0;
  return `could have run; ${decision.policy} prefers ${step.tier}${chosenCost < quote.expected_cost_nano_usd ? ", which costs less" : ""}`;
}

function exclusionWords(exclusion: Exclusion, { facts }: Decision, quote: TierQuote): string {
  switch (exclusion) {
    case "tried": return "already asked for this request";
    case "not_allowed": return "the tenant may not ask it";
    case "below_min_tier": return "below the least tier that the request names";
    case "above_max_tier": return "above the highest tier that the request names";
    case "not_in_policy": return "not among the tiers of the policy";
    case "breaker_open": return "its breaker was open";
    case "no_worker": return "no worker was heard of";
    case "too_late": return `too late: before the deadline with ${formatShare(quote.on_time)}, and ${formatShare(facts.min_on_time)} are needed`;
    case "beyond_slo": return `beyond the latency SLO: within it with ${formatShare(quote.within_slo)}, and ${formatShare(facts.min_within_slo ?? facts.min_on_time)} are needed; expected ${formatMs(quote.expected_latency_ms)}`;
    case "over_budget": return `over budget: may cost ${formatUsd(BigInt(quote.max_cost_nano_usd))}${facts.budget_left === undefined ? "" : `, and ${formatUsd(BigInt(facts.budget_left.nano_usd))} are left`}`;
  }
}
