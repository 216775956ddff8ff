import { describe, expect, it } from "vitest";

import { brierScore, expectedCalibrationError, rankingAuc } from "./confidenceMeasures.ts";

const answers = (...pairs: [confidence: number, quality: number][]) => pairs.map(([confidence, quality]) => ({ confidence, quality }));

describe("the area under the ROC curve", () => {
  it.each([
    ["1 when every right answer is above every wrong one", answers([0.9, 1], [0.8, 1], [0.3, 0]), 1],
    ["0 the other way round", answers([0.1, 1], [0.8, 0]), 0],
    ["a half for ties", answers([0.5, 1], [0.5, 0], [0.5, 0]), 0.5],
    ["the share of pairs in order", answers([0.9, 1], [0.6, 0], [0.4, 1], [0.2, 0]), 3 / 4],
    ["of parts of right answers, where they are partly right", answers([0.9, 0.5], [0.1, 0.5]), 0.5],
    ["unknown when all are right", answers([0.9, 1], [0.2, 1]), null],
    ["unknown without answers", [], null],
  ])("is %s", (_name, given, expected) => { expect(rankingAuc(given)).toBe(expected); });
});

it("has a Brier score as the mean squared distance", () => {
  expect([brierScore(answers([1, 1], [0.5, 0], [0, 0.5])), brierScore([])]).toEqual([0.5 / 3, null]);
});

describe("the expected calibration error", () => {
  it("is 0 where confidence and quality are the same on the mean of a bin, and their distance where not", () => {
    expect(expectedCalibrationError(answers([0.5, 1], [0.5, 0]))).toBe(0);
    expect(expectedCalibrationError(answers([1, 0], [1, 1], [0, 1], [0, 0]))).toBe(0.5);
    expect(expectedCalibrationError([])).toBeNull();
  });
  it("weighs each bin by its answers", () => { expect(expectedCalibrationError(answers([0.9, 0], [0.1, 0], [0.1, 0], [0.1, 0]))).toBeCloseTo(0.3, 12); });
});
