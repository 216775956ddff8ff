import { describe, expect, it } from "vitest";

import type { TierQuote } from "#shared/contracts/decision.ts";
import type { Attempt } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { newSaga, type SagaContext } from "#shared/saga/inferenceMachine.ts";

import { chooseStep } from "./chooseStep.ts";
import { queryFeatures } from "./queryFeatures.ts";
import { keepFrom, type RoutingValues, valuesAt } from "./routingValues.ts";

const NAMES = ["small", "medium", "large"];
/** Only the constant and the confidence's log-odds (the seventh feature) count here. */
const w = (constant: number, logOdds = 0) => [constant, 0, 0, 0, 0, 0, logOdds];
const VALUES: RoutingValues = {
  tiers: NAMES,
  states: {
    "": { stop: null, go: [w(0.6), w(0.8), w(0.7)] }, // the middle one is the best start
    "0": { stop: w(0.5, 0.1), go: [null, w(0.6), w(0.65)] },
    "1": { stop: w(0.5, 0.1), go: [null, null, w(0.7)] }, // goes on below log-odds 2: confidence 0.88
    "2": { stop: w(0.9), go: [null, null, null] },
    "0,2": { stop: w(0.9), go: [null, null, null] },
  },
};
const FEATURES = queryFeatures("What is the capital of France?");
const quote = (tier: string, over: Partial<TierQuote> = {}): TierQuote => ({
  tier, quality: 0.9, accept_confidence: 0.9, expected_cost_nano_usd: nanoUsd(10), max_cost_nano_usd: nanoUsd(100), on_time: 1, within_slo: 1, expected_latency_ms: 50, breaker: "closed", workers: 1, queue_depth: 0, ...over,
});
const ZERO = nanoUsd(0);
const FRESH = newSaga({ tier: "large", rates: { input_nano_usd_per_million: ZERO, output_nano_usd_per_million: ZERO, request_nano_usd: ZERO } }).context;
const after = (past: [string, number | "failed"][]): SagaContext => {
  const finished = past.map(([tier, how], i): Attempt => ({
    attempt: i + 1, tier, model: "m", started_at_ms: 1, latency_ms: 1, tries: 1, usage: null, cost_nano_usd: ZERO, cost_is_partial: false,
    outcome: how === "failed" ? { kind: "failed", code: "backend_unavailable", message: "m" } : { kind: "answered", is_sound: true, confidence: how, confidence_source: "prior" },
  }));
  const best = past.findLast(([, how]) => how !== "failed");
  return { ...FRESH, finished, attempt: past.length, acceptance: { min_confidence: 0.99 }, best: best === undefined ? null : { attempt: 1, output: "x", tier: best[0], model: "m", confidence: Number(best[1]), confidence_source: "prior" } };
};
const step = (saga: SagaContext, over: Partial<Record<string, Partial<TierQuote>>> = {}, min_quality: number | null = null) => chooseStep({
  request: { policy: "cascade-routing", task: null, min_tier: null, max_tier: null, min_quality, budget_nano_usd: nanoUsd(1_000) },
  saga, facts: { at_ms: 1, min_on_time: 0.95, quotes: NAMES.map((name) => quote(name, over[name])) }, learned: { values: VALUES, features: FEATURES },
}, { static_routes: { default: "small", tasks: {} } });

describe("cascade-routing", () => {
  it("starts where the value is highest, skipping cheaper tiers", () => { expect(step(FRESH)).toMatchObject({ kind: "run", tier: "medium" }); });

  it("lets the worker keep what no other tier could better, and nothing below", () => {
    const found = step(FRESH);
    expect(found).toMatchObject({ acceptance: { min_confidence: 0.89 } }); // logit(0.88) = 1.99
    expect(keepFrom(VALUES, FEATURES, [], 1)).toBe(0.89);
  });

  it("takes the next best start when a limit rules the best one out", () => {
    expect(step(FRESH, { medium: { breaker: "open" } })).toMatchObject({ tier: "large", excluded: { medium: "breaker_open" } });
    expect(step(FRESH, { medium: { breaker: "open" }, large: { on_time: 0 } })).toMatchObject({ tier: "small", excluded: { medium: "breaker_open", large: "too_late" } });
  });

  it("goes on while a dearer tier is worth more than the answer in hand, and stops when none is", () => {
    expect(step(after([["medium", 0.7]]))).toMatchObject({ kind: "run", tier: "large", acceptance: { min_confidence: 0 } });
    expect(step(after([["medium", 0.9]]))).toEqual({ kind: "stop", reason: "good_enough", excluded: {} });
    expect(step(after([["small", 0.6], ["large", 0.1]]))).toEqual({ kind: "stop", reason: "good_enough", excluded: {} });
  });

  it("treats a tier that failed as one that was not asked", () => { expect(step(after([["medium", "failed"]]))).toMatchObject({ kind: "run", tier: "large" }); });

  it("stops for want of what a limit forbids, and says so", () => {
    expect(step(after([["medium", 0.7]]), { large: { max_cost_nano_usd: nanoUsd(2_000) } })).toMatchObject({ kind: "stop", reason: "budget" });
  });

  it("goes on below the caller's own least quality, whatever it thinks of the answer", () => {
    expect(step(after([["medium", 0.9]]), {}, 0.95)).toMatchObject({ kind: "run", tier: "large" });
    expect(step(after([["small", 0.6], ["large", 0.7]]), {}, 0.95)).toMatchObject({ kind: "stop", reason: "tiers_exhausted" });
  });
});

it("decides alike in the worker and in the router: above the threshold stopping is the best step, below it is not", () => {
  for (let c = 0; c <= 1; c += 0.01) {
    const { stop, go } = valuesAt(VALUES, FEATURES, [{ place: 1, confidence: c }]);
    expect([c, stop >= (go[0]?.value ?? 0)]).toEqual([c, c >= keepFrom(VALUES, FEATURES, [], 1) - 1e-9]);
  }
});

it.each([
  ["a plain question", "What is the capital of France?", [1, 0, 0, 0, 0, 0]],
  ["choices", "Which is NOT a mammal?\nA: cat\nB: carp", [1, 1, 0, 0, 0, 1]],
  ["an empty text", "", [1, 0, 0, 0, 0, 0]],
])("features of %s are small and finite", (_name, query, expected) => {
  const found = queryFeatures(query);
  expect(found.map((value, i) => (i === 2 || i === 3 ? 0 : value))).toEqual(expected);
  for (const value of found) expect(Math.abs(value)).toBeLessThan(10);
});
