import { expect, test } from "vitest";

import { confidenceFromLogprobs } from "#workers/confidence/fromLogprobs.ts";

import { type ChatRequest, readChatRequest } from "./chatRequest.ts";
import { chunksOf, type Completion, emptied, toCompletion, tokensOf, wholeReply } from "./completion.ts";
import { LONG_TEXT, madeUpAnswers } from "./madeUpAnswers.ts";

function completionOf(model: string, more: object = {}): Completion {
  const query = "What is 2 + 2?";
  const answer = madeUpAnswers().find(query, model);
  if (answer === undefined) throw new Error(`no answer of ${model}`);
  const request = readChatRequest({ model, messages: [{ role: "user", content: query }], ...more }) as ChatRequest;
  return toCompletion(answer, answer.text ?? "", request, { id: "chatcmpl-1", created: 1_700_000_000 });
}

test("a reply has OpenAI's shape and the recorded tokens, and nothing else", () => {
  expect(wholeReply(completionOf("big"))).toEqual({
    id: "chatcmpl-1", object: "chat.completion", created: 1_700_000_000, model: "big", system_fingerprint: "fp_recorded",
    choices: [{ index: 0, message: { role: "assistant", content: LONG_TEXT, refusal: null }, logprobs: null, finish_reason: "stop" }],
    usage: { prompt_tokens: 10, completion_tokens: 50, total_tokens: 60, prompt_tokens_details: { cached_tokens: 0 }, completion_tokens_details: { reasoning_tokens: 0 } },
  });
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
  const { logprob } = toCompletion({ rowId: "r", query: "q", text: "t", costUsd: 0, promptTokens: 1, completionTokens: 1, confidence: 0, latencyMs: null }, "t", { ...(readChatRequest({ model: "m", messages: [{ role: "user", content: "q" }], logprobs: true }) as ChatRequest) }, { id: "x", created: 0 });
  expect([logprob, Math.exp(logprob ?? 0)]).toEqual([-9_999, 0]);
});

test("no logprobs where no confidence was recorded", () => { expect(wholeReply(completionOf("small", { logprobs: true })).choices[0]?.logprobs).toBeNull(); });

test("with usage asked for, all other chunks say that it is not there yet", () => {
  const { role, usage } = chunksOf(completionOf("big"), true);
  expect([role(), usage()]).toMatchObject([{ object: "chat.completion.chunk", usage: null }, { choices: [], usage: { total_tokens: 60 } }]);
  expect(chunksOf(completionOf("big"), false).role()).not.toHaveProperty("usage");
});
