import { expect, it } from "vitest";

import { classProbabilities } from "./classProbabilities.ts";

it.each([
  [[0, 0], [0.5, 0.5]],
  [[Math.log(3), 0], [0.75, 0.25]],
  [[1_000, 0, -1_000], [1, 0, 0]],
])("of %j are %j", (logits, expected) => {
  const probabilities = classProbabilities(logits);
  expected.forEach((probability, i) => { expect(probabilities?.[i]).toBeCloseTo(probability, 12); });
});

it.each([[[NaN, 1]], [[Infinity, 0]]])("of %j are none", (logits) => { expect(classProbabilities(logits)).toBeNull(); });
