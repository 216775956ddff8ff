import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { agreement, isContained } from "./agreement.ts";

describe("agreement", () => {
  it.each([
    ["the same text", "Paris", "Paris"],
    ["case", "PARIS", "paris"],
    ["white space", "  New\n\tYork ", "New York"],
    ["punctuation", "“Paris.”", "Paris"],
    ["punctuation inside a word, as SQuAD has it", "don't", "dont"],
    ["punctuation after a number", "It is 1.5.", "it is 1.5"],
    ["another form of the same characters", "ﬁve\u00a0apples", "five apples"],
    ["nothing at all", "", " "],
    ["the same signs alone", "?!", " ?! "],
    ["JSON of another layout", '{"a": 1, "b": [true, null]}', '{"b":[true,null],"a":1}'],
    ["the same number, written otherwise", "1e3", "1000.0"],
    ["empty JSON of another layout", "[]", "[ ]"],
  ])("is 1 for %s", (_name, one, other) => {
    expect(agreement(one, other)).toBe(1);
  });

  it.each([
    ["other words", "spam", "ham"],
    ["another number", "1.5", "15"],
    ["another thousand", "1,000", "1"],
    ["another sign", "-5", "5"],
    ["a range for a number", "3-5", "35"],
    ["a fraction for a number", "1/2", "12"],
    ["another choice", "A", "B"],
    ["other signs", "<", ">"],
    ["something for nothing", "Paris", ""],
    ["an empty list for an empty object", "[]", "{}"],
    ["JSON of another value", '{"label": "spam", "why": "the same long text"}', '{"label": "ham", "why": "the same long text"}'],
    ["JSON of another type", '{"rank": 10}', '{"rank": [10, 11]}'],
    ["JSON with one thing more", "[1, 2]", "[1, 2, 3]"],
    ["JSON with another key", '{"a": 1}', '{"b": 1}'],
    ["JSON with a list for an object", '["x"]', '{"0": "y"}'],
  ])("is 0 for %s", (_name, one, other) => {
    expect(agreement(one, other)).toBe(0);
  });

  it.each([
    ["the cat sat", "the cat", 0.8], // precision 2/2, recall 2/3
    ["in Paris, France", "Paris", 0.5], // 1/1, 1/3
    ["a a b", "a b b", 2 / 3], // a word counts as often as it is there
    ['{"label": "spam"}', "spam", 2 / 3], // one JSON is no JSON
    ["label spam", "spam", 2 / 3],
    ["-5 degrees", "5 degrees", 0.5],
  ])("of %j and %j is the F1 of their words: %d", (one, other, expected) => {
    expect(agreement(one, other)).toBeCloseTo(expected, 12);
  });

  it("does not end with the stack, however deep the JSON", () => {
    const deep = (value: string) => "[".repeat(100_000) + value + "]".repeat(100_000);
    expect([agreement(deep("1"), deep(" 1.0")), agreement(deep("1"), deep("2"))]).toEqual([1, 0]);
  });

  it("lies in [0, 1], is symmetric, and is 1 for the same text", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (one, other) => {
      const found = agreement(one, other);
      expect(found).toBeGreaterThanOrEqual(0);
      expect(found).toBeLessThanOrEqual(1);
      expect(agreement(other, one)).toBe(found);
      expect(agreement(one, one)).toBe(1);
    }));
  });
});

it.each<[string, string, boolean]>([
  ["Lima", "The capital of Peru is Lima, a city of ten million on the Pacific", true],
  ["Yes: it is.", "it is, yes", true],
  ["Quito", "The capital of Peru is Lima", false],
  ["no no", "no, never", false],
  ["4", "42", false],
  ["", "Lima", false],
  ["true", "{\"true\": 1}", false],
])("the words of %j and %j: one has all of the other's is %s", (one, other, expected) => {
  expect([isContained(one, other), isContained(other, one)]).toEqual([expected, expected]);
});
