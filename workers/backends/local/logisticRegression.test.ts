import { expect, it } from "vitest";

import { sigmoid, trainLogisticRegression, unitFor, type Example } from "./logisticRegression.ts";

const example = (is_spam: boolean, ...features: number[]): Example => ({ is_spam, features: Int32Array.from(features) });
/** 0 marks spam, 1 ham, 2 is in both. */
const EXAMPLES = Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? example(true, 0, 2) : example(false, 1, 2)));
const RECIPE = { epochs: 10, learning_rate: 0.3, l2: 1e-5, class_ratio: false };

it.each([false, true])("learns which features go with spam (class ratio: %s)", (class_ratio) => {
  const { weights, bias } = trainLogisticRegression(EXAMPLES, 8, { ...RECIPE, class_ratio });
  const spamProbability = (...features: number[]) => sigmoid(bias + unitFor(features.length) * features.reduce((sum, f) => sum + (weights[f] ?? 0), 0));
  expect(spamProbability(0, 2)).toBeGreaterThan(0.6);
  expect(spamProbability(1, 2)).toBeLessThan(0.4);
  expect(spamProbability(7)).toBeCloseTo(sigmoid(bias), 6);
});

it("gives the same model for the same examples", () => {
  expect(trainLogisticRegression(EXAMPLES, 8, RECIPE)).toEqual(trainLogisticRegression(EXAMPLES, 8, RECIPE));
});

it("holds weights back with more regularisation", () => {
  const size = (l2: number) => Math.abs(trainLogisticRegression(EXAMPLES, 8, { ...RECIPE, l2 }).weights[0] ?? 0);
  expect(size(1)).toBeLessThan(size(1e-5));
});

it("stays finite without features and without examples", () => {
  expect(trainLogisticRegression([example(true), example(false)], 8, RECIPE).weights.every(Number.isFinite)).toBe(true);
  expect(trainLogisticRegression([], 8, RECIPE).bias).toBe(0);
});
