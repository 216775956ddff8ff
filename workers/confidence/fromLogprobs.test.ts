import fc from "fast-check";
import { expect, it } from "vitest";

import { confidenceFromLogprobs } from "./fromLogprobs.ts";

it.each([
  ["nothing of no tokens", [], null],
  ["1 of certain tokens", [0, 0, -0], 1],
  ["the probability of a single token", [Math.log(0.25)], 0.25],
  ["the geometric mean of several", [Math.log(0.9), Math.log(0.4)], 0.6],
  ["0 of an impossible token", [0, -Infinity], 0],
  ["at most 1 of servers that round upwards", [1e-9], 1],
  ["nothing of what is no number", [0, NaN], null],
  ["nothing of what is no probability", [Infinity], null],
])("makes %s", (_name, logprobs, confidence) => {
  if (confidence === null) expect(confidenceFromLogprobs(logprobs)).toBeNull();
  else expect(confidenceFromLogprobs(logprobs)).toBeCloseTo(confidence, 9);
});

it("is between the least and the most likely token, whatever their order", () => {
  fc.assert(fc.property(fc.array(fc.double({ min: 0.001, max: 1, noNaN: true }), { minLength: 1 }), (probabilities) => {
    const confidence = confidenceFromLogprobs(probabilities.map(Math.log)) ?? NaN;
    expect(confidence).toBeGreaterThanOrEqual(Math.min(...probabilities) - 1e-9);
    expect(confidence).toBeLessThanOrEqual(Math.max(...probabilities) + 1e-9);
    expect(confidenceFromLogprobs(probabilities.toReversed().map(Math.log))).toBeCloseTo(confidence, 9);
  }));
});
