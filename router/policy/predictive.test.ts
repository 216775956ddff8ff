import { describe, expect, it } from "vitest";

import type { TierQuote } from "#shared/contracts/decision.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { newSaga, type SagaContext } from "#shared/saga/inferenceMachine.ts";

import type { GainPredictor } from "./predictGain.ts";
import { predictive } from "./predictive.ts";
import { predictorFeatures } from "./predictorFeatures.ts";

const none = { centre: 0, weight: 0 };
const PREDICTOR: GainPredictor = { slope: 1, features: { length: { centre: 5, weight: 1 }, conditions: none, named_things: none, numeric_choices: none, repeated_choices: none, long_choice_words: none } };
const quote = (tier: string, quality: number, usd: number): TierQuote => ({
  tier, quality, accept_confidence: 0.9, expected_cost_nano_usd: nanoUsd(usd * 1e9), max_cost_nano_usd: nanoUsd(usd * 1e9), on_time: 1, within_slo: 1, expected_latency_ms: 50, breaker: "closed", workers: 1, queue_depth: 0,
});
const QUOTES = [quote("small", 0.8, 0.001), quote("medium", 0.85, 0.005), quote("large", 0.95, 0.02)];
const ZERO = nanoUsd(0);
const FRESH = newSaga({ tier: "large", rates: { input_nano_usd_per_million: ZERO, output_nano_usd_per_million: ZERO, request_nano_usd: ZERO } }).context;
const answeredBy = (tier: string, confidence: number): SagaContext => ({ ...FRESH, best: { attempt: 1, output: "x", tier, model: "m", confidence, confidence_source: "prior" } });
const EASY = { ...predictorFeatures(""), length: 2 };
const HARD = { ...predictorFeatures(""), length: 6 };

const prefer = (query: typeof EASY, lambdaPerUsd: number, saga = FRESH, min_quality: number | null = null) => {
  const request = { policy: "predictive", task: null, min_tier: null, max_tier: null, min_quality, budget_nano_usd: nanoUsd(1e9) };
  const { order, minConfidence, isSatisfied } = predictive({ predictor: PREDICTOR, query, lambdaPerUsd })({ request, saga, facts: { at_ms: 1, min_on_time: 0.95, quotes: QUOTES } }, { static_routes: { default: "small", tasks: {} } });
  return { order: order.map(({ tier }) => tier), minConfidence: QUOTES.map(minConfidence), isSatisfied };
};

describe("predictive", () => {
  it.each([
    ["the best tier when money does not count", EASY, 0, ["large", "medium", "small"]],
    ["the cheapest when a dollar must buy a lot", HARD, 1_000, ["small", "medium", "large"]],
    ["a cheap tier for an easy query", EASY, 8, ["small", "medium", "large"]],
    ["a dear tier for a hard query at the same λ", HARD, 8, ["large", "medium", "small"]],
  ])("starts with %s", (_name, query, lambdaPerUsd, order) => { expect(prefer(query, lambdaPerUsd).order).toEqual(order); });

  it("has every tier in its order, so that a limit or a failure leaves the next best", () => { expect(prefer(HARD, 8).order).toHaveLength(3); });
  it("reads no confidence and keeps the first answer", () => {
    expect(prefer(HARD, 8).minConfidence).toEqual([0, 0, 0]);
    expect(prefer(HARD, 8, answeredBy("small", 0.1)).isSatisfied).toBe(true);
  });
  it("goes on to better tiers only while the caller wants more than the answer has", () => {
    expect(prefer(HARD, 0, answeredBy("medium", 0.5), 0.9)).toMatchObject({ isSatisfied: false, order: ["large"] });
    expect(prefer(HARD, 0, answeredBy("medium", 0.9), 0.9).isSatisfied).toBe(true);
    expect(prefer(HARD, 0, answeredBy("large", 0.5), 0.9).order).toEqual([]);
  });
});
