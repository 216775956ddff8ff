import { describe, expect, it } from "vitest";

import type { Chat } from "#shared/contracts/chat.ts";
import { BackendConfig } from "#shared/contracts/tiers.ts";

import { BackendError } from "../backendError.ts";
import type { OpenAiConfig } from "./chatBody.ts";
import { readReply } from "./chatReply.ts";

const REPLY = {
  id: "chatcmpl-1", object: "chat.completion", model: "m-2026-01",
  choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: "spam" }, logprobs: { content: [{ token: "spam", logprob: Math.log(0.8), top_logprobs: [] }] } }],
  usage: { prompt_tokens: 12, completion_tokens: 3, total_tokens: 15 },
};
const [CHOICE] = REPLY.choices;
const withChoice = (over: object) => ({ ...REPLY, choices: [{ ...CHOICE, ...over }] });
const config = (over: object = {}) => BackendConfig.parse({ kind: "openai-compatible", model: "m", base_url: "http://127.0.0.1:9/v1", max_output_tokens: 32, ...over }) as OpenAiConfig;
const read = (reply: unknown, input: string | Chat = "is this spam?", over: object = {}) => readReply(Buffer.from(typeof reply === "string" ? reply : JSON.stringify(reply)), { input, config: config(over), priorQuality: 0.7 });
const chat = (over: Partial<Chat> = {}): Chat => ({ messages: [{ role: "user", content: "is this spam?" }], ...over });
const call = (over: object = {}) => ({ id: "call_a", type: "function", function: { name: "look_up", arguments: '{"q":1}' }, ...over });

it("reads answer, model, usage and confidence", () => {
  expect(read(REPLY)).toEqual({
    output: "spam", model: "m-2026-01", usage: { input_tokens: 12, output_tokens: 3, source: "reported" }, is_sound: true, confidence: expect.closeTo(0.8, 9) as number, confidence_source: "token_logprobs",
    tokens: expect.any(Array) as unknown[],
  });
});

describe("an answer that is not sound", () => {
  it.each([
    ["cut at the token limit", { finish_reason: "length" }],
    ["filtered", { finish_reason: "content_filter" }],
    ["a call of a tool", { finish_reason: "tool_calls", message: { content: null } }],
    ["without a reason to have finished", { finish_reason: null }],
    ["with a reason that nobody knows", { finish_reason: "error" }],
    ["without content", { message: { content: null } }],
    ["empty", { message: { content: "" } }],
    ["blank", { message: { content: " \n" } }],
    ["refused", { message: { content: "spam", refusal: "I cannot" } }],
  ])("is one that is %s, however sure the model was", (_name, over) => {
    expect(read(withChoice(over))).toMatchObject({ is_sound: false });
  });

  it("is still paid for", () => {
    expect(read(withChoice({ finish_reason: "length" }))).toMatchObject({ usage: { input_tokens: 12, output_tokens: 3 } });
  });
});

describe("what a server leaves out", () => {
  it.each([["left out", undefined], ["null", null]])("estimates usage that is %s, and says so", (_name, usage) => {
    expect(read({ ...REPLY, usage }, "x".repeat(9)).usage).toEqual({ input_tokens: 3, output_tokens: 1, source: "estimated" });
  });

  it.each([["left out", undefined], ["null", null], ["empty", { content: [] }], ["without content", { content: null }]])("takes the prior for logprobs that are %s", (_name, logprobs) => {
    expect(read(withChoice({ logprobs }))).toMatchObject({ confidence: 0.7, confidence_source: "prior", is_sound: true });
  });

  it("takes the model that was asked for one that does not say its name", () => {
    expect(read({ ...REPLY, model: undefined }).model).toBe("m");
  });
});

describe("is backend_bad_response, not transient and perhaps paid for, when the reply is", () => {
  it.each<[string, unknown]>([
    ["empty", ""], ["HTML", "<html>502</html>"], ["an empty object", {}], ["of another shape", { answer: "spam" }], ["cut", JSON.stringify(REPLY).slice(0, -5)],
    ["an error with status 200", { error: { message: "invalid key sk-123" } }], ["without a choice", { ...REPLY, choices: [] }], ["null", "null"],
    ["with content that is no text", withChoice({ message: { content: [{ type: "text", text: "x" }] } })], ["with __proto__", '{"__proto__":{"a":1},"choices":[]}'],
  ])("%s", (_name, reply) => {
    const thrown = ((): unknown => { try { return read(reply); } catch (error) { return error; } })();
    expect(thrown).toBeInstanceOf(BackendError);
    expect(thrown).toMatchObject({ code: "backend_bad_response", isTransient: false, mayHaveCost: true });
    expect((thrown as Error).message).not.toContain("sk-123");
  });
});

describe("an answer to a conversation", () => {
  it("has its message", () => {
    expect(read(REPLY, chat())).toMatchObject({ output: "spam", is_sound: true, message: { finish_reason: "stop", refusal: null } });
    expect(read(REPLY, chat()).message).toEqual({ finish_reason: "stop", refusal: null });
  });

  it("has calls of tools, with what servers add and without what they leave out", () => {
    const reply = withChoice({ finish_reason: "tool_calls", message: { content: null, tool_calls: [call({ extra_content: { signature: "x" } }), call({ id: undefined, type: undefined })] } });
    expect(read(reply, chat())).toMatchObject({ output: "", is_sound: true, message: { finish_reason: "tool_calls", tool_calls: [call({ extra_content: { signature: "x" } }), call({ id: "call_1" })] } });
  });

  it.each<[string, string | null, ReturnType<typeof read>["message"]]>([
    ["that nobody knows", "error", { finish_reason: "length", refusal: null }], ["that is missing", null, { finish_reason: "length", refusal: null }], ["that is empty", "", { finish_reason: "length", refusal: null }],
    ["that is a filter's", "content_filter", { finish_reason: "content_filter", refusal: null }],
  ])("with a reason to end %s is not complete", (_name, finish_reason, message) => {
    expect(read(withChoice({ finish_reason }), chat({ max_output_tokens: 5 }))).toMatchObject({ is_sound: false, message });
  });

  it.each([["its own limit", 5, true], ["the tier's limit", 99, false], ["a limit that it did not set", undefined, false]])("that was cut at %s is sound: %j %j", (_name, limit, is_sound) => {
    expect(read(withChoice({ finish_reason: "length" }), chat(limit === undefined ? {} : { max_output_tokens: limit })).is_sound).toBe(is_sound);
  });

  it("has log probabilities when it asked for them, and not else", () => {
    const sent = { content: [{ token: "spam", logprob: Math.log(0.8), top_logprobs: [] }], refusal: null };
    expect(read(REPLY, chat({ logprobs: true })).message?.logprobs).toEqual(sent);
    expect(read(REPLY, chat()).message).not.toHaveProperty("logprobs");
    const bulky = { content: Array.from({ length: 4_000 }, () => ({ token: "spam", logprob: -1, top_logprobs: [{ token: "x".repeat(100), logprob: -1 }] })) };
    const answer = read(withChoice({ logprobs: bulky }), chat({ logprobs: true }));
    expect(answer.message).not.toHaveProperty("logprobs"); // no room for them
    expect(answer).toMatchObject({ is_sound: true, confidence: expect.closeTo(Math.exp(-1), 9) as number });
  });

  it("holds no character that cannot be kept", () => {
    const reply = withChoice({ message: { content: "a\0", refusal: "b\ud83c", tool_calls: [call({ id: "c\0" })] } });
    expect(read(reply, chat())).toMatchObject({ output: "a\ufffd", message: { refusal: "b\ufffd", tool_calls: [{ id: "c\ufffd" }] } });
  });
});

it("counts what was cached and what was thought, as part of the rest", () => {
  const usage = (cached_tokens: number, reasoning_tokens: number) => ({ ...REPLY, usage: { ...REPLY.usage, prompt_tokens_details: { cached_tokens, audio_tokens: 0 }, completion_tokens_details: { reasoning_tokens } } });
  expect(read(usage(8, 2)).usage).toEqual({ input_tokens: 12, output_tokens: 3, cached_input_tokens: 8, reasoning_output_tokens: 2, source: "reported" });
});

it("counts what was written to a cache, and what has no price of its own", () => {
  const usage = { ...REPLY.usage, prompt_tokens_details: { cache_write_tokens: 7, audio_tokens: 4 }, completion_tokens_details: { audio_tokens: 2 } };
  expect(read({ ...REPLY, usage }).usage).toEqual({ input_tokens: 12, output_tokens: 3, cache_write_input_tokens: 7, unpriced_tokens: 6, source: "reported" });
});

it.each<[string, unknown, object]>([
  ["below zero", { prompt_tokens: -1, completion_tokens: 3 }, { input_tokens: -1, output_tokens: 3, source: "reported" }],
  ["beyond belief", { prompt_tokens: 1e18, completion_tokens: 3 }, { input_tokens: 1e18, output_tokens: 3, source: "reported" }],
  ["as text", { prompt_tokens: "12", completion_tokens: 3 }, { input_tokens: NaN, output_tokens: 3, source: "reported" }],
  ["of one side", { completion_tokens: 3, prompt_tokens_details: "none" }, { input_tokens: NaN, output_tokens: 3, source: "reported" }],
  ["of another shape", [12, 3], { source: "estimated" }], ["without a count", {}, { input_tokens: NaN, output_tokens: NaN, source: "reported" }],
  ["that is none", 15, { source: "estimated" }],
])("keeps an answer with usage %s: that is judged before it is charged", (_name, usage, expected) => {
  expect(read({ ...REPLY, usage })).toMatchObject({ output: "spam", is_sound: true, usage: expected });
});

it("estimates tokens of the tier's system message too", () => {
  expect(read({ ...REPLY, usage: undefined }, "x".repeat(9), { system: "y".repeat(9) }).usage).toMatchObject({ input_tokens: 5, source: "estimated" });
});

it("refuses an answer that is too large for its message, billed", () => {
  const thrown = ((): unknown => { try { return read(withChoice({ message: { content: "x".repeat(256 * 1024) } })); } catch (error) { return error; } })();
  expect(thrown).toMatchObject({ code: "backend_bad_response", isBackendsFault: false, mayHaveCost: false, usage: { input_tokens: 12, output_tokens: 3 } });
});
