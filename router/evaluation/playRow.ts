/**
 * One recorded row through the code that decides in the router (`chooseStep`) and the rule by which a worker accepts
 * (`isAccepted`): what would have been run, kept, paid and waited for. Pure.
 */
import type { Facts, TierQuote } from "#shared/contracts/decision.ts";
import type { Attempt } from "#shared/contracts/events.ts";
import { type NanoUsd, nanoUsd } from "#shared/contracts/money.ts";
import { applied, isAccepted, newSaga, type SagaContext } from "#shared/saga/inferenceMachine.ts";
import { chooseStep } from "#router/policy/chooseStep.ts";
import { type LatencyQuantiles, probabilityWithin } from "#router/policy/onTime.ts";
import type { Learned, Predicted } from "#router/policy/policy.ts";
import { MIN_ON_TIME, MIN_WITHIN_SLO } from "#router/policy/quoteTiers.ts";

import { EvaluationError } from "./evaluationError.ts";
import { confidenceAfter } from "./confidenceSources.ts";
import type { OutcomeRow } from "./outcomeLog.ts";

/** What is known of a tier before the row is played: from training rows. */
export interface TierPrior {
  readonly name: string;
  readonly quality: number;
  readonly cost_usd: number;
  /** `null`: latency was not measured. */
  readonly latency: LatencyQuantiles | null;
  readonly accept_confidence: number;
}
export interface Played {
  /** Places of the tiers that were run, in their order. The last one's answer is the outcome. */
  readonly tried: readonly number[];
  readonly quality: number;
  readonly cost_usd: number;
  /** `null` when it is not known of each tier that was run. */
  readonly latency_ms: number | null;
  /** Of `cost_usd`, what the calls cost that produced confidences. */
  readonly checks_usd: number;
}
export interface PlayOptions {
  readonly policy: string;
  readonly tiers: readonly TierPrior[];
  /** For policies that were fitted; they weigh lateness themselves. */
  readonly learned?: Learned;
  readonly predicted?: Predicted;
  readonly latencySloMs: number | null;
  /** Whether the call that produced a confidence is paid for and waited for. It is made only where a rule reads the confidence. */
  readonly paysVerification: boolean;
}

const UNLIMITED = nanoUsd(Number.MAX_SAFE_INTEGER);
const NO_STATIC_ROUTES = { static_routes: { default: "", tasks: {} } };
const FRESH = newSaga({ tier: "none", rates: { input_nano_usd_per_million: nanoUsd(0), output_nano_usd_per_million: nanoUsd(0), request_nano_usd: nanoUsd(0) } }).context;

/** Throws `EvaluationError` when a rule reads a confidence that the log does not have. */
export function playRow(row: OutcomeRow, { policy, tiers, learned, predicted, latencySloMs, paysVerification }: PlayOptions): Played {
  const fitted = { ...(learned === undefined ? {} : { learned }), ...(predicted === undefined ? {} : { predicted }) };
  const limits = { at_ms: 0, min_on_time: MIN_ON_TIME, ...(learned === undefined ? {} : { min_within_slo: MIN_WITHIN_SLO }) };
  const request = { policy, task: null, min_tier: null, max_tier: null, min_quality: null, budget_nano_usd: UNLIMITED };
  const tried: number[] = [];
  let saga: SagaContext = FRESH;
  let cost_usd = 0;
  let checks_usd = 0;
  let latency_ms: number | null = 0;
  for (;;) {
    const elapsedMs = latency_ms ?? 0;
    const facts: Facts = { ...limits, quotes: latencySloMs === null ? timelessQuotes(tiers) : tiers.map((tier) => quoteOf(tier, latencySloMs - elapsedMs)) };
    const step = chooseStep({ request, saga, facts, ...fitted }, NO_STATIC_ROUTES);
    if (step.kind === "stop") break;
    const place = tiers.findIndex(({ name }) => name === step.tier);
    const outcome = row.tiers[place];
    if (outcome === undefined) throw new Error(`the policy chose ${step.tier}, which is not among the tiers`);
    const readsConfidence = (step.acceptance?.min_confidence ?? 1) > 0;
    const confidence = confidenceAfter(outcome, tried.at(-1));
    if (readsConfidence && confidence === null) throw new EvaluationError(`row ${row.id}: ${policy} needs the confidence of ${step.tier}, and the log has none`);
    tried.push(place);
    const check = readsConfidence && paysVerification ? { usd: outcome.verify_cost_usd, ms: outcome.verify_latency_ms ?? (outcome.verify_latency_ms === null ? null : 0) } : { usd: 0, ms: 0 };
    cost_usd += outcome.cost_usd + check.usd;
    checks_usd += check.usd;
    latency_ms = latency_ms === null || outcome.latency_ms === null || check.ms === null ? null : latency_ms + outcome.latency_ms + check.ms;
    const result = attemptOf(tried.length, step.tier, confidence);
    saga = applied({ ...saga, tier: step.tier, acceptance: step.acceptance, attempt: tried.length }, { type: "RESULT", result, output: "" });
    if (isAccepted(step.acceptance, result.outcome)) break;
  }
  return { tried, quality: row.tiers[tried.at(-1) ?? -1]?.quality ?? 0, cost_usd, latency_ms, checks_usd };
}

/** They are the same for every row, and a row is played a hundred times. */
const quotesByTiers = new WeakMap<readonly TierPrior[], TierQuote[]>();
function timelessQuotes(tiers: readonly TierPrior[]): TierQuote[] {
  const known = quotesByTiers.get(tiers) ?? tiers.map((tier) => quoteOf(tier, null));
  quotesByTiers.set(tiers, known);
  return known;
}

function quoteOf({ name, quality, cost_usd, latency, accept_confidence }: TierPrior, leftMs: number | null): TierQuote {
  const cost = Math.round(cost_usd * 1e9) as NanoUsd; // a sum of checked costs, quoted hundreds of thousands of times
  return {
    tier: name, quality, accept_confidence, expected_cost_nano_usd: cost, max_cost_nano_usd: nanoUsd(0), on_time: 1,
    within_slo: leftMs === null || latency === null ? 1 : probabilityWithin(latency, leftMs),
    expected_latency_ms: latency?.p50 ?? 0, breaker: "closed", workers: 1, queue_depth: 0,
  };
}

const attemptOf = (attempt: number, tier: string, confidence: number | null): Attempt => ({
  attempt, tier, model: tier, started_at_ms: 0, latency_ms: 0, tries: 1, usage: null, cost_nano_usd: nanoUsd(0), cost_is_partial: false,
  outcome: { kind: "answered", is_sound: true, confidence: confidence ?? 0, confidence_source: "log" },
});
