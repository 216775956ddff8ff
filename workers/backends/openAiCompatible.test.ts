import { describe, expect, it } from "vitest";

import { BackendError } from "./backendError.ts";
import { toAnswer } from "./openAiCompatible.ts";

const REPLY = {
  id: "chatcmpl-1", object: "chat.completion", model: "m-2026-01",
  choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: "spam" }, logprobs: { content: [{ token: "spam", logprob: Math.log(0.8), top_logprobs: [] }] } }],
  usage: { prompt_tokens: 12, completion_tokens: 3, total_tokens: 15 },
};
const [CHOICE] = REPLY.choices;
const withChoice = (over: object) => ({ ...REPLY, choices: [{ ...CHOICE, ...over }] });
const read = (reply: unknown, input = "is this spam?") => toAnswer(typeof reply === "string" ? Buffer.from(reply) : Buffer.from(JSON.stringify(reply)), input, "m", 0.7);

it("reads answer, model, usage and confidence", () => {
  expect(read(REPLY)).toEqual({
    output: "spam", model: "m-2026-01", usage: { input_tokens: 12, output_tokens: 3, source: "reported" }, is_sound: true, confidence: expect.closeTo(0.8, 9) as number, confidence_source: "token_logprobs",
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
    ["with usage below zero", { ...REPLY, usage: { prompt_tokens: -1, completion_tokens: 3 } }], ["with usage beyond belief", { ...REPLY, usage: { prompt_tokens: 1e18, completion_tokens: 3 } }],
    ["with usage as text", { ...REPLY, usage: { prompt_tokens: "12", completion_tokens: 3 } }],
  ])("%s", (_name, reply) => {
    const thrown = ((): unknown => { try { return read(reply); } catch (error) { return error; } })();
    expect(thrown).toBeInstanceOf(BackendError);
    expect(thrown).toMatchObject({ code: "backend_bad_response", isTransient: false, mayHaveCost: true });
    expect((thrown as Error).message).not.toContain("sk-123");
  });
});
