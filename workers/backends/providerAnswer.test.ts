import { describe, expect, it } from "vitest";

import { Chat } from "#shared/contracts/chat.ts";

import { type Finished, spentUntil, toAnswer } from "./providerAnswer.ts";

const CHAT = Chat.parse({ messages: [{ role: "user", content: "Hello" }] });
const DONE: Finished = { text: "Hi", toolCalls: [], finish: "stop", refusal: null, model: null, usage: { input_tokens: 1, output_tokens: 1, source: "reported" }, confidence: null };
const made = (over: Partial<Finished> = {}, input: Parameters<typeof toAnswer>[0] = CHAT) => toAnswer(input, { ...DONE, ...over }, { config: { model: "m", max_output_tokens: 32 }, priorQuality: 0.7 });
const call = (args: string) => ({ id: "a", type: "function", function: { name: "f", arguments: args } });

describe("an answer is sound", () => {
  it.each<[string, boolean, Partial<Finished>]>([
    ["when it came to its end", true, {}],
    ["when it calls tools", true, { finish: "tool_calls", text: "", toolCalls: [call("{}")] }],
    ["when it calls them without arguments", true, { finish: "tool_calls", text: "", toolCalls: [call("")] }],
    ["not when it was cut", false, { finish: "length" }], ["not when it was filtered", false, { finish: "content_filter" }], ["not when it is blank", false, { text: " \n" }],
    ["not when it was refused", false, { refusal: "No." }], ["not when it says it calls tools and calls none", false, { finish: "tool_calls" }],
    ["not when its arguments are cut", false, { finish: "tool_calls", toolCalls: [call("{}"), call('{"a":')] }], ["not when they are no object", false, { finish: "tool_calls", toolCalls: [call("[1]")] }],
  ])("%s", (_name, isSound, over) => {
    expect(made(over).is_sound).toBe(isSound);
  });

  it.each([[16, true], [64, false]])("when a limit of %d tokens cut it, only where that was the caller's own: %j", (max_output_tokens, isSound) => {
    expect(made({ finish: "length" }, { ...CHAT, max_output_tokens }).is_sound).toBe(isSound);
  });

  it("only as text where a text was asked for", () => {
    expect(made({ finish: "tool_calls", toolCalls: [call("{}")] }, "Hello").is_sound).toBe(false);
  });
});

it("falls back on the tier's model, its prior and an estimate", () => {
  expect(made({ usage: null })).toMatchObject({ model: "m", confidence: 0.7, confidence_source: "prior", usage: { source: "estimated" } });
});

it("spent at least what it said, also in arguments, when it broke off", () => {
  expect(spentUntil(CHAT, "x".repeat(40), { input_tokens: 7, output_tokens: 1, cached_input_tokens: 3, source: "reported" })).toEqual({ input_tokens: 7, output_tokens: 10, cached_input_tokens: 3, source: "estimated" });
  expect(spentUntil("x".repeat(40), "", null)).toEqual({ input_tokens: 10, output_tokens: 0, source: "estimated" });
});
