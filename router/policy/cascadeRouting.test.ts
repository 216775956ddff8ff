import { describe, expect, it } from "vitest";

import type { TierQuote } from "#shared/contracts/decision.ts";
import type { Attempt } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { newSaga, type SagaContext } from "#shared/saga/inferenceMachine.ts";

import { chooseStep } from "./chooseStep.ts";
import { logistic } from "./calibration.ts";
import type { Learned } from "./policy.ts";
import { type Answered, keepFrom, type LearnedValues, seenBy, valuesAt } from "./routingValues.ts";
import { queryFeatures } from "./queryFeatures.ts";

const NAMES = ["small", "medium", "large"];
const CLASSES = { names: [], centroids: [] };
/** Only the constant and the confidence's calibrated log-odds, over 3, count here; raw confidences are calibrated as they are. */
const w = (constant: number, logOdds = 0) => [constant, 0, 0, 0, 3 * logOdds];
const IDENTITY = { intercept: 0, slope: 5, saturated: 0, class_intercepts: [], class_slopes: [] };
const NONE = [null, null, null];
const LEARNED: LearnedValues = {
  model: { tiers: NAMES, calibration: [IDENTITY, IDENTITY, IDENTITY] },
  query: seenBy({ classes: CLASSES }, queryFeatures("What is the capital of France?")),
  level: {
    lambda_per_usd: 1,
    states: {
      "": { stop: null, blind: [w(0.5), w(0.75), w(0.7)], read: [w(0.6), w(0.8), null] }, // reading the middle one is the best start
      "0": { stop: w(0.5, 0.1), blind: [null, w(0.6), w(0.65)], read: NONE },
      "1": { stop: w(0.5, 0.1), blind: [null, null, w(0.7)], read: NONE }, // goes on below log-odds 2: confidence 0.88
    },
  },
};
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
const step = (saga: SagaContext, over: Partial<Record<string, Partial<TierQuote>>> = {}, min_quality: number | null = null, policy = "cascade-routing", learned: Partial<Learned> = {}) => chooseStep({
  request: { policy, task: null, min_tier: null, max_tier: null, min_quality, budget_nano_usd: nanoUsd(1_000) },
  saga, facts: { at_ms: 1, min_on_time: 0.95, quotes: NAMES.map((name) => quote(name, over[name])) }, learned: { ...LEARNED, model: { ...LEARNED.model, baseline_tier: "large" }, keepFrom: 0.9, ...learned },
}, { static_routes: { default: "small", tasks: {} } });

describe("cascade-routing", () => {
  it("starts where the value is highest, skipping cheaper tiers", () => { expect(step(FRESH)).toMatchObject({ kind: "run", tier: "medium" }); });

  it("lets the worker keep what no other tier could better, and nothing below", () => {
    const found = step(FRESH);
    expect(found).toMatchObject({ acceptance: { min_confidence: keepFrom(LEARNED, [], 1) } });
    expect(keepFrom(LEARNED, [], 1)).toBeGreaterThanOrEqual(logistic(2));
    expect(keepFrom(LEARNED, [], 1)).toBeLessThan(logistic(2.4)); // the next place on the grid
  });

  it("keeps any sound answer of a tier that is best run blindly, so that its confidence need not be paid for", () => {
    expect(step(FRESH, { medium: { breaker: "open" }, small: { on_time: 0 } })).toMatchObject({ tier: "large", acceptance: { min_confidence: 0 } });
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

describe.each(["cascade-routing", "predictive"])("%s while its floor is in doubt", (policy) => {
  const doubted = (saga: SagaContext, over: Partial<Record<string, Partial<TierQuote>>> = {}) => step(saga, over, null, policy, { level: "in_doubt" });

  it("asks the baseline at once and keeps its answer, whatever its confidence", () => { expect(doubted(FRESH)).toMatchObject({ tier: "large", acceptance: { min_confidence: 0 } }); });

  it("asks it next where a cheaper tier had begun", () => { expect(doubted(after([["small", 0.5]]))).toMatchObject({ tier: "large" }); });

  it("falls back to the cascade by the tier file's thresholds, not by learned ones", () => {
    expect(doubted(FRESH, { large: { breaker: "open" } })).toMatchObject({ tier: "small", acceptance: { min_confidence: 0.9 }, excluded: { large: "breaker_open" } });
    expect(doubted(after([["large", "failed"]]))).toMatchObject({ tier: "medium", acceptance: { min_confidence: 0.9 } });
    expect(doubted(after([["small", 0.5], ["large", "failed"]]))).toMatchObject({ kind: "stop", reason: "tiers_exhausted" });
  });
});

it("decides alike in the worker and in the router: what the worker keeps, the router would have kept", () => {
  const least = keepFrom(LEARNED, [], 1);
  for (let c = 0; c <= 1; c += 0.01) {
    const answered: Answered = [{ place: 1, confidence: c }];
    const { stop, go } = valuesAt(LEARNED, answered);
    if (c >= least) expect(stop).toBeGreaterThanOrEqual(go[0]?.value ?? -Infinity);
  }
});

describe("predictive", () => {
  it("chooses one tier before anything is run, and keeps whatever it answers", () => {
    expect(step(FRESH, {}, null, "predictive")).toMatchObject({ kind: "run", tier: "medium", acceptance: { min_confidence: 0 } });
  });
  it("takes the next best when it fails", () => { expect(step(after([["medium", "failed"]]), {}, null, "predictive")).toMatchObject({ tier: "large" }); });
});

describe("cascade on calibrated confidence", () => {
  it("keeps what is probably acceptable, whatever the tier's raw scale", () => {
    const halved = { ...IDENTITY, slope: 2.5 }; // twice as sure as it may be
    const found = (calibration: typeof IDENTITY) => {
      const { model, ...rest } = LEARNED;
      const learned = { ...rest, model: { ...model, baseline_tier: "large", calibration: [calibration, IDENTITY, IDENTITY] }, keepFrom: 0.9 };
      const facts = { at_ms: 1, min_on_time: 0.95, quotes: NAMES.map((name) => quote(name)) };
      const chosen = chooseStep({ request: { policy: "cascade", task: null, min_tier: null, max_tier: null, min_quality: null, budget_nano_usd: nanoUsd(1_000) }, saga: FRESH, facts, learned }, { static_routes: { default: "small", tasks: {} } });
      return chosen.kind === "run" ? (chosen.acceptance?.min_confidence ?? NaN) : NaN;
    };
    expect(found(IDENTITY)).toBeGreaterThanOrEqual(0.9);
    expect(found(IDENTITY)).toBeLessThan(0.94);
    expect(found(halved)).toBeGreaterThanOrEqual(logistic(2 * Math.log(9)));
  });
});
