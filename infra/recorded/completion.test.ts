import { expect, test } from "vitest";

import { confidenceFromLogprobs } from "#workers/confidence/fromLogprobs.ts";

import { type ChatRequest, readChatRequest } from "./chatRequest.ts";
import { chunksOf, type Completion, emptied, toCompletion, tokensOf, wholeReply } from "./completion.ts";
import { CALLS, LONG_TEXT, madeUpAnswers } from "./madeUpAnswers.ts";

function completionOf(model: string, more: object = {}, query = "What is 2 + 2?"): Completion {
  const answer = madeUpAnswers().find(query, model);
  if (answer === undefined) throw new Error(`no answer of ${model}`);
  const request = readChatRequest({ model, messages: [{ role: "user", content: query }], ...more }) as ChatRequest;
  return toCompletion(answer, { text: answer.text ?? "", calls: answer.calls }, request, { id: "chatcmpl-1", created: 1_700_000_000 });
}

test("a reply has OpenAI's shape and the recorded tokens, and nothing else", () => {
  expect(wholeReply(completionOf("big"))).toEqual({
    id: "chatcmpl-1", object: "chat.completion", created: 1_700_000_000, model: "big", system_fingerprint: "fp_recorded",
    choices: [{ index: 0, message: { role: "assistant", content: LONG_TEXT, refusal: null }, logprobs: null, finish_reason: "stop" }],
    usage: { prompt_tokens: 10, completion_tokens: 50, total_tokens: 60, prompt_tokens_details: { cached_tokens: 0 }, completion_tokens_details: { reasoning_tokens: 0 } },
  });
});

const LOOK = "Look here and there.";
const TOOLS = { tools: [{ type: "function", function: { name: "look" } }] };
const SENT_CALLS = CALLS.map(({ id, ...called }) => ({ id, type: "function", function: called }));

test("calls have OpenAI's shape, no text, and tokens for their arguments", () => {
  const { choices, usage } = wholeReply(completionOf("big", { ...TOOLS, logprobs: true }, LOOK));
  expect(choices).toEqual([{ index: 0, message: { role: "assistant", content: null, refusal: null, tool_calls: SENT_CALLS }, logprobs: null, finish_reason: "tool_calls" }]);
  expect(usage).toMatchObject({ prompt_tokens: 5, completion_tokens: 8 });
  expect(wholeReply(completionOf("small", TOOLS, LOOK)).choices[0]?.message).toMatchObject({ content: "I look.", tool_calls: SENT_CALLS.slice(0, 1) });
});

test("calls of the one function that was asked for end with stop, those that had to be any with their own reason", () => {
  const reasonOf = (tool_choice: unknown) => wholeReply(completionOf("big", { ...TOOLS, tool_choice }, LOOK)).choices[0]?.finish_reason;
  expect([reasonOf("required"), reasonOf({ type: "function", function: { name: "look" } })]).toEqual(["tool_calls", "stop"]);
});

test("half of some calls is what had come of them, for its share of 40 tokens, and no reason", () => {
  const half = wholeReply(completionOf("small", TOOLS, LOOK), 4);
  expect(half.choices[0]).toMatchObject({ message: { content: "I look.", tool_calls: [{ id: "call_1", function: { name: "look", arguments: '{"at' } }] }, finish_reason: null });
  expect(half.usage.completion_tokens).toBe(23);
});

test("without recorded tokens they are a quarter of the characters, rounded up", () => {
  expect(wholeReply(completionOf("small")).usage).toMatchObject({ prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 });
});

test("a part has its share of the tokens, never more than the caller allowed", () => {
  const whole = completionOf("big");
  expect([0, 20, 40].map((produced) => tokensOf(whole, produced))).toEqual([0, 25, 50]);
  const cut = wholeReply(completionOf("big", { max_tokens: 8 }));
  expect([cut.usage.completion_tokens, cut.choices[0]?.finish_reason]).toEqual([8, "length"]);
  expect(tokensOf(emptied(whole), 0)).toBe(0);
});

test("logprobs give the recorded confidence back, by their mean and their least value", () => {
  const content = wholeReply(completionOf("big", { logprobs: true, top_logprobs: 5 })).choices[0]?.logprobs?.content ?? [];
  const values = content.map(({ logprob }) => logprob);
  expect(confidenceFromLogprobs(values)).toBeCloseTo(0.75, 10);
  expect(Math.exp(Math.min(...values))).toBeCloseTo(0.75, 10);
  expect(content.map(({ token }) => token).join("")).toBe(LONG_TEXT);
  expect(content[0]).toEqual({ token: "word0", logprob: Math.log(0.75), bytes: [119, 111, 114, 100, 48], top_logprobs: [{ token: "word0", logprob: Math.log(0.75), bytes: [119, 111, 114, 100, 48] }] });
});

test("a confidence of 0 is a number in JSON, and 0 again", () => {
  const { logprob } = toCompletion({ rowId: "r", query: "q", text: "t", calls: [], costUsd: 0, promptTokens: 1, completionTokens: 1, confidence: 0, latencyMs: null }, { text: "t", calls: [] }, { ...(readChatRequest({ model: "m", messages: [{ role: "user", content: "q" }], logprobs: true }) as ChatRequest) }, { id: "x", created: 0 });
  expect([logprob, Math.exp(logprob ?? 0)]).toEqual([-9_999, 0]);
});

test("no logprobs where no confidence was recorded", () => { expect(wholeReply(completionOf("small", { logprobs: true })).choices[0]?.logprobs).toBeNull(); });

test("with usage asked for, all other chunks say that it is not there yet", () => {
  const { role, usage } = chunksOf(completionOf("big"), true);
  expect([role(), usage()]).toMatchObject([{ object: "chat.completion.chunk", usage: null }, { choices: [], usage: { total_tokens: 60 } }]);
  expect(chunksOf(completionOf("big"), false).role()).not.toHaveProperty("usage");
});
