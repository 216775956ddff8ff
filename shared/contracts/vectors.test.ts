import { expect, it } from "vitest";

import { decodeVector, encodeVector, MAX_VECTORS_BYTES, mostVectors } from "./vectors.ts";

it("gives back each number as 32 bits hold it", () => {
  expect(encodeVector([1])).toBe("AACAPw=="); // OpenAI's own bytes of 1.0
  expect(decodeVector(encodeVector([0.1, -2, 0]))).toEqual([Math.fround(0.1), -2, 0]);
});

it.each([["", "nothing"], ["AAA=", "two bytes"], [encodeVector([NaN]), "no number"], [encodeVector([1, Infinity]), "no finite number"]])("reads %s as no vector: %s", (text) => {
  expect(decodeVector(text)).toBeNull();
});

it.each([[256, 478], [1_536, 79], [3_072, 39]])("vectors of %i dimensions fit %i times, as they are sent", (dimensions, most) => {
  expect(mostVectors(dimensions)).toBe(most);
  const one = encodeVector(Array.from({ length: dimensions }, () => 0.5));
  const bytes = (count: number) => JSON.stringify(Array.from({ length: count }, () => one)).length - 1; // a bracket is no vector's
  expect(bytes(most)).toBeLessThanOrEqual(MAX_VECTORS_BYTES);
  expect(bytes(most + 1)).toBeGreaterThan(MAX_VECTORS_BYTES);
});
