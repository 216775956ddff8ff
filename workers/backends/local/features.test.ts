import { expect, it } from "vitest";

import { countWords, makeFeatureReader, type FeatureRecipe } from "./features.ts";

const WORDS: FeatureRecipe = { max_characters: 1_000, table_bits: 20, word_pairs: false, character_runs: null, shapes: false };
function featuresOf(text: string, recipe: Partial<FeatureRecipe> = {}): number[] {
  const features: number[] = [];
  makeFeatureReader({ ...WORDS, ...recipe }).read(text, (index) => features.push(index));
  return features;
}

it("gives each feature once, and stays within the table", () => {
  const features = featuresOf("one two one TWO three", { table_bits: 10, word_pairs: true, character_runs: [3, 5], shapes: true });
  expect(new Set(features).size).toBe(features.length);
  expect(features.every((index) => Number.isInteger(index) && index >= 0 && index < 1_024)).toBe(true);
});

it("does not look beyond its limit", () => {
  expect(featuresOf("alpha beta gamma", { max_characters: 10 })).toEqual(featuresOf("alpha beta"));
});

it.each([["Free", "FREE"], ["in 1999", "in 2002"]])("takes %s and %s for the same words", (a, b) => {
  expect(featuresOf(a)).toEqual(featuresOf(b));
});

it("tells capitals and runs of signs apart when asked to", () => {
  expect(featuresOf("FREE!!!", { shapes: true })).not.toEqual(featuresOf("free!", { shapes: true }));
});

it("tells a word in the subject from one in the text", () => {
  expect(featuresOf("Subject: money\n\nx")).not.toEqual(featuresOf("Subject: x\n\nmoney"));
  expect(featuresOf("Subject: money")).toHaveLength(2);
});

it("reads one text the same after any other", () => {
  const reader = makeFeatureReader({ ...WORDS, word_pairs: true });
  const read = (text: string) => { const seen: number[] = []; reader.read(text, (index) => seen.push(index)); return seen; };
  const first = read("buy now");
  read("something else entirely");
  expect(read("buy now")).toEqual(first);
});

it.each(["", " \n\t ", "!?", "Subject:", "\ud83d", "\u0000"])("survives %j", (text) => {
  expect(() => featuresOf(text, { word_pairs: true, character_runs: [3, 5], shapes: true })).not.toThrow();
});

it.each([["", 0], ["test", 1], ["Don't stop, 2 or 3!", 5], ["  a\n\nb ", 2]])("counts the words of %j", (text, count) => {
  expect(countWords(text)).toBe(count);
});
