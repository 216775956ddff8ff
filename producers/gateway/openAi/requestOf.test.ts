import { describe, expect, it } from "vitest";

import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { ChatCompletionBody } from "#shared/contracts/openAi.ts";
import { TierFile } from "#shared/contracts/tiers.ts";

import { requestOf } from "./requestOf.ts";

const door = { tierFile: TierFile.parse(tierFixture), budgetUsd: 1 };
const messages = [{ role: "user", content: "hi" }];
const asked = (more: object = {}, headers: Record<string, string | string[]> = {}) => requestOf(ChatCompletionBody.parse({ model: "auto", messages, ...more }), headers, door);
const errorOf = (result: ReturnType<typeof requestOf>) => (result.kind === "refused" ? { status: result.refusal.status, code: result.refusal.error.code, param: result.refusal.error.param } : null);

describe("requestOf", () => {
  it("of the shortest call has defaults for what we need, and nothing else", () => {
    expect(asked()).toEqual({ kind: "asked", body: { user_id: "anonymous", budget: 1, chat: { messages } } });
  });

  it("hands on what the model is asked, under our names", () => {
    const chat = {
      tools: [{ type: "function", function: { name: "f", parameters: {} } }], tool_choice: "auto", parallel_tool_calls: false, response_format: { type: "json_object" },
      temperature: 0, top_p: 0.5, frequency_penalty: 1, presence_penalty: -1, stop: ["a"], seed: 7, logprobs: true, top_logprobs: 2, reasoning_effort: "low",
    };
    const more = { ...chat, max_completion_tokens: 5, user: "u", metadata: { k: "v" }, n: 1, stream: true, store: false, service_tier: "auto", modalities: ["text"], logit_bias: {} };
    expect(asked(more)).toMatchObject({ kind: "asked", body: { user_id: "u", metadata: { k: "v" }, stream: true, chat: { messages, ...chat, max_output_tokens: 5 } } });
  });

  it("takes null for what was not set", () => {
    const unset = Object.fromEntries(["tools", "tool_choice", "response_format", "n", "stream", "stream_options", "max_tokens", "stop", "seed", "temperature", "logprobs", "metadata", "user", "store"].map((name) => [name, null]));
    expect(asked(unset)).toEqual(asked());
  });

  it("keeps what a message has beyond the fields that we know", () => {
    const vision = [{ role: "user", name: "ada", content: [{ type: "image_url", image_url: { url: "data:" } }, { type: "text", text: "what?" }] }];
    expect(asked({ messages: vision })).toMatchObject({ body: { chat: { messages: vision } } });
  });

  it.each([["auto:cascade", "cascade"], ["large", "always-large"]])("reads model %s as policy %s", (model, policy) => {
    expect(asked({ model })).toMatchObject({ body: { policy } });
  });

  it("reads controls from headers, from the body, or from both when they agree", () => {
    const headers = {
      "x-optimizer-budget-usd": "0.25", "x-optimizer-min-quality": "0.9", "x-optimizer-min-tier": "small", "x-optimizer-max-tier": "large", "x-optimizer-deadline-ms": "5000",
      "x-optimizer-latency-slo-ms": "900", "x-optimizer-task": "mail", "x-optimizer-request-id": "r-1", "x-optimizer-explain": "true", "x-optimizer-tenant": "t9", authorization: "Bearer any",
    };
    const { tenant_id, ...controls } = { tenant_id: "t9", min_quality: 0.9, min_tier: "small", max_tier: "large", deadline_ms: 5_000, latency_slo_ms: 900, task: "mail", request_id: "r-1", explain: true };
    expect(asked({}, headers)).toMatchObject({ body: { tenant_id, budget: 0.25, ...controls } });
    expect(asked({ optimizer: { budget_usd: 0.25, ...controls } })).toMatchObject({ body: { budget: 0.25, ...controls } });
    expect(asked({ optimizer: { budget_usd: 0.25 } }, headers)).toMatchObject({ kind: "asked" });
  });

  it.each([['"k-1"', "k-1"], ["k-1", "k-1"], ["a.b", "LnM23I66h-9HLfVow1SCq_JXXcPl6sDFxiuP-urCyTQ"]])("takes Idempotency-Key %s for the request's id %s", (key, request_id) => {
    expect(asked({}, { "idempotency-key": key })).toMatchObject({ body: { request_id } });
    expect(asked({ optimizer: { request_id } }, { "idempotency-key": key })).toMatchObject({ kind: "asked" });
  });

  it.each<[string, object, Record<string, string>, { status?: number; code?: string; param: string }]>([
    ["a model that is not there", { model: "gpt-9" }, {}, { status: 404, code: "model_not_found", param: "model" }],
    ["a policy that is not there", { model: "auto:best" }, {}, { status: 404, code: "model_not_found", param: "model" }],
    ["two limits", { max_tokens: 1, max_completion_tokens: 2 }, {}, { param: "max_tokens" }],
    ["top_logprobs alone", { top_logprobs: 2 }, {}, { param: "top_logprobs" }],
    ["a budget said twice", { optimizer: { budget_usd: 1 } }, { "x-optimizer-budget-usd": "2" }, { param: "optimizer.budget_usd" }],
    ["two ids", {}, { "idempotency-key": "a", "x-optimizer-request-id": "b" }, { param: "optimizer.request_id" }],
    ["an id that is no subject token", {}, { "x-optimizer-request-id": "a.b" }, { param: "x-optimizer-request-id" }],
    ["an empty key", {}, { "idempotency-key": '""' }, { code: "invalid_value", param: "idempotency-key" }],
    ["a misspelt header", {}, { "x-optimizer-budget": "1" }, { code: "unknown_parameter", param: "x-optimizer-budget" }],
    ["a number that is none", {}, { "x-optimizer-budget-usd": "much" }, { param: "x-optimizer-budget-usd" }],
    ["an empty number", {}, { "x-optimizer-deadline-ms": "" }, { param: "x-optimizer-deadline-ms" }],
    ["a word for yes", {}, { "x-optimizer-explain": "yes" }, { param: "x-optimizer-explain" }],
    ["a tenant that is no subject token", {}, { "x-optimizer-tenant": "a b" }, { param: "x-optimizer-tenant" }],
    ["a user that no table can hold", { user: "a\0b" }, {}, { param: "user" }],
    ["a conversation that is too long", { messages: [{ role: "user", content: "x".repeat(250_000) }] }, {}, { param: "messages" }],
  ])("refuses %s", (_name, more, headers, expected) => {
    expect(errorOf(asked(more, headers))).toMatchObject({ status: 400, ...expected });
  });
});

describe("ChatCompletionBody", () => {
  it.each(["n", "store", "functions", "logit_bias", "audio", "unknown"])("refuses what it cannot do: %s", (name) => {
    const value = { n: 2, store: true, functions: [], logit_bias: { 5: 1 }, audio: {}, unknown: 1 }[name];
    expect(ChatCompletionBody.safeParse({ model: "auto", messages, [name]: value }).success).toBe(false);
  });
});
