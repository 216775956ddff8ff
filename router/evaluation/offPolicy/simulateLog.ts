/**
 * Logs of which the truth is known: a row of which every tier's outcome is known becomes an audit event as the router and a
 * worker would have made it, and a record that holds all of it. Pure.
 */
import type { Decision, Facts, TierQuote } from "#shared/contracts/decision.ts";
import type { Attempt, Completion } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { drawsFor } from "#shared/runtime/drawsFor.ts";
import { applied, isAccepted, newSaga, type SagaContext } from "#shared/saga/inferenceMachine.ts";
import { chooseStep } from "#router/policy/chooseStep.ts";
import { drawStep } from "#router/policy/drawStep.ts";
import { MIN_ON_TIME } from "#router/policy/quoteTiers.ts";
import type { OutcomeRow, TierOutcome } from "#router/evaluation/outcomeLog.ts";
import type { TierPrior } from "#router/evaluation/playRow.ts";

import type { RecordedEvent } from "./recordedEvent.ts";

export interface SimulatedRequest {
  readonly request_id: string;
  readonly row: OutcomeRow;
  /** In the row's order. */
  readonly tiers: readonly TierPrior[];
  /** That decided: one without a routing model. */
  readonly policy: string;
}

const BUDGET = nanoUsd(1e15);
const ZERO = nanoUsd(0);
const RATES = { input_nano_usd_per_million: ZERO, output_nano_usd_per_million: ZERO, request_nano_usd: ZERO };
const ROUTES = { static_routes: { default: "", tasks: {} } };
const AT_MS = 1_700_000_000_000;

export function simulatedCompletion({ request_id, row, tiers, policy }: SimulatedRequest): Completion {
  const id = { tenant_id: "simulated", request_id };
  const wish = { policy, task: row.dataset, min_tier: null, max_tier: null, min_quality: null, budget_nano_usd: BUDGET };
  const facts: Facts = { at_ms: AT_MS, min_on_time: MIN_ON_TIME, quotes: tiers.map(quoteOf) };
  let saga: SagaContext = newSaga({ tier: tiers.at(-1)?.name ?? "none", rates: RATES }).context;
  for (;;) {
    const situation = { request: wish, saga, facts };
    const chosen = chooseStep(situation, ROUTES);
    const drawn = policy === "random" ? drawStep(situation, chosen, drawsFor("random", id, saga.attempt)[0]) : null;
    const decision: Decision = { after_attempt: saga.attempt, policy, facts, step: chosen, ...(drawn ?? {}) };
    saga = applied(saga, { type: "DECIDED", decision });
    if (decision.step.kind === "stop") break;
    const { tier, acceptance } = decision.step;
    const outcome = row.tiers[tiers.findIndex(({ name }) => name === tier)];
    if (outcome === undefined) throw new Error(`there is no tier ${tier}`);
    const result = attemptOf(saga.attempt, tier, outcome);
    saga = applied(saga, { type: "RESULT", result, output: "" });
    if (isAccepted(acceptance, result.outcome)) break;
  }
  const latency_ms = Math.round(saga.finished.reduce((sum, attempt) => sum + attempt.latency_ms, 0));
  return {
    type: "completion.v1", ...id, origin: "direct", user_id: "u", outcome: saga.best === null ? "failed" : "completed", degraded_reason: null, error: saga.error, output: saga.best === null ? null : "",
    tier: saga.best?.tier ?? null, model: saga.best?.model ?? null, confidence: saga.best?.confidence ?? null, confidence_source: null,
    cost_nano_usd: nanoUsd(saga.finished.reduce((sum, { cost_nano_usd }) => sum + cost_nano_usd, 0)), baseline_cost_nano_usd: null, baseline_tier: null, attempts: saga.finished, decisions: saga.decisions, policy, task: row.dataset,
    budget_nano_usd: BUDGET, metadata: null, input_bytes: row.query.length, fingerprint: null, accepted_at_ms: AT_MS, completed_at_ms: AT_MS + latency_ms, latency_ms, trace_id: "0",
    ...(row.query === "" ? {} : { input: row.query }),
  };
}

/** The quality of its kept answer, as a label says it. `undefined`: none was kept. */
export const labelOf = ({ tier }: Pick<Completion, "tier">, { row, tiers }: Pick<SimulatedRequest, "row" | "tiers">): number | undefined => row.tiers[tiers.findIndex(({ name }) => name === tier)]?.quality;

/** With the outcome of every tier: what a policy would have brought is then known of each request. */
export function withTruth(event: RecordedEvent, { row, tiers }: Pick<SimulatedRequest, "row" | "tiers">): RecordedEvent {
  const all = tiers.flatMap(({ name }, place): [string, TierOutcome][] => { const outcome = row.tiers[place]; return outcome === undefined ? [] : [[name, outcome]]; });
  return {
    ...event, outcomes: new Map(all.map(([name, outcome]) => [name, event.outcomes.get(name) ?? attemptOf(1, name, outcome)])), qualities: new Map(all.map(([name, { quality }]) => [name, quality])),
  };
}

const quoteOf = ({ name, quality, cost_usd, latency, accept_confidence }: TierPrior): TierQuote => ({
  tier: name, quality, accept_confidence, expected_cost_nano_usd: nanoUsd(Math.round(cost_usd * 1e9)), max_cost_nano_usd: nanoUsd(Math.round(cost_usd * 1e10)), on_time: 1, within_slo: 1,
  expected_latency_ms: latency?.p50 ?? 0, breaker: "closed", workers: 1, queue_depth: 0,
});

const attemptOf = (attempt: number, tier: string, { confidence, cost_usd, latency_ms }: TierOutcome): Attempt => ({
  attempt, tier, model: tier, started_at_ms: AT_MS, latency_ms: latency_ms ?? 0, tries: 1, usage: null, cost_nano_usd: nanoUsd(Math.round(cost_usd * 1e9)), cost_is_partial: false,
  outcome: { kind: "answered", is_sound: true, confidence: confidence ?? 0, confidence_source: "log" },
});
