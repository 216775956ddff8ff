import fc from "fast-check";
import { expect, it } from "vitest";

import { answerMargin, confidenceFromLogprobs, leastProbability } from "./fromLogprobs.ts";

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

it.each([
  ["nothing of no tokens", [], null],
  ["the least of several", [0, Math.log(0.3), Math.log(0.9)], 0.3],
])("takes %s", (_name, logprobs, least) => {
  if (least === null) expect(leastProbability(logprobs)).toBeNull();
  else expect(leastProbability(logprobs)).toBeCloseTo(least, 9);
});

const token = (text: string, p: number, alternatives?: Record<string, number>) =>
  ({ token: text, logprob: Math.log(p), ...(alternatives === undefined ? {} : { alternatives: Object.entries(alternatives).map(([other, q]) => ({ token: other, logprob: Math.log(q) })) }) });
it.each([
  ["over the next likely", [token("B", 0.7, { B: 0.7, C: 0.2, A: 0.1 })], 0.5],
  ["of the first word, not of what stands before it", [token(" (", 0.99, {}), token("B", 0.6, { C: 0.35 })], 0.25],
  ["of 0, where another was likelier", [token("B", 0.3, { C: 0.6 })], 0],
  ["unknown, without alternatives", [token("B", 0.7)], null],
  ["unknown, without a word", [token("...", 0.7, { "!": 0.3 })], null],
])("has a margin %s", (_name, tokens, expected) => {
  if (expected === null) expect(answerMargin(tokens)).toBeNull();
  else expect(answerMargin(tokens)).toBeCloseTo(expected, 9);
});
