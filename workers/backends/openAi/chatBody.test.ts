import { expect, it } from "vitest";

import type { Chat } from "#shared/contracts/chat.ts";
import { BackendConfig } from "#shared/contracts/tiers.ts";

import { isCallersLimit } from "../isSound.ts";
import { chatBody, type OpenAiConfig } from "./chatBody.ts";

const config = (over: object = {}) => BackendConfig.parse({ kind: "openai-compatible", model: "m", base_url: "http://127.0.0.1:9/v1", max_output_tokens: 32, logprobs: false, ...over }) as OpenAiConfig;
const messages: Chat["messages"] = [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:," } }] }, { role: "tool", tool_call_id: "1", content: "7" }];

it("hands on all that a conversation has", () => {
  const fields = {
    tools: [{ type: "function", function: { name: "f" } }], tool_choice: { type: "function", function: { name: "f" } }, parallel_tool_calls: false, response_format: { type: "json_schema" as const, json_schema: {} },
    temperature: 0, top_p: 0.5, frequency_penalty: 1, presence_penalty: -1, stop: ["a"], seed: 7, reasoning_effort: "low",
  };
  expect(chatBody({ messages, ...fields, logprobs: true, top_logprobs: 3, max_output_tokens: 5 }, config({ system: "Be brief.", output_limit_field: "max_completion_tokens" }), false)).toEqual({
    model: "m", messages: [{ role: "system", content: "Be brief." }, ...messages], ...fields, logprobs: true, top_logprobs: 3, max_completion_tokens: 5,
  });
});

it.each([[undefined, 32], [5, 5], [32, 32], [33, 32]])("caps a limit of %j tokens at the tier's: %d", (wanted, sent) => {
  expect(chatBody({ messages, ...(wanted === undefined ? {} : { max_output_tokens: wanted }) }, config(), false)).toMatchObject({ max_tokens: sent });
});

it.each([[undefined, false], [5, true], [32, true], [33, false]])("a limit of %j tokens is the caller's own: %j", (wanted, expected) => {
  expect(isCallersLimit({ messages, ...(wanted === undefined ? {} : { max_output_tokens: wanted }) }, config().max_output_tokens)).toBe(expected);
});

it.each<[string, boolean, Partial<Chat>, object]>([
  ["nobody wants none", false, {}, {}],
  ["the tier wants some", true, {}, { logprobs: true }],
  ["the tier wants some, whatever the caller says", true, { logprobs: false, top_logprobs: 2 }, { logprobs: true }],
  ["the caller wants some", false, { logprobs: true, top_logprobs: 2 }, { logprobs: true, top_logprobs: 2 }],
])("asks for log probabilities when %s", (_name, logprobs, over, expected) => {
  expect(chatBody({ messages, ...over }, config({ logprobs }), false)).toEqual({ model: "m", messages, max_tokens: 32, ...expected });
});

it("asks a stream for its usage, where the server knows that", () => {
  expect(chatBody("x", config(), true)).toMatchObject({ stream: true, stream_options: { include_usage: true } });
  expect(chatBody("x", config({ stream_usage: false }), true)).toEqual({ model: "m", messages: [{ role: "user", content: "x" }], max_tokens: 32, stream: true });
});
