import { describe, expect, it } from "vitest";

import type { AnswerDelta } from "#shared/contracts/chat.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { follow, NOTHING_SENT, restOf } from "#shared/contracts/follow.ts";
import { ResponseBody, type ResponseReply } from "#shared/contracts/responses.ts";

import { responseFrames } from "./eventsOf.ts";
import { echoOf, responseOf } from "./replyOf.ts";

const DONE = Completion.parse(fixture);
const ECHO = echoOf(ResponseBody.parse({ model: "auto", input: "hi" }));
const briefly = { explain: false };
interface Event { readonly type: string; readonly sequence_number: number; readonly response?: ResponseReply; readonly output_index?: number; readonly delta?: string }

/** All events of a stream that showed these pieces before the outcome was there. */
function play(deltas: readonly AnswerDelta[], event: Completion = DONE): Event[] {
  const frames = responseFrames({ requestId: "r-1", created: 7, echo: ECHO }, briefly);
  const { sent } = follow(NOTHING_SENT, { run: "a", seq: 0, deltas: [...deltas] });
  const rest = restOf(sent, event) ?? [];
  const text = frames.open("m") + [...deltas, ...rest].map((delta) => frames.piece("m", delta)).join("") + frames.end(event);
  return text.trimEnd().split("\n\n").map((frame) => {
    const [, type, data = ""] = /^event: (.*)\ndata: (.*)$/.exec(frame) ?? [];
    const parsed = JSON.parse(data) as Event;
    expect(parsed.type).toBe(type);
    return parsed;
  });
}
const typesOf = (events: readonly Event[]) => events.map(({ type }) => type.replace(/^response\./, ""));
const saidBy = (message: NonNullable<Completion["message"]>, output = ""): Completion => ({ ...DONE, output, message });
const call = (id: string, args: string) => ({ id, type: "function", function: { name: `f-${id}`, arguments: args } });
const START = ["created", "in_progress"];
const PART = ["output_item.added", "content_part.added"];
const TEXT_DONE = ["output_text.done", "content_part.done", "output_item.done"];

describe("the events of a response", () => {
  it("of a text come in OpenAI's order, numbered, and end with the whole response", () => {
    const events = play([{ text: "sp" }, { text: "am" }]);
    expect(typesOf(events)).toEqual([...START, ...PART, ...["sp", "am", " 🌍"].map(() => "output_text.delta"), ...TEXT_DONE, "completed"]);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_event, index) => index));
    expect(events[0]?.response).toMatchObject({ id: "resp_r-1", status: "in_progress", output: [], usage: null, model: "m" });
    expect(events[2]).toMatchObject({ output_index: 0, item: { id: "msg_r-1_0", type: "message", status: "in_progress", content: [] } });
    expect(events[3]).toMatchObject({ item_id: "msg_r-1_0", output_index: 0, content_index: 0, part: { type: "output_text", text: "", annotations: [] } });
    expect(events[4]).toMatchObject({ item_id: "msg_r-1_0", output_index: 0, content_index: 0, delta: "sp", logprobs: [] });
    expect(events.at(-4)).toMatchObject({ text: "spam 🌍", content_index: 0 });
    expect(events.at(-2)).toMatchObject({ item: { status: "completed", content: [{ text: "spam 🌍" }] } });
    expect(events.at(-1)?.response).toMatchObject({ status: "completed", optimizer: { tier: "large" }, usage: { total_tokens: 48 } });
  });

  it("of calls have one item after the other, also behind a text, and end them together", () => {
    const event = saidBy({ finish_reason: "tool_calls", refusal: null, tool_calls: [call("a", '{"x":1}'), call("b", "{}")] }, "well");
    const events = play([{ text: "well" }, { tool_calls: [{ index: 0, ...call("a", "") }] }, { tool_calls: [{ index: 0, function: { arguments: '{"x"' } }] }], event);
    const CALL_DONE = ["function_call_arguments.done", "output_item.done"];
    expect(typesOf(events)).toEqual([
      ...START, ...PART, "output_text.delta", ...TEXT_DONE,
      "output_item.added", "function_call_arguments.delta", "function_call_arguments.delta", "output_item.added", "function_call_arguments.delta", ...CALL_DONE, ...CALL_DONE, "completed",
    ]);
    expect(events.filter(({ type }) => type === "response.output_item.done")).toMatchObject([
      { output_index: 0, item: { type: "message" } }, { output_index: 1, item: { id: "fc_r-1_1", call_id: "a", name: "f-a", arguments: '{"x":1}', status: "completed" } }, { output_index: 2, item: { call_id: "b" } },
    ]);
  });

  it("of a refusal have a part of their own", () => {
    const events = play([{ refusal: "I " }], saidBy({ finish_reason: "stop", refusal: "I cannot" }));
    expect(typesOf(events)).toEqual([...START, ...PART, "refusal.delta", "refusal.delta", "refusal.done", "content_part.done", "output_item.done", "completed"]);
    expect(typesOf(play([{ text: "a" }, { refusal: "no" }], saidBy({ finish_reason: "stop", refusal: "no" }, "a"))).slice(5, 9)).toEqual(["output_text.done", "content_part.done", "content_part.added", "refusal.delta"]);
  });

  it.each<[string, AnswerDelta[], Completion]>([
    ["a text", [{ text: "sp" }], DONE],
    ["nothing", [], saidBy({ finish_reason: "stop", refusal: null })],
    ["a cut text", [{ text: "sp" }], saidBy({ finish_reason: "length", refusal: null }, "spam")],
    ["a filtered text", [], saidBy({ finish_reason: "content_filter", refusal: null }, "spam")],
    ["a refusal behind a text", [{ text: "a" }], saidBy({ finish_reason: "stop", refusal: "no" }, "a")],
    ["calls", [], saidBy({ finish_reason: "tool_calls", refusal: null, tool_calls: [call("a", "{}"), call("b", "{}")] }, "well")],
    ["a text with logprobs", [{ text: "a", logprobs: { content: [{ token: "a" }] } }], saidBy({ finish_reason: "stop", refusal: null, logprobs: { content: [{ token: "a" }, { token: "b" }] } }, "ab")],
  ])("of %s end with the response that a whole reply is", (_name, deltas, event) => {
    const last = play(deltas, event).at(-1);
    const whole = responseOf(event, ECHO, briefly);
    expect(last?.response).toEqual({ ...whole, created_at: 7 });
    expect(last?.type).toBe(`response.${whole.status}`);
  });

  it("go on with any call that has begun, and end as the whole reply is", () => {
    const event = saidBy({ finish_reason: "tool_calls", refusal: null, tool_calls: [call("a", '{"x":1}'), call("b", '{"y":2}')] });
    const more = (index: number, args: string) => ({ index, function: { arguments: args } });
    const events = play([{ tool_calls: [{ index: 0, ...call("a", "") }, { index: 1, ...call("b", "") }] }, { tool_calls: [more(0, '{"x"'), more(1, '{"y"')] }, { tool_calls: [more(0, ":1")] }], event);
    const said = events.flatMap(({ type, output_index, delta }) => (type === "response.function_call_arguments.delta" ? [[output_index, delta]] : []));
    expect(said).toEqual([[0, '{"x"'], [1, '{"y"'], [0, ":1"], [0, "}"], [1, ":2}"]]);
    expect(events.filter(({ type }) => /arguments\.done$/.test(type))).toMatchObject([{ output_index: 0, item_id: "fc_r-1_0", arguments: '{"x":1}' }, { output_index: 1, item_id: "fc_r-1_1", arguments: '{"y":2}' }]);
    expect(events.at(-1)?.response).toEqual({ ...responseOf(event, ECHO, briefly), created_at: 7 });
  });

  it("of calls that were cut while a model went on with them in turns are none of them done, as in the whole reply", () => {
    const event = saidBy({ finish_reason: "length", refusal: null, tool_calls: [call("a", '{"x"'), call("b", '{"y"')] });
    const events = play([{ tool_calls: [{ index: 0, ...call("a", "") }, { index: 1, ...call("b", '{"y"') }] }], event);
    expect(events.filter(({ type }) => type === "response.output_item.done")).toMatchObject([{ output_index: 0, item: { status: "incomplete" } }, { output_index: 1, item: { status: "incomplete" } }]);
    expect(events.at(-1)?.response).toEqual({ ...responseOf(event, ECHO, briefly), created_at: 7 });
  });

  it("of a call that goes on behind a text end in the items' order, the message with the status of all", () => {
    const event = saidBy({ finish_reason: "length", refusal: null, tool_calls: [call("a", "{}")] }, "well");
    const events = play([{ tool_calls: [{ index: 0, ...call("a", "{") }] }, { text: "well" }, { tool_calls: [{ index: 0, function: { arguments: "}" } }] }], event);
    expect(events.filter(({ type }) => type === "response.output_item.done")).toMatchObject([{ output_index: 0, item: { type: "function_call", arguments: "{}", status: "completed" } }, { output_index: 1, item: { type: "message", status: "incomplete" } }]);
  });
});
