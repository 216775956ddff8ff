/** A finished request as a timeline: its audit event, read for whoever asks why it went the way it did. Times count from its acceptance. Pure. */
import type { Decision, Exclusion, StopReason } from "#shared/contracts/decision.ts";
import type { Attempt, Completion } from "#shared/contracts/events.ts";

export interface Candidate {
  readonly tier: string;
  readonly quality: number;
  readonly keeps_from: number;
  readonly expected_cost_nano_usd: number;
  readonly max_cost_nano_usd: number;
  readonly on_time: number;
  readonly within_slo: number;
  readonly expected_latency_ms: number;
  readonly breaker: string;
  readonly workers: number;
  readonly queue_depth: number;
  /** What the routing model weighed it at. `null`: none did. */
  readonly value: number | null;
  readonly is_chosen: boolean;
  /** Why it could not be chosen. `null`: it could have been. */
  readonly excluded_by: Exclusion | null;
  readonly says: string;
}
export interface DecisionShown {
  readonly after_attempt: number;
  readonly at_ms: number;
  readonly policy: string;
  /** What was decided. */
  readonly says: string;
  readonly why: readonly string[];
  readonly candidates: readonly Candidate[];
}
export interface AttemptShown {
  readonly attempt: number;
  readonly tier: string;
  readonly model: string;
  readonly replica: string | null;
  /** When it was decided, and when a worker began. */
  readonly decided_at_ms: number;
  readonly begins_at_ms: number;
  readonly ends_at_ms: number;
  readonly waited_ms: number;
  readonly cost_nano_usd: number;
  readonly became: "kept" | "handed_on" | "failed";
  readonly says: string;
}
export interface Timeline {
  readonly latency_ms: number;
  /** Until the first decision. `null`: there was none. */
  readonly routed_after_ms: number | null;
  readonly attempts: readonly AttemptShown[];
  readonly decisions: readonly DecisionShown[];
  readonly cost_nano_usd: number;
  readonly baseline_cost_nano_usd: number | null;
  readonly saving_nano_usd: number | null;
}

export function timelineOf(completion: Completion): Timeline {
  const { accepted_at_ms, latency_ms, cost_nano_usd, baseline_cost_nano_usd, decisions, attempts } = completion;
  const sinceMs = (atMs: number): number => Math.max(0, atMs - accepted_at_ms); // a decision's clock may lag a few milliseconds
  return {
    latency_ms,
    routed_after_ms: decisions[0] === undefined ? null : sinceMs(decisions[0].facts.at_ms),
    attempts: attempts.map((attempt) => attemptOf(attempt, completion, sinceMs)),
    decisions: decisions.map((decision) => decisionOf(decision, sinceMs)),
    cost_nano_usd, baseline_cost_nano_usd,
    saving_nano_usd: baseline_cost_nano_usd === null ? null : baseline_cost_nano_usd - cost_nano_usd,
  };
}

function attemptOf(attempt: Attempt, completion: Completion, sinceMs: (atMs: number) => number): AttemptShown {
  const decision = completion.decisions.find(({ after_attempt }) => after_attempt === attempt.attempt - 1);
  const begins = sinceMs(attempt.started_at_ms);
  const decided = decision === undefined ? begins : Math.min(begins, sinceMs(decision.facts.at_ms));
  const isKept = attempt.outcome.kind === "answered" && completion.error === null && attempt === keptOf(completion);
  return {
    attempt: attempt.attempt, tier: attempt.tier, model: attempt.model, replica: attempt.replica ?? null,
    decided_at_ms: decided, begins_at_ms: begins, ends_at_ms: begins + Math.round(attempt.latency_ms), waited_ms: begins - decided,
    cost_nano_usd: attempt.cost_nano_usd,
    became: attempt.outcome.kind === "failed" ? "failed" : isKept ? "kept" : "handed_on",
    says: [resultOf(attempt, decision, isKept), ...(attempt.tries > 1 ? [`${attempt.tries} tries`] : []), ...(attempt.cost_is_partial ? ["may have cost more than is known"] : [])].join(", "),
  };
}

/** The answer is that of the last attempt of its tier which answered. */
const keptOf = ({ tier, attempts }: Completion): Attempt | undefined => attempts.findLast((one) => one.tier === tier && one.outcome.kind === "answered");

function resultOf({ outcome }: Attempt, decision: Decision | undefined, isKept: boolean): string {
  if (outcome.kind === "failed") return `failed: ${outcome.code}: ${outcome.message}`;
  const what = isKept ? "kept" : "handed on";
  if (!outcome.is_sound) return `its answer was not sound (truncated, empty or refused): ${what}`;
  const said = `confidence ${outcome.confidence.toFixed(3)} (${outcome.confidence_source})`;
  const rule = decision?.step.kind === "run" ? decision.step.acceptance : null;
  if (rule === null) return `${said}: ${what} by the router`;
  return outcome.confidence >= rule.min_confidence ? `${said}, enough for ${rule.min_confidence.toFixed(3)}: ${what}` : `${said}, below ${rule.min_confidence.toFixed(3)}: ${isKept ? "kept, as the best that there was" : what}`;
}

function decisionOf(decision: Decision, sinceMs: (atMs: number) => number): DecisionShown {
  const { after_attempt, policy, facts, step } = decision;
  return { after_attempt, at_ms: sinceMs(facts.at_ms), policy, says: saysOf(step), why: whyOf(decision), candidates: facts.quotes.map((quote) => candidateOf(quote, decision)) };
}

function candidateOf(quote: Decision["facts"]["quotes"][number], { step, learned }: Decision): Candidate {
  const { tier, quality, accept_confidence, expected_cost_nano_usd, max_cost_nano_usd, on_time, within_slo, expected_latency_ms, breaker, workers, queue_depth } = quote;
  const isChosen = step.kind === "run" && step.tier === tier;
  const excluded = step.excluded[tier] ?? null;
  return {
    tier, quality, keeps_from: accept_confidence, expected_cost_nano_usd, max_cost_nano_usd, on_time, within_slo, expected_latency_ms, breaker, workers, queue_depth,
    value: learned?.candidates.find((one) => one.tier === tier)?.value ?? null,
    is_chosen: isChosen, excluded_by: excluded,
    says: isChosen ? `chosen${step.despite === undefined ? "" : `, although it ${EXCLUSIONS[step.despite]}`}` : excluded !== null ? EXCLUSIONS[excluded] : "not chosen",
  };
}

const saysOf = (step: Decision["step"]): string =>
  (step.kind === "run" ? `run ${step.tier}, ${step.acceptance === null ? "and ask again whatever it answers" : `keep its answer from confidence ${step.acceptance.min_confidence.toFixed(3)} on`}` : `stop: ${STOPS[step.reason]}`);

function whyOf({ policy, step, learned, exploration, facts: { budget_left, pacing } }: Decision): string[] {
  const byModel = learned === undefined ? [] : [learned.lambda_per_usd === null
    ? `routing model ${learned.model_version}, by the tier file's thresholds: ${learned.floor_steps === "all" ? "its quality floor is in doubt" : "its floor was not shown to hold"}`
    : `routing model ${learned.model_version}: the step of the best value, that is acceptability less λ times its cost, with λ = ${learned.lambda_per_usd.toPrecision(3)} per USD${learned.lambda_source === "pacing" ? ", which paces the tenant's budget" : ""}${learned.stop_value === null ? "" : `; keeping the answer in hand is worth ${learned.stop_value.toFixed(4)}`}`];
  const drawn = exploration?.is_explored === true ? [`explored: drawn with probability ${exploration.propensity.toPrecision(3)} from ${exploration.eligible.join(", ")}; the policy itself would have run ${exploration.greedy}`] : [];
  const paced = pacing === undefined ? [] : [`the tenant's budget of the ${pacing.window} is paced: a dollar must buy ${pacing.lambda_per_usd.toPrecision(3)}`];
  const left = budget_left === undefined || budget_left.is_global === true ? [] : [`a budget over many requests has ${(budget_left.nano_usd / 1e9).toFixed(9)} USD left: ${budget_left.refusal}`];
  return [...(byModel.length > 0 ? byModel : step.kind === "run" ? [`policy ${policy}: the first tier in its order that no limit rules out`] : []), ...drawn, ...paced, ...left];
}

const EXCLUSIONS: Readonly<Record<Exclusion, string>> = {
  tried: "was tried before", not_allowed: "is not allowed to this tenant", below_min_tier: "is below the request's min_tier", above_max_tier: "is above the request's max_tier",
  not_in_policy: "is not in the policy's order", breaker_open: "has an open breaker", no_worker: "has no live worker", too_late: "would be too late for the deadline", beyond_slo: "would miss the latency SLO", over_budget: "may cost more than the budget has left",
};
const STOPS: Readonly<Record<StopReason, string>> = {
  good_enough: "the answer in hand is good enough", budget: "no tier is left that the budget pays for", deadline: "no tier is left that would be in time", latency_slo: "no tier is left that would meet the latency SLO",
  tiers_exhausted: "no tier is left to try", unavailable: "no tier is left that can be reached",
};
