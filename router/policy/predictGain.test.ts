import { describe, expect, it } from "vitest";

import { centredOn, difficultyOf, type GainPredictor, predictGain, qualityAt } from "./predictGain.ts";
import { predictorFeatures } from "./predictorFeatures.ts";

const none = { centre: 0, weight: 0 };
const PREDICTOR: GainPredictor = {
  slope: 0.4,
  features: { length: { centre: 4, weight: 1 }, conditions: { centre: 0.5, weight: 0.5 }, named_things: none, numeric_choices: none, repeated_choices: none, long_choice_words: none },
};
const ORDINARY = { ...predictorFeatures(""), length: 4, conditions: 0.5 };
const TIERS = { weak: 0.68, strong: 0.81 };

describe("the expected gain", () => {
  it("is what the tiers are known to differ by, on an ordinary query", () => {
    const { score, gain } = predictGain(PREDICTOR, ORDINARY, TIERS);
    expect(score).toBe(0);
    expect(gain).toBeCloseTo(0.13, 10);
  });
  it("grows with difficulty until both fail", () => {
    const gains = [-3, -1, 0, 1, 2].map((by) => predictGain(PREDICTOR, { ...ORDINARY, length: 4 + by }, TIERS).gain);
    expect(gains).toEqual(gains.toSorted((a, b) => a - b));
    expect(predictGain(PREDICTOR, { ...ORDINARY, length: 40 }, TIERS).gain).toBeLessThan(0.01);
  });
  it("is 0 between equal tiers and negative for a worse one", () => {
    expect(predictGain(PREDICTOR, ORDINARY, { weak: 0.7, strong: 0.7 }).gain).toBe(0);
    expect(predictGain(PREDICTOR, ORDINARY, { weak: 0.8, strong: 0.7 }).gain).toBeLessThan(0);
  });
  it("is a number for tiers that never or always succeed", () => {
    expect(predictGain(PREDICTOR, ORDINARY, { weak: 0, strong: 1 }).gain).toBeCloseTo(1, 2);
  });
});

it("longer word problems are worth more", () => {
  const problem = (steps: number) => predictorFeatures(`Ann has 3 pens.${" If she buys 2 more, then she gives half of them away.".repeat(steps)} How many are left?`);
  const scores = [0, 1, 2, 4].map((steps) => difficultyOf(PREDICTOR, problem(steps)));
  expect(scores).toEqual(scores.toSorted((a, b) => a - b));
});

it("no tier becomes better than a stronger one by difficulty", () => {
  for (const score of [-5, 0, 5]) expect(qualityAt(PREDICTOR, score, 0.9)).toBeGreaterThan(qualityAt(PREDICTOR, score, 0.6));
});

it("another centre moves every score alike, and JSON changes nothing", () => {
  const queries = [1, 20, 300].map((n) => predictorFeatures("If it rains, ".repeat(n)));
  const centred = centredOn(PREDICTOR, queries);
  const moves = queries.map((query) => difficultyOf(PREDICTOR, query) - difficultyOf(centred, query));
  expect(Math.max(...moves) - Math.min(...moves)).toBeCloseTo(0, 10);
  expect(queries.reduce((sum, query) => sum + difficultyOf(centred, query), 0)).toBeCloseTo(0, 10);
  expect(centredOn(PREDICTOR, [])).toEqual(PREDICTOR);
  expect(JSON.parse(JSON.stringify(centred))).toEqual(centred);
});
