import { describe, expect, it } from "vitest";

import { makeGeminiAnswer } from "./geminiReply.ts";

/** As the API's documentation shows it. */
const REPLY = {
  candidates: [{ content: { parts: [{ text: "AI learns patterns from data." }], role: "model" }, finishReason: "STOP", avgLogprobs: Math.log(0.8), index: 0 }],
  usageMetadata: { promptTokenCount: 8, candidatesTokenCount: 6, thoughtsTokenCount: 20, cachedContentTokenCount: 4, totalTokenCount: 34, promptTokensDetails: [{ modality: "TEXT", tokenCount: 8 }] },
  modelVersion: "gemini-3-x-001", responseId: "abc",
};
const [CANDIDATE] = REPLY.candidates;
const withCandidate = (over: object) => ({ ...REPLY, candidates: [{ ...CANDIDATE, ...over }] });
const answer = (...events: unknown[]) => {
  const growing = makeGeminiAnswer({ newId: () => "new", withLogprobs: true });
  const deltas = events.map((event) => growing.read(event)).filter((delta) => delta !== null);
  return { deltas, growing };
};
const end = (...events: unknown[]) => answer(...events).growing.end();

it("reads text, model, confidence, and thoughts as output that is paid for", () => {
  expect(end(REPLY)).toEqual({
    text: "AI learns patterns from data.", toolCalls: [], tokens: [], finish: "stop", refusal: null, model: "gemini-3-x-001", confidence: expect.closeTo(0.8, 9) as number,
    usage: { input_tokens: 8, output_tokens: 26, cached_input_tokens: 4, reasoning_output_tokens: 20, source: "reported" },
  });
});

it.each<[unknown, object | null]>([
  [{ promptTokenCount: 9, candidatesTokenCount: 2, promptTokensDetails: [{ modality: "TEXT", tokenCount: 4 }, { modality: "AUDIO", tokenCount: 5 }], candidatesTokensDetails: [{ modality: "IMAGE", tokenCount: 1 }] }, { input_tokens: 9, output_tokens: 2, unpriced_tokens: 6 }],
  [{ promptTokenCount: -1, candidatesTokenCount: "2", promptTokensDetails: "none" }, { input_tokens: -1, output_tokens: NaN }],
  ["none", null],
])("keeps an answer whatever usage it has, which is judged before it is charged: %j", (usageMetadata, expected) => {
  const { usage, text } = end({ ...REPLY, usageMetadata });
  expect(text).toBe("AI learns patterns from data.");
  if (expected === null) expect(usage).toBeNull();
  else expect(usage).toMatchObject(expected);
});

it("reads a call of a tool with its signature, under an id of our own where it has none", () => {
  const parts = [{ text: "Thinking", thought: true }, { functionCall: { name: "get_weather", args: { location: "Paris" } }, thoughtSignature: "c2ln" }, { functionCall: { id: "its", name: "now" } }];
  const { deltas, growing } = answer(withCandidate({ content: { role: "model", parts } }));
  const calls = [
    { id: "new", type: "function", function: { name: "get_weather", arguments: '{"location":"Paris"}' }, extra_content: { google: { thought_signature: "c2ln" } } },
    { id: "its", type: "function", function: { name: "now", arguments: "{}" } },
  ];
  expect(growing.end()).toMatchObject({ text: "", finish: "tool_calls", toolCalls: calls });
  expect(deltas).toEqual([{ tool_calls: calls.map((call, index) => ({ index, ...call })) }]);
});

it("takes confidence from the chosen tokens where they are told, and hands them on as OpenAI writes them", () => {
  const token = (text: string, probability: number) => ({ token: text, logProbability: Math.log(probability) });
  const logprobsResult = { chosenCandidates: [token("sp", 0.5), token("am", 0.5)], topCandidates: [{ candidates: [token("sp", 0.5), token("ha", 0.4)] }] };
  expect(end(withCandidate({ logprobsResult }))).toMatchObject({
    confidence: expect.closeTo(0.5, 9) as number,
    tokens: [{ token: "sp", logprob: Math.log(0.5), alternatives: [{ token: "sp" }, { token: "ha" }] }, { token: "am" }],
    logprobs: { content: [{ token: "sp", logprob: Math.log(0.5), bytes: [115, 112], top_logprobs: [{ token: "sp" }, { token: "ha", logprob: Math.log(0.4) }] }, { token: "am", top_logprobs: [] }] },
  });
});

it.each([["STOP", "stop"], ["MAX_TOKENS", "length"], ["SAFETY", "content_filter"], ["RECITATION", "content_filter"], ["BLOCKLIST", "content_filter"], ["PROHIBITED_CONTENT", "content_filter"], ["SPII", "content_filter"], ["LANGUAGE", "content_filter"]])("that ended by %s ended by %s", (finishReason, finish) => {
  expect(end(withCandidate({ finishReason })).finish).toBe(finish);
});

it.each([["MALFORMED_FUNCTION_CALL"], ["UNEXPECTED_TOOL_CALL"], ["OTHER"], ["A_REASON_OF_NEXT_YEAR"]])("is none when it ended by %s, and is paid for", (finishReason) => {
  expect(() => end(withCandidate({ finishReason }))).toThrow(expect.objectContaining({ code: "backend_bad_response", usage: expect.objectContaining({ output_tokens: 26 }) as object }) as Error);
});

it("that was blocked before it began is filtered, and its input is paid for", () => {
  expect(end({ promptFeedback: { blockReason: "SAFETY" }, usageMetadata: { promptTokenCount: 8 }, modelVersion: "m" })).toMatchObject({ text: "", finish: "content_filter", usage: { input_tokens: 8, output_tokens: 0 } });
});

describe("a stream", () => {
  const piece = (text: string, over: object = {}, told: object = {}) => ({ candidates: [{ content: { parts: [{ text }], role: "model" }, index: 0, ...over }], usageMetadata: { promptTokenCount: 8, ...told }, modelVersion: "m" });
  it("is its pieces, and the last usage counts", () => {
    const { deltas, growing } = answer(piece("AI ", {}, { candidatesTokenCount: 1 }), piece("learns", {}, { candidatesTokenCount: 2 }), piece("", { finishReason: "STOP" }, { candidatesTokenCount: 3, thoughtsTokenCount: 5 }));
    expect(deltas).toEqual([{ text: "AI " }, { text: "learns" }]);
    expect(growing.end()).toMatchObject({ text: "AI learns", finish: "stop", confidence: null, usage: { input_tokens: 8, output_tokens: 8 } });
  });

  it.each([0, 1, 2])("that ends after %d pieces without a reason is no answer", (pieces) => {
    const { growing } = answer(...Array.from({ length: pieces }, () => piece("AI ")));
    expect(() => growing.end()).toThrow(expect.objectContaining({ code: "backend_unavailable", isTransient: true, mayHaveCost: true }) as Error);
  });

  it.each([[503, "backend_unavailable", true], [429, "backend_unavailable", true], [400, "backend_refused", false]])("throws an error of code %d as %s", (code, expected, isTransient) => {
    expect(() => answer(piece("AI "), { error: { code, message: "key=1", status: "X" } })).toThrow(expect.objectContaining({ code: expected, isTransient, mayHaveCost: true }) as Error);
  });

  it.each<[string, unknown]>([["of another API", { choices: [] }], ["empty", {}], ["null", null], ["a candidate without shape", { candidates: [{ content: { parts: "x" } }] }]])("throws at an event that is %s", (_name, event) => {
    expect(() => answer(event)).toThrow(expect.objectContaining({ code: "backend_bad_response" }) as Error);
  });
});
