import { describe, expect, it } from "vitest";

import { makeAnthropicStream, readWhole } from "./anthropicReply.ts";

/** As the API's documentation shows it. */
const MESSAGE = {
  id: "msg_013Zva2CMHLNnXjNJJKqJ2EF", type: "message", role: "assistant", model: "claude-x-20260101",
  content: [{ type: "text", text: "Hi! My name is Claude.", citations: null }],
  stop_reason: "end_turn", stop_sequence: null,
  usage: { input_tokens: 2095, cache_creation_input_tokens: 100, cache_read_input_tokens: 1000, output_tokens: 503, output_tokens_details: { thinking_tokens: 12 }, service_tier: "standard" },
};
const EVENTS: readonly object[] = [
  { type: "message_start", message: { id: "msg_1", type: "message", role: "assistant", content: [], model: "claude-x-20260101", stop_reason: null, stop_sequence: null, usage: { input_tokens: 472, cache_read_input_tokens: 100, output_tokens: 2 } } },
  { type: "content_block_start", index: 0, content_block: { type: "thinking", thinking: "", signature: "" } },
  { type: "content_block_delta", index: 0, delta: { type: "thinking_delta", thinking: "Weather is asked for." } },
  { type: "content_block_delta", index: 0, delta: { type: "signature_delta", signature: "EqQB" } },
  { type: "content_block_stop", index: 0 },
  { type: "content_block_start", index: 1, content_block: { type: "text", text: "" } },
  { type: "ping" },
  { type: "content_block_delta", index: 1, delta: { type: "text_delta", text: "Okay" } },
  { type: "content_block_delta", index: 1, delta: { type: "text_delta", text: ", let's check" } },
  { type: "content_block_stop", index: 1 },
  { type: "content_block_start", index: 2, content_block: { type: "tool_use", id: "toolu_01T1x1fJ34qAmk2tNTrN7Up6", name: "get_weather", input: {} } },
  { type: "content_block_delta", index: 2, delta: { type: "input_json_delta", partial_json: "" } },
  { type: "content_block_delta", index: 2, delta: { type: "input_json_delta", partial_json: '{"location":' } },
  { type: "content_block_delta", index: 2, delta: { type: "input_json_delta", partial_json: ' "San Francisco, CA"}' } },
  { type: "content_block_stop", index: 2 },
  { type: "an_event_of_next_year", data: 1 },
  { type: "message_delta", delta: { stop_reason: "tool_use", stop_sequence: null }, usage: { input_tokens: null, output_tokens: 89 } },
  { type: "message_stop" },
];
const CALL = { id: "toolu_01T1x1fJ34qAmk2tNTrN7Up6", type: "function", function: { name: "get_weather", arguments: '{"location": "San Francisco, CA"}' } };

describe("a whole message", () => {
  it("counts what was written to the cache and read from it as input", () => {
    expect(readWhole(MESSAGE)).toEqual({
      text: "Hi! My name is Claude.", toolCalls: [], finish: "stop", refusal: null, model: "claude-x-20260101", confidence: null,
      usage: { input_tokens: 3195, cached_input_tokens: 1000, cache_write_input_tokens: 100, output_tokens: 503, reasoning_output_tokens: 12, source: "reported" },
    });
  });

  it("holds calls of tools", () => {
    const content = [{ type: "text", text: "Okay" }, { type: "tool_use", id: CALL.id, name: "get_weather", input: { location: "San Francisco, CA" } }];
    expect(readWhole({ ...MESSAGE, content, stop_reason: "tool_use" })).toMatchObject({ text: "Okay", finish: "tool_calls", toolCalls: [{ id: CALL.id, function: { arguments: '{"location":"San Francisco, CA"}' } }] });
  });

  it.each([["end_turn", "stop"], ["stop_sequence", "stop"], ["max_tokens", "length"], ["model_context_window_exceeded", "length"], ["tool_use", "tool_calls"], ["refusal", "content_filter"]])("that ended by %s ended by %s", (reason, finish) => {
    expect(readWhole({ ...MESSAGE, stop_reason: reason }).finish).toBe(finish);
  });

  it("says why it was refused", () => {
    expect(readWhole({ ...MESSAGE, content: [], stop_reason: "refusal", stop_details: { type: "refusal", category: null, explanation: "Not this." } })).toMatchObject({ text: "", refusal: "Not this." });
  });

  it.each<[string, unknown]>([["an error", { type: "error", error: { type: "api_error", message: "x" } }], ["of another API", { choices: [] }], ["null", null]])("is none when it is %s", (_name, reply) => {
    expect(() => readWhole(reply)).toThrow(expect.objectContaining({ code: "backend_bad_response", mayHaveCost: true }) as Error);
  });

  it.each<[unknown, object]>([
    [{ input_tokens: -1, output_tokens: 1 }, { input_tokens: -1, output_tokens: 1 }],
    [{ input_tokens: "9", output_tokens: 1e18, output_tokens_details: 5 }, { input_tokens: NaN, output_tokens: 1e18 }],
    [{ input_tokens: 5, cache_creation_input_tokens: 4, output_tokens: 1, cache_creation: { ephemeral_5m_input_tokens: 1, ephemeral_1h_input_tokens: 3 } }, { input_tokens: 9, cache_write_input_tokens: 4, unpriced_tokens: 3 }],
  ])("is one whatever usage it has, which is judged before it is charged: %j", (usage, expected) => {
    expect(readWhole({ ...MESSAGE, usage })).toMatchObject({ text: "Hi! My name is Claude.", usage: expected });
  });

  it.each([["pause_turn"], ["a_reason_of_next_year"], [null]])("is none when it ended by %s, and is paid for", (reason) => {
    expect(() => readWhole({ ...MESSAGE, stop_reason: reason })).toThrow(expect.objectContaining({ code: "backend_bad_response", usage: expect.objectContaining({ output_tokens: 503 }) as object }) as Error);
  });
});

describe("a stream", () => {
  it("tells text and calls as they grow, and nothing of thoughts", () => {
    const stream = makeAnthropicStream();
    expect(EVENTS.map((event) => stream.read(event)).filter((delta) => delta !== null)).toEqual([
      { text: "Okay" }, { text: ", let's check" },
      { tool_calls: [{ index: 0, id: CALL.id, type: "function", function: { name: "get_weather", arguments: "" } }] },
      { tool_calls: [{ index: 0, function: { arguments: '{"location":' } }] }, { tool_calls: [{ index: 0, function: { arguments: ' "San Francisco, CA"}' } }] },
    ]);
    expect(stream.end()).toEqual({
      text: "Okay, let's check", toolCalls: [CALL], finish: "tool_calls", refusal: null, model: "claude-x-20260101", confidence: null,
      usage: { input_tokens: 572, cached_input_tokens: 100, cache_write_input_tokens: 0, output_tokens: 89, source: "reported" },
    });
  });

  it.each(EVENTS.map((_, length) => length))("is no answer when it ends after %d events, and says what was spent", (length) => {
    const stream = makeAnthropicStream();
    for (const event of EVENTS.slice(0, length)) stream.read(event);
    expect(() => stream.end()).toThrow(expect.objectContaining({ code: "backend_unavailable", isTransient: true, mayHaveCost: true }) as Error);
    expect(stream.usage()?.input_tokens).toBe(length === 0 ? undefined : 572);
  });

  it.each([["overloaded_error", "backend_unavailable", true], ["rate_limit_error", "backend_unavailable", true], ["api_error", "backend_unavailable", true], ["invalid_request_error", "backend_refused", false], ["an_error_of_next_year", "backend_unavailable", true]])("throws its %s as %s", (type, code, isTransient) => {
    expect(() => makeAnthropicStream().read({ type: "error", error: { type, message: "sk-1" } })).toThrow(expect.objectContaining({ code, isTransient, mayHaveCost: true }) as Error);
  });

  it.each<[string, unknown]>([["of another API", { choices: [] }], ["without its index", { type: "content_block_delta", delta: { type: "text_delta", text: "x" } }], ["null", null]])("throws at an event that is %s", (_name, event) => {
    expect(() => makeAnthropicStream().read(event)).toThrow(expect.objectContaining({ code: "backend_bad_response" }) as Error);
  });

  it("ends once", () => {
    const stream = makeAnthropicStream();
    for (const event of EVENTS) stream.read(event);
    expect(() => stream.read(EVENTS[7])).toThrow();
  });
});
