import { expect, it } from "vitest";

import { storable, storableJson } from "./text.ts";

it.each([
  ["plain text 🌍 שלום", "plain text 🌍 שלום"],
  ["a\0b\0", "a\ufffdb\ufffd"],
  ["a\ud83c", "a\ufffd"],
  ["\udf0db", "\ufffdb"],
  ["", ""],
])("makes %j storable as %j, once and again", (text, expected) => {
  expect([storable(text), storable(storable(text))]).toEqual([expected, expected]);
});

it("reaches every text of a JSON value", () => {
  expect(storableJson({ "a\0": ["b\0", 1, null, true, { c: "\ud83c" }] })).toEqual({ "a\ufffd": ["b\ufffd", 1, null, true, { c: "\ufffd" }] });
});
