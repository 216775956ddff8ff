import { describe, expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { ChatCompletion } from "#shared/contracts/openAi.ts";

import { headersOf, optimizerOf, replyOf, usageOf } from "./replyOf.ts";

const DONE = Completion.parse(fixture);
const CALL = { id: "c1", type: "function", function: { name: "f", arguments: "{}" } };
const briefly = { explain: false };

describe("replyOf", () => {
  it("is a chat completion with the usage of the kept attempt, and what was decided beside it", () => {
    const reply = replyOf(DONE, briefly);
    expect(ChatCompletion.parse(reply)).toEqual(reply);
    expect(reply).toMatchObject({
      id: "chatcmpl-r-1", object: "chat.completion", created: Math.floor(DONE.accepted_at_ms / 1_000), model: "l-2026",
      choices: [{ index: 0, message: { role: "assistant", content: "spam 🌍", refusal: null }, finish_reason: "stop", logprobs: null }],
      usage: { prompt_tokens: 42, completion_tokens: 6, total_tokens: 48 },
      optimizer: { request_id: "r-1", tier: "large", outcome: "completed", cost_usd: 0.000295, baseline_cost_usd: 0.000265, saving_usd: -0.00003, baseline_tier: "large", attempts: [{}, {}, {}], why: expect.stringContaining("kept") as string },
    });
  });

  it("hands on tool calls, refusals, logprobs and the reason", () => {
    const called = replyOf({ ...DONE, output: "", message: { finish_reason: "tool_calls", refusal: null, tool_calls: [CALL], logprobs: { content: [] } } }, briefly);
    expect(called.choices[0]).toMatchObject({ message: { content: null, tool_calls: [CALL] }, finish_reason: "tool_calls", logprobs: { content: [] } });
    expect(replyOf({ ...DONE, output: "", message: { finish_reason: "stop", refusal: "no" } }, briefly).choices[0].message).toEqual({ role: "assistant", content: null, refusal: "no" });
    expect(replyOf({ ...DONE, message: { finish_reason: "length", refusal: null } }, briefly).choices[0].finish_reason).toBe("length");
  });

  it("tells cached and thought tokens where they are known", () => {
    const attempts = DONE.attempts.map((attempt) => ({ ...attempt, usage: { input_tokens: 9, output_tokens: 3, cached_input_tokens: 8, reasoning_output_tokens: 2, source: "reported" as const } }));
    expect(usageOf({ ...DONE, attempts })).toEqual({ prompt_tokens: 9, completion_tokens: 3, total_tokens: 12, prompt_tokens_details: { cached_tokens: 8 }, completion_tokens_details: { reasoning_tokens: 2 } });
    expect(usageOf({ ...DONE, attempts: [] })).toBeNull();
  });

  it("explains only when asked to", () => {
    expect(optimizerOf(DONE, briefly)).not.toHaveProperty("decision");
    expect(optimizerOf(DONE, { explain: true }).decision?.steps[0]).toMatchObject({ facts: {} });
  });
});

it("says in headers what was decided, in text that headers can hold", () => {
  expect(headersOf({ ...DONE, model: "modèle\n🌍" })).toEqual({
    "x-optimizer-tier": "large", "x-optimizer-model": "mod?le???", "x-optimizer-outcome": "completed", "x-optimizer-cost-usd": "0.000295", "x-optimizer-saving-usd": "-0.00003",
    "x-optimizer-attempts": "3", "x-optimizer-confidence": "0.97",
  });
  expect(headersOf({ ...DONE, tier: null, model: null, confidence: null, baseline_cost_nano_usd: null, outcome: "failed" })).toEqual({ "x-optimizer-outcome": "failed", "x-optimizer-cost-usd": "0.000295", "x-optimizer-attempts": "3" });
});
