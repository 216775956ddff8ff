import { describe, expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { ResponseBody, ResponseReply } from "#shared/contracts/responses.ts";

import { echoOf, responseOf } from "./replyOf.ts";

const DONE = Completion.parse(fixture);
const CALL = { id: "c1", type: "function", function: { name: "f", arguments: "{}" } };
const ECHO = echoOf(ResponseBody.parse({ model: "auto", input: "hi" }));
const of = (message: NonNullable<Completion["message"]>, output = "") => responseOf({ ...DONE, output, message }, ECHO, { explain: false });

describe("responseOf", () => {
  it("is a response with the usage of the kept attempt, what was asked, and what was decided", () => {
    const reply = responseOf(DONE, ECHO, { explain: false });
    expect(ResponseReply.parse(reply)).toEqual(reply);
    expect(reply).toMatchObject({
      id: "resp_r-1", object: "response", created_at: Math.floor(DONE.accepted_at_ms / 1_000), model: "l-2026", status: "completed", incomplete_details: null, error: null,
      output: [{ type: "message", id: "msg_r-1_0", role: "assistant", status: "completed", content: [{ type: "output_text", text: "spam 🌍", annotations: [], logprobs: [] }] }],
      usage: { input_tokens: 42, input_tokens_details: { cached_tokens: 0 }, output_tokens: 6, output_tokens_details: { reasoning_tokens: 0 }, total_tokens: 48 },
      parallel_tool_calls: true, tool_choice: "auto", tools: [], temperature: null, top_p: null, store: false, optimizer: { tier: "large", outcome: "completed", cost_usd: 0.000295 },
    });
    expect(reply).not.toHaveProperty("output_text");
  });

  it("has calls as items of their own, after what was said", () => {
    const item = { type: "function_call", id: "fc_r-1_0", call_id: "c1", name: "f", arguments: "{}", status: "completed" };
    expect(of({ finish_reason: "tool_calls", refusal: null, tool_calls: [CALL] }).output).toEqual([item]);
    expect(of({ finish_reason: "tool_calls", refusal: null, tool_calls: [CALL] }, "well").output).toMatchObject([{ content: [{ text: "well" }] }, { ...item, id: "fc_r-1_1" }]);
  });

  it("has refusals as parts, and logprobs with the text", () => {
    expect(of({ finish_reason: "stop", refusal: "no" }).output).toMatchObject([{ content: [{ type: "refusal", refusal: "no" }] }]);
    expect(of({ finish_reason: "stop", refusal: null, logprobs: { content: [{ token: "a", logprob: -1 }] } }, "a").output).toMatchObject([{ content: [{ logprobs: [{ token: "a", logprob: -1 }] }] }]);
  });

  it.each([["length", "max_output_tokens"], ["content_filter", "content_filter"]] as const)("that ended by %s is incomplete", (finish_reason, reason) => {
    expect(of({ finish_reason, refusal: null }, "spa")).toMatchObject({ status: "incomplete", incomplete_details: { reason }, output: [{ status: "incomplete", content: [{ text: "spa" }] }] });
  });

  it.each([
    [["{}", '{"x"'], ["completed", "incomplete"]],
    [['{"x"', "{}"], ["incomplete", "incomplete"]],
    [['{"x"', "{}", "{}"], ["incomplete", "completed", "incomplete"]],
  ])("that was cut in its calls %j has them as %j", (args, statuses) => {
    const tool_calls = args.map((text) => ({ ...CALL, function: { ...CALL.function, arguments: text } }));
    expect(of({ finish_reason: "length", refusal: null, tool_calls }).output.map(({ status }) => status)).toEqual(statuses);
    expect(of({ finish_reason: "tool_calls", refusal: null, tool_calls }).output.map(({ status }) => status)).toEqual(statuses.map(() => "completed"));
  });

  it("says again what was asked", () => {
    const asked = { instructions: "i", tools: [{ type: "function", name: "f", parameters: {}, strict: true }], tool_choice: "required", temperature: 0, top_p: 1, max_output_tokens: 9, metadata: { k: "v" }, user: "u", text: { format: { type: "json_object" } } };
    expect(ResponseReply.parse(responseOf(DONE, echoOf(ResponseBody.parse({ model: "auto", input: "hi", ...asked })), { explain: false }))).toMatchObject(asked);
  });
});
