import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { evaluatePairs, LabelledPair, unfitToStore } from "./evaluatePairs.ts";

const read = (name: string) => readFileSync(new URL(`labelledPairs/${name}.jsonl`, import.meta.url), "utf8").trim().split("\n").map((line) => LabelledPair.parse(JSON.parse(line)));

describe("of the pairs that the guard was not made with", () => {
  const evaluation = evaluatePairs(read("heldOut"));

  it("no hit is false, which bounds their share below 2 % of those that it reads", () => {
    expect(evaluation.false_hits).toEqual([]);
    expect([evaluation.false_hit_rate.pairs, evaluation.unread_pairs]).toEqual([231, 174]);
    expect(evaluation.false_hit_rate.upper).toBeLessThan(0.02);
  });

  it("about a quarter of those that ask the same are hits", () => {
    expect(evaluation.hit_rate.hits / evaluation.hit_rate.pairs).toBeGreaterThan(0.2);
  });

  it("likeness alone would give as many hits with many false ones", () => {
    expect(evaluation.similarity_alone?.hit_rate.hits).toBeGreaterThanOrEqual(evaluation.hit_rate.hits);
    expect(evaluation.similarity_alone?.false_hit_rate.lower).toBeGreaterThan(0.1);
  });
});

it("a false hit is counted and named", () => {
  const wrong = { a: "What is DNS?", b: "what's dns", same: false };
  const { false_hits, false_hit_rate, hit_rate, similarity_alone } = evaluatePairs([wrong, { a: "What is DNS?", b: "What is TCP?", same: false }]);
  expect([false_hits, false_hit_rate.hits, false_hit_rate.pairs, hit_rate.pairs, similarity_alone]).toEqual([[wrong], 1, 2, 0, null]);
});

it("a pair that the guard does not read is not counted among those that could be false hits, and a set without hits is not to be stored", () => {
  const { false_hit_rate, unread_pairs, hit_rate } = evaluatePairs([
    { a: "What is  DNS?", b: "What is TCP?", same: false }, { a: "How do you spell DNS?", b: "What is TCP?", same: false }, { a: "What is UDP?", b: "What is TCP?", same: false }, { a: "red", b: "blue", same: true },
  ]);
  expect([false_hit_rate.pairs, unread_pairs]).toEqual([1, 2]);
  expect([unfitToStore({ hit_rate }), unfitToStore({ hit_rate: { ...hit_rate, hits: 1 } })]).toEqual([expect.stringContaining("none of its pairs"), null]);
});
