import { expect, it } from "vitest";

import { makeTokenReader } from "./tokenReader.ts";

/** A tokenizer of these words, in which no special tokens stand around a text. */
const tokenizer = (vocab: Readonly<Record<string, number>>, unk_token: string | null = null) =>
  ({ version: "1.0", truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: { type: "Whitespace" }, post_processor: null, decoder: null, model: { type: "WordLevel", vocab, unk_token } });

it("reads words as their ids, and leaves out what no token stands for", () => {
  expect(makeTokenReader(tokenizer({ a: 0, goal: 1 }), 8)("goal xyz a")).toEqual({ ids: [1, 0], inputTokens: 2, isCut: false });
  expect(makeTokenReader(tokenizer({ a: 0, goal: 1, "?": 2 }, "?"), 8)("goal xyz a")).toEqual({ ids: [1, 2, 0], inputTokens: 3, isCut: false });
});

it("estimates what it does not read", () => {
  expect(makeTokenReader(tokenizer({ a: 0 }), 2)("a a a a a")).toEqual({ ids: [0, 0], inputTokens: 3, isCut: true });
});

it.each([
  ["knows no letter a", tokenizer({ goal: 1 }), 8, "no token for the letter a"],
  ["is a list", [], 8, "expected object"],
  ["has no model", {}, 8, "model: "],
  ["may read nothing", tokenizer({ a: 0 }), 0, "max_tokens 0 leaves no room"],
])("refuses a definition that %s", (_name, definition, maxTokens, message) => {
  expect(() => makeTokenReader(definition, maxTokens)).toThrow(message);
});
