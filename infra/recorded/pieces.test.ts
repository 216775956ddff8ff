import fc from "fast-check";
import { expect, test } from "vitest";

import { cutAnswer, joined, piecesOf, wordsOf } from "./pieces.ts";

const call = (id: string, args: string) => ({ id, name: `f-${id}`, arguments: args });

test("a piece of a text is a word with the space before it", () => {
  expect(wordsOf(" We refer\n\nto  it. ")).toEqual([" We", " refer", "\n\nto", "  it.", " "]);
  expect(wordsOf("")).toEqual([]);
});

test("a call is its beginning and then its arguments, in whole characters; one without arguments has begun, too", () => {
  expect(piecesOf({ text: "I look.", calls: [call("a", '{"at":"🌍🌍🌍"}'), call("b", "")] })).toEqual([
    { kind: "text", text: "I" }, { kind: "text", text: " look." },
    { kind: "call", index: 0, call: call("a", '{"at":"🌍🌍🌍"}') }, ...['{"at', '":"🌍', '🌍🌍"}'].map((text) => ({ kind: "arguments", index: 0, text })),
    { kind: "call", index: 1, call: call("b", "") },
  ]);
});

test("pieces joined are the answer", () => {
  const any = fc.string({ unit: "binary" });
  fc.assert(fc.property(any, fc.array(fc.record({ id: any, name: any, arguments: any }), { maxLength: 3 }), (text, calls) => { expect(joined(piecesOf({ text, calls }))).toEqual({ text, calls }); }));
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
  const cut = cutAnswer({ text: "one two three", calls: [] }, stops, mostPieces);
  expect({ kept: joined(cut.pieces).text, finishReason: cut.finishReason }).toEqual({ kept, finishReason });
});

test.each([
  ["all of them", [], null, ["12345678", "{}"], "tool_calls"],
  ["one that has begun", [], 2, [""], "length"],
  ["half of the arguments", [], 3, ["1234"], "length"],
  ["none behind a stop sequence", ["e"], null, [], "stop"],
  ["a stop sequence in the arguments, where none is looked for", ["5"], null, ["12345678", "{}"], "tool_calls"],
] as const)("of calls %s", (_what, stops, mostPieces, kept, finishReason) => {
  const cut = cutAnswer({ text: "one", calls: [call("a", "12345678"), call("b", "{}")] }, stops, mostPieces);
  expect({ kept: joined(cut.pieces).calls.map((one) => one.arguments), finishReason: cut.finishReason }).toEqual({ kept, finishReason });
});
