import { expect, it } from "vitest";

import { WORD_PLACES } from "#shared/contracts/routingModel.ts";

import { queryFeatures } from "./queryFeatures.ts";

it.each([
  ["a plain question", "What is the capital of France?", { digits: 0, negation: 0 }],
  ["choices", "Which is NOT a mammal?\nA: cat\nB: carp", { digits: 0, negation: 1 }],
  ["numbers", "1234567890 1234567890 1234567890", { digits: 1, negation: 0, words: [] }],
  ["an empty text", "", { log_length: -5.5, digits: 0, negation: 0, words: [] }],
])("features of %s are small and finite", (_name, query, expected) => {
  const found = queryFeatures(query);
  expect(found).toMatchObject(expected);
  for (const word of found.words) expect(Math.abs(word)).toBeLessThanOrEqual(WORD_PLACES);
  expect(found.words).not.toContain(0);
});

it("knows words by their letters alone, each once, in any script", () => {
  expect(queryFeatures("the cat, THE CAT!").words).toEqual(queryFeatures("The cat").words);
  expect(queryFeatures("кошка").words).toHaveLength(1);
});

it("reads the beginning of a long text only", () => {
  const beginning = "word ".repeat(400);
  expect(queryFeatures(`${beginning} something else`).words).toEqual(queryFeatures(beginning).words);
});
