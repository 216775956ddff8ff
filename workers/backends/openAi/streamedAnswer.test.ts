import { describe, expect, it } from "vitest";

import type { AnswerDelta, Chat, Prompt } from "#shared/contracts/chat.ts";
import { BackendConfig } from "#shared/contracts/tiers.ts";

import type { OpenAiConfig } from "./chatBody.ts";
import { makeStreamedAnswer } from "./streamedAnswer.ts";

const config = BackendConfig.parse({ kind: "openai-compatible", model: "m", base_url: "http://127.0.0.1:9/v1", max_output_tokens: 32 }) as OpenAiConfig;
const CHAT: Chat = { messages: [{ role: "user", content: "is this spam?" }] };
const begin = (input: Prompt = CHAT) => makeStreamedAnswer({ input, config, priorQuality: 0.7 });
const piece = (delta: object, over: object = {}, top: object = {}) => ({ id: "c", object: "chat.completion.chunk", model: "m-1", choices: [{ index: 0, delta, finish_reason: null, ...over }], ...top });
const text = (content: string, over: object = {}) => piece({ content }, over);
const end = (finish_reason = "stop") => piece({}, { finish_reason });
const usage = (over: object = {}) => ({ choices: [], usage: { prompt_tokens: 12, completion_tokens: 3, ...over } });
/** The pieces that could be shown, and the answer. */
function play(events: readonly unknown[], input?: Prompt) {
  const streamed = begin(input);
  const deltas = events.map((event) => streamed.take(typeof event === "string" ? event : JSON.stringify(event))).filter((delta): delta is AnswerDelta => delta !== null);
  return { deltas, streamed };
}
const answered = (events: readonly unknown[], input?: Prompt) => play(events, input).streamed.answer();
const thrown = (run: () => unknown): unknown => { try { return run(); } catch (error) { return error; } };

it("tells each piece of the text, and the whole at the end", () => {
  const { deltas, streamed } = play([piece({ role: "assistant", content: "", refusal: null }), text("sp"), text("am"), end(), usage({ prompt_tokens_details: { cached_tokens: 5 } }), "[DONE]"]);
  expect(deltas).toEqual([{ text: "sp" }, { text: "am" }]);
  expect([streamed.isComplete(), streamed.isOver()]).toEqual([true, true]);
  expect(streamed.answer()).toEqual({
    output: "spam", message: { finish_reason: "stop", refusal: null }, model: "m-1", is_sound: true, confidence: 0.7, confidence_source: "prior",
    usage: { input_tokens: 12, output_tokens: 3, cached_input_tokens: 5, source: "reported" },
  });
});

it("joins calls of tools by their index, and shows their pieces as they came", () => {
  const call = (index: number, more: object, over: object = {}) => piece({ tool_calls: [{ index, ...over, function: more }] });
  const { deltas, streamed } = play([
    call(0, { name: "f", arguments: "" }, { id: "a", type: "function" }), call(0, { arguments: '{"x"' }), call(1, { name: "g", arguments: "{}" }, { id: "b", type: "function" }), call(0, { arguments: ":1}" }), end("tool_calls"),
  ]);
  expect(deltas).toHaveLength(4);
  expect(deltas[1]).toEqual({ tool_calls: [{ index: 0, function: { arguments: '{"x"' } }] });
  expect(streamed.answer()).toMatchObject({ output: "", is_sound: true, message: { finish_reason: "tool_calls", tool_calls: [{ id: "a", type: "function", function: { name: "f", arguments: '{"x":1}' } }, { id: "b", function: { name: "g" } }] } });
});

it("counts calls itself where a server does not", () => {
  const events = [piece({ tool_calls: [{ id: "a", function: { name: "f", arguments: "{" } }] }), piece({ tool_calls: [{ function: { name: "", arguments: "}" } }] }), piece({ tool_calls: [{ id: "b", function: { name: "g", arguments: "{}" } }] }), end("tool_calls")];
  expect(play(events).deltas.map(({ tool_calls }) => tool_calls?.[0]?.index)).toEqual([0, 0, 1]);
  expect(answered(events).message?.tool_calls).toMatchObject([{ id: "a", type: "function", function: { name: "f", arguments: "{}" } }, { id: "b" }]);
});

it("streams a refusal as one", () => {
  const { deltas, streamed } = play([piece({ refusal: "I " }), piece({ refusal: "cannot" }), end()]);
  expect(deltas).toEqual([{ refusal: "I " }, { refusal: "cannot" }]);
  expect(streamed.answer()).toMatchObject({ output: "", is_sound: false, message: { refusal: "I cannot" } });
});

it("takes its confidence from log probabilities, and shows them to a caller that asked", () => {
  const token = { token: "spam", logprob: Math.log(0.5), bytes: [1], top_logprobs: [] };
  const events = [text("spam", { logprobs: { content: [token], refusal: null } }), end()];
  const asked = play(events, { ...CHAT, logprobs: true });
  expect(asked.deltas).toEqual([{ text: "spam", logprobs: { content: [token], refusal: null } }]);
  expect(asked.streamed.answer()).toMatchObject({ confidence: expect.closeTo(0.5, 9) as number, confidence_source: "token_logprobs", message: { logprobs: { content: [token], refusal: null } } });
  expect(play(events).deltas).toEqual([{ text: "spam" }]);
  expect(answered(events).message).not.toHaveProperty("logprobs");
});

it("joins what was cut within a character, and never shows half of one", () => {
  const { deltas, streamed } = play(['{"choices":[{"delta":{"content":"a\\ud83d"}}]}', '{"choices":[{"delta":{"content":"\\ude00b\\u0000\\ud83d"}}]}', end()]);
  expect(deltas.map((delta) => delta.text).join("")).toBe("a😀b\ufffd\ufffd");
  expect(streamed.answer().output).toBe("a😀b\ufffd\ufffd");
});

it("passes over other choices, thoughts and what else servers send", () => {
  expect(play([{ choices: [], prompt_filter_results: [] }, piece({ reasoning_content: "hm" }), text("x", { index: 1 }), text("spam"), end()]).deltas).toEqual([{ text: "spam" }]);
});

it("is complete only once a reason was given; an empty one is none", () => {
  expect(play([text("spam", { finish_reason: "" }), usage()]).streamed.isComplete()).toBe(false);
  expect(answered([text("spam"), end("error")])).toMatchObject({ is_sound: false, message: { finish_reason: "length" } });
});

describe("usage", () => {
  it.each<[string, unknown[], object]>([
    ["is estimated of what came", [text("x".repeat(9))], { output_tokens: 3, source: "estimated" }],
    ["is estimated with thoughts and calls", [piece({ reasoning_content: "x".repeat(8) }), piece({ reasoning: "x".repeat(8) })], { output_tokens: 4, source: "estimated" }],
    ["is what was reported at the end", [text("x".repeat(9)), end(), usage()], { input_tokens: 12, output_tokens: 3, source: "reported" }],
    ["is at least what was reported before it broke off", [text("x"), usage()], { input_tokens: 12, output_tokens: 3, source: "estimated" }],
    ["is what came where no number was reported", [usage({ completion_tokens: "3" }), text("x".repeat(90))], { input_tokens: 12, output_tokens: 23, source: "estimated" }],
    ["is reported, whatever that is", [text("x"), end(), usage({ prompt_tokens: 1e18 })], { input_tokens: 1e18, output_tokens: 3, source: "reported" }],
    ["is what came where that is more than was reported", [usage(), text("x".repeat(90))], { input_tokens: 12, output_tokens: 23, source: "estimated" }],
    ["is estimated of a complete answer without any", [text("x".repeat(9)), end()], { output_tokens: 3, source: "estimated" }],
  ])("%s", (_name, events, expected) => { expect(play(events).streamed.usage()).toMatchObject(expected); });

  it("is part of what it failed with", () => {
    expect(play([text("x".repeat(9))]).streamed.failure("backend_unavailable", "broke off")).toMatchObject({ isTransient: true, mayHaveCost: true, usage: { output_tokens: 3, source: "estimated" } });
    expect(play([text("x"), end(), usage()]).streamed.failure("backend_bad_response", "broke off")).toMatchObject({ isTransient: false, mayHaveCost: false, usage: { output_tokens: 3, source: "reported" } });
  });
});

describe("fails, billed, at", () => {
  it.each<[string, unknown, string]>([
    ["what is no JSON", '{"id":"chatcmpl-,,"', "backend_bad_response"],
    ["JSON of another shape", { answer: "spam" }, "backend_bad_response"],
    ["text that is none", piece({ content: 5 }), "backend_bad_response"],
    ["a call with an index beyond belief", piece({ tool_calls: [{ index: 1e6 }] }), "backend_bad_response"],
    ["__proto__", '{"__proto__":{},"choices":[]}', "backend_bad_response"],
    ["an error", { error: { message: "invalid key sk-123" } }, "backend_unavailable"],
    ["an error beside a choice", piece({}, { finish_reason: "error" }, { error: { message: "sk-123" } }), "backend_unavailable"],
    ["vLLM's older form of one", { object: "error", message: "sk-123" }, "backend_unavailable"],
  ])("%s", (_name, event, code) => {
    const error = thrown(() => play([text("x".repeat(9)), event]));
    expect(error).toMatchObject({ code, mayHaveCost: true, usage: { output_tokens: 3, source: "estimated" } });
    expect((error as Error).message).not.toContain("sk-123");
  });

  it("more text than an answer may have, at once", () => {
    const streamed = begin();
    const more = () => { for (let i = 0; i < 300; i++) streamed.take(JSON.stringify(text("x".repeat(1_024)))); };
    expect(thrown(more)).toMatchObject({ code: "backend_bad_response", usage: { source: "estimated" } });
  });
});
