import fc from "fast-check";
import { expect, it } from "vitest";

import { canonicalJson } from "#shared/contracts/canonicalJson.ts";

import { firstDifference } from "./firstDifference.ts";

it.each<[string, unknown, unknown, object | null]>([
  ["equal values, whatever the order of keys", { a: 1, b: [{ c: null, d: "x" }] }, { b: [{ d: "x", c: null }], a: 1 }, null],
  ["what JSON leaves out", { a: undefined }, {}, null],
  ["what JSON leaves out, on the other side", {}, { a: undefined }, null],
  ["a field that only one has, beside one that JSON leaves out", { a: 1, b: undefined }, { a: 1, c: 2 }, { path: "c", decided: 2 }],
  ["as many fields, of which JSON leaves out one", { a: 1 }, { b: 1, a: undefined }, { path: "a", recorded: 1, decided: undefined }],
  ["what JSON cannot say", { a: null, b: 0 }, { a: Infinity, b: -0 }, null],
  ["another value, deep inside", { a: [{ b: 1 }] }, { a: [{ b: 2 }] }, { path: "a.0.b", recorded: 1, decided: 2 }],
  ["a field that only one has", { a: 1 }, { a: 1, b: 2 }, { path: "b", decided: 2 }],
  ["a shorter list", [1, 2], [1], { path: "1", recorded: 2, decided: undefined }],
  ["a list and an object", [], {}, { path: "", recorded: [], decided: {} }],
  ["a name that every object inherits", {}, { constructor: "tried" }, { path: "constructor", decided: "tried" }],
  ["the same the other way round", { constructor: "tried" }, {}, { path: "constructor", recorded: "tried", decided: undefined }],
])("tells %s", (_what, recorded, decided, expected) => {
  expect(firstDifference(recorded, decided)).toEqual(expected);
});

it("finds a difference exactly where the canonical texts differ", () => {
  const value = fc.jsonValue({ maxDepth: 3 });
  fc.assert(fc.property(value, value, (a, b) => {
    expect(firstDifference(a, b) === null).toBe(canonicalJson(a) === canonicalJson(b));
    expect(firstDifference(a, JSON.parse(canonicalJsonOf(a)))).toBeNull();
  }), { numRuns: 500 });
});
const canonicalJsonOf = (value: unknown): string => JSON.stringify(value);
