import { describe, expect, it } from "vitest";

import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { ResponseBody } from "#shared/contracts/responses.ts";
import { TierFile } from "#shared/contracts/tiers.ts";

import { refusalOfIssues } from "../refusal.ts";
import { responseRequestOf } from "./requestOf.ts";

const door = { tierFile: TierFile.parse(tierFixture), budgetUsd: 1 };
const asked = (more: object = {}, headers: Record<string, string> = {}) => responseRequestOf(ResponseBody.parse({ model: "auto", input: "hi", ...more }), headers, door);
const messagesOf = (input: readonly object[]) => {
  const result = asked({ input });
  return result.kind === "asked" ? result.body.chat?.messages : result.refusal;
};
const call = (id: string) => ({ type: "function_call", call_id: id, name: "f", arguments: "{}" });
const chatCall = (id: string) => ({ id, type: "function", function: { name: "f", arguments: "{}" } });
const output = (id: string) => ({ type: "function_call_output", call_id: id, output: "seen" });

describe("responseRequestOf", () => {
  it("of the shortest call is one message from the user, and defaults for what we need", () => {
    expect(asked()).toEqual({ kind: "asked", body: { user_id: "anonymous", budget: 1, chat: { messages: [{ role: "user", content: "hi" }] } } });
  });

  it("hands on what the model is asked, as chats have it", () => {
    const schema = { type: "object", properties: {} };
    const more = {
      instructions: "be brief", tools: [{ type: "function", name: "f", description: "d", parameters: schema, strict: true }, { type: "function", name: "g", parameters: null, strict: null }],
      tool_choice: { type: "function", name: "f" }, parallel_tool_calls: false, text: { format: { type: "json_schema", name: "n", schema, strict: true }, verbosity: "medium" },
      reasoning: { effort: "low", summary: "auto" }, max_output_tokens: 5, temperature: 0, top_p: 0.5, include: ["message.output_text.logprobs"], top_logprobs: 2,
      stream: true, user: "u", metadata: { k: "v" }, store: false, service_tier: "auto", truncation: "disabled", background: false,
    };
    expect(asked(more)).toEqual({
      kind: "asked",
      body: {
        user_id: "u", budget: 1, metadata: { k: "v" }, stream: true,
        chat: {
          messages: [{ role: "system", content: "be brief" }, { role: "user", content: "hi" }],
          tools: [{ type: "function", function: { name: "f", description: "d", parameters: schema, strict: true } }, { type: "function", function: { name: "g" } }],
          tool_choice: { type: "function", function: { name: "f" } }, parallel_tool_calls: false, response_format: { type: "json_schema", json_schema: { name: "n", schema, strict: true } },
          reasoning_effort: "low", max_output_tokens: 5, temperature: 0, top_p: 0.5, logprobs: true, top_logprobs: 2,
        },
      },
    });
  });

  it("takes null for what was not set", () => {
    const names = ["instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "max_output_tokens", "temperature", "top_p", "top_logprobs", "include", "stream", "user", "metadata", "store", "previous_response_id", "conversation", "prompt", "background", "truncation"];
    expect(asked(Object.fromEntries(names.map((name) => [name, null])))).toEqual(asked());
    expect(asked({ text: { format: { type: "text" } } })).toEqual(asked());
    expect(asked({ text: { format: { type: "json_object" } } })).toMatchObject({ body: { chat: { response_format: { type: "json_object" } } } });
  });

  it("reads messages of texts and images, with or without their type", () => {
    expect(messagesOf([
      { role: "developer", content: "d" },
      { type: "message", role: "user", content: [{ type: "input_text", text: "what?" }, { type: "input_image", image_url: "data:", detail: "low" }] },
      { type: "message", id: "msg_1", status: "completed", role: "assistant", content: [{ type: "output_text", text: "a cat", annotations: [], logprobs: [] }] },
      { role: "assistant", content: [{ type: "refusal", refusal: "no" }] },
    ])).toEqual([
      { role: "developer", content: "d" },
      { role: "user", content: [{ type: "text", text: "what?" }, { type: "image_url", image_url: { url: "data:", detail: "low" } }] },
      { role: "assistant", content: "a cat" },
      { role: "assistant", content: [{ type: "refusal", refusal: "no" }] },
    ]);
  });

  it("puts calls into the assistant's message before them, and outputs after it", () => {
    const user = { role: "user", content: "go" };
    expect(messagesOf([user, { role: "assistant", content: "well" }, call("a"), call("b"), output("a"), output("b"), call("c"), { ...output("c"), output: [{ type: "input_text", text: "x" }] }])).toEqual([
      user, { role: "assistant", content: "well", tool_calls: [chatCall("a"), chatCall("b")] },
      { role: "tool", tool_call_id: "a", content: "seen" }, { role: "tool", tool_call_id: "b", content: "seen" },
      { role: "assistant", content: null, tool_calls: [chatCall("c")] }, { role: "tool", tool_call_id: "c", content: "x" },
    ]);
  });

  it("names models and controls as chat completions do", () => {
    expect(asked({ model: "large", optimizer: { min_quality: 0.9 } }, { "x-optimizer-budget-usd": "0.25", "idempotency-key": "k-1" })).toMatchObject({ body: { policy: "always-large", min_quality: 0.9, budget: 0.25, request_id: "k-1" } });
  });

  it.each<[string, object, { status?: number; param: string }]>([
    ["a model that is not there", { model: "gpt-9" }, { status: 404, param: "model" }],
    ["top_logprobs alone", { top_logprobs: 2 }, { param: "top_logprobs" }],
    ["a conversation that is too long", { input: "x".repeat(250_000) }, { param: "input" }],
    ["two ids", { optimizer: { request_id: "a" } }, { param: "optimizer.request_id" }],
  ])("refuses %s", (_name, more, { status = 400, param }) => {
    expect(asked(more, { "idempotency-key": "b" })).toMatchObject({ kind: "refused", refusal: { status, error: { param } } });
  });
});

describe("ResponseBody", () => {
  it.each<[object, string, RegExp]>([
    [{ store: true }, "store", /nothing is stored/], [{ previous_response_id: "resp_1" }, "previous_response_id", /send the whole conversation/],
    [{ conversation: "c" }, "conversation", /send the whole conversation/], [{ prompt: { id: "p" } }, "prompt", /send instructions and input/],
    [{ background: true }, "background", /background/], [{ truncation: "auto" }, "truncation", /disabled/],
    [{ tools: [{ type: "web_search" }] }, "tools[0].type", /no built-in tools/], [{ include: ["file_search_call.results"] }, "include[0]", /./],
    [{ tool_choice: { type: "web_search" } }, "tool_choice.type", /./], [{ text: { format: { type: "grammar" } } }, "text.format.type", /json_schema/],
    [{ input: [{ type: "item_reference", id: "msg_1" }] }, "input[0].type", /must be one of message, function_call, function_call_output/],
    [{ input: [{ role: "boss", content: "x" }] }, "input[0].role", /./], [{ input: [{ role: "user", content: [{ type: "input_file", file_id: "f" }] }] }, "input[0].content[0].type", /must be one of input_text/],
    [{ input: [{ role: "user", content: [{ type: "input_image", file_id: "f" }] }] }, "input[0].content[0].image_url", /Missing/],
    [{ input: [] }, "input", /./], [{ input: undefined }, "input", /./], [{ n: 1 }, "n", /Unknown/], [{ max_tool_calls: 1 }, "max_tool_calls", /Unknown/],
  ])("refuses %j and says where and why", (more, param, why) => {
    const { error } = ResponseBody.safeParse({ model: "auto", input: "hi", ...more });
    const refusal = refusalOfIssues(error?.issues ?? []);
    expect(refusal.error.param).toBe(param);
    expect(refusal.error.message).toMatch(why);
  });
});
