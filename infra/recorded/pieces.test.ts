import fc from "fast-check";
import { expect, test } from "vitest";

import { cutText, piecesOf } from "./pieces.ts";

test("a piece is a word with the space before it", () => {
  expect(piecesOf(" We refer\n\nto  it. ")).toEqual([" We", " refer", "\n\nto", "  it.", " "]);
  expect(piecesOf("")).toEqual([]);
});

test("pieces concatenate to the text", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => { expect(piecesOf(text).join("")).toBe(text); }));
});

test.each([
  ["all of it", [], null, "one two three", "stop"],
  ["as many pieces as there are", [], 3, "one two three", "stop"],
  ["fewer pieces", [], 2, "one two", "length"],
  ["a stop sequence", ["wo"], null, "one t", "stop"],
  ["the first of two stop sequences", ["three", " two"], null, "one", "stop"],
  ["a stop sequence before the limit", ["two"], 2, "one ", "stop"],
  ["a limit before the stop sequence", ["three"], 1, "one", "length"],
  ["a stop sequence that is not there", ["four"], null, "one two three", "stop"],
] as const)("%s", (_what, stops, mostPieces, kept, finishReason) => {
  const cut = cutText("one two three", stops, mostPieces);
  expect({ kept: cut.pieces.join(""), finishReason: cut.finishReason }).toEqual({ kept, finishReason });
});
