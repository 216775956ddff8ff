import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { AnswerDelta, TokenMessage } from "./chat.ts";
import { follow, NOTHING_SENT, restOf, type Sent } from "./follow.ts";

const piece = (seq: number, deltas: AnswerDelta[], run = "a"): TokenMessage => ({ type: "token.v1", run, seq, tier: "small", model: "m", deltas });
const after = (...messages: TokenMessage[]): { sent: Sent; shown: AnswerDelta[] } =>
  messages.reduce<{ sent: Sent; shown: AnswerDelta[] }>(({ sent, shown }, message) => {
    const next = follow(sent, message);
    return { sent: next.sent, shown: [...shown, ...next.deltas] };
  }, { sent: NOTHING_SENT, shown: [] });
const textOf = (deltas: readonly AnswerDelta[]) => deltas.map(({ text }) => text ?? "").join("");
const restText = (deltas: readonly AnswerDelta[] | null) => (deltas === null ? null : textOf(deltas));

describe("follow", () => {
  it("shows the pieces of one run in their order", () => {
    expect(textOf(after(piece(0, [{ text: "ab" }, { text: "c" }]), piece(1, [{ text: "d" }])).shown)).toBe("abcd");
  });

  it.each([
    ["that is missing", [piece(0, [{ text: "a" }]), piece(2, [{ text: "c" }]), piece(3, [{ text: "d" }])]],
    ["that came twice", [piece(0, [{ text: "a" }]), piece(0, [{ text: "a" }]), piece(1, [{ text: "b" }])]],
    ["of another run", [piece(0, [{ text: "a" }]), piece(1, [{ text: "b" }], "b"), piece(1, [{ text: "b" }])]],
    ["of another run that begins", [piece(0, [{ text: "a" }]), piece(0, [{ text: "x" }], "b"), piece(1, [{ text: "y" }], "b")]],
  ])("shows nothing from a piece on %s", (_name, messages) => {
    const { sent, shown } = after(...messages);
    expect([textOf(shown), sent.isStopped, sent.text]).toEqual(["a", true, "a"]);
  });

  it("shows nothing to who came too late for the first piece", () => {
    expect(after(piece(1, [{ text: "b" }]), piece(0, [{ text: "x" }], "b")).shown).toEqual([]);
  });

  it("shows no call that is not a function's: the stored event will have it whole", () => {
    expect(after(piece(0, [{ tool_calls: [{ index: 0, id: "c", type: "custom", custom: { name: "f", input: "i" } }] }])).shown).toEqual([]);
  });
});

const CALLS = [{ id: "c1", type: "function", function: { name: "f", arguments: '{"a":1}' } }, { id: "c2", type: "function", function: { name: "g", arguments: "{}" } }];
const callPiece = (index: number, call: object) => ({ tool_calls: [{ index, ...call }] });

describe("restOf", () => {
  it("of what was cut anywhere is what is missing, in whole characters", () => {
    fc.assert(fc.property(fc.string({ unit: "grapheme", maxLength: 600 }), fc.nat(600), (output, at) => {
      const begun = output.slice(0, at);
      const rest = restOf({ ...NOTHING_SENT, text: begun }, { output, message: undefined });
      expect(begun + (restText(rest) ?? "?")).toBe(output);
    }));
    expect(restOf(NOTHING_SENT, { output: "🌍".repeat(500) })?.every(({ text }) => text?.isWellFormed())).toBe(true);
  });

  it("of a long answer comes in several pieces, and not in thousands", () => {
    expect(restOf(NOTHING_SENT, { output: "x".repeat(200) })).toHaveLength(4);
    expect(restOf(NOTHING_SENT, { output: "x".repeat(200_000) })).toHaveLength(128);
  });

  it("is nothing when all was sent", () => {
    expect(restOf(after(piece(0, [{ text: "spam" }])).sent, { output: "spam" })).toEqual([]);
  });

  it.each<[string, AnswerDelta[]]>([
    ["another text", [{ text: "ham" }]], ["more text", [{ text: "spam and more" }]], ["a refusal that is not there", [{ text: "sp", refusal: "no" }]],
    ["another call", [callPiece(0, { id: "c9", type: "function", function: { name: "f", arguments: "" } })]],
    ["other arguments", [callPiece(0, { id: "c1", type: "function", function: { name: "f", arguments: '{"b"' } })]],
    ["a third call", [callPiece(2, { id: "c3", type: "function", function: { name: "f", arguments: "" } })]],
  ])("is null where a client was sent %s", (_name, deltas) => {
    expect(restOf(after(piece(0, deltas)).sent, { output: "spam", message: { finish_reason: "tool_calls", refusal: null, tool_calls: CALLS } })).toBeNull();
  });

  it("has the calls that were not sent, and the rest of those that were begun", () => {
    const { sent } = after(piece(0, [callPiece(0, { id: "c1", type: "function", function: { name: "f", arguments: "" } }), callPiece(0, { function: { arguments: '{"a"' } })]));
    const message = { finish_reason: "tool_calls" as const, refusal: null, tool_calls: CALLS };
    expect(restOf(sent, { output: "", message })).toEqual([{ tool_calls: [{ index: 0, function: { arguments: ":1}" } }, { index: 1, ...CALLS[1] }] }]);
    expect(restOf(NOTHING_SENT, { output: "", message })).toEqual([{ tool_calls: CALLS.map((call, index) => ({ index, ...call })) }]);
  });

  it("has the refusal, and the logprobs of tokens that were not sent", () => {
    const content = [{ token: "a" }, { token: "b" }, { token: "c" }];
    const { sent } = after(piece(0, [{ text: "a", logprobs: { content: [content[0]] } }]));
    expect(restOf(sent, { output: "abc", message: { finish_reason: "stop", refusal: null, logprobs: { content } } })).toEqual([{ text: "bc", logprobs: { content: content.slice(1) } }]);
    expect(restOf(NOTHING_SENT, { output: "", message: { finish_reason: "stop", refusal: "no" } })).toEqual([{ refusal: "no" }]);
  });
});
