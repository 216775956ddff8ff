import { describe, expect, test } from "vitest";

import { readChatRequest } from "./chatRequest.ts";

const user = (content: unknown) => ({ role: "user", content });
const asked = (more: object) => readChatRequest({ model: "big", messages: [user("hello")], ...more });

describe("the query is the text of the last message from the user or a tool", () => {
  test.each([
    ["trimmed", [user(" hello\n")]],
    ["not an earlier one's, nor anybody else's", [user("before"), { role: "assistant", content: null }, user("hello"), { role: "system", content: "be short" }]],
    ["a tool's, after its calls", [user("before"), { role: "assistant", content: null, tool_calls: [] }, { role: "tool", tool_call_id: "a", content: "first" }, { role: "tool", tool_call_id: "b", content: "hello" }]],
    ["the user's again after that", [{ role: "tool", tool_call_id: "a", content: "before" }, { role: "assistant", content: "so" }, user("hello")]],
    ["its text parts joined", [user([{ type: "text", text: "hel" }, { type: "image_url", image_url: {} }, { type: "text", text: "lo" }])]],
  ])("%s", (_what, messages) => { expect(readChatRequest({ model: "big", messages })).toMatchObject({ query: "hello" }); });

  test("and empty without one", () => { expect(asked({ messages: [{ role: "system", content: "x" }] })).toMatchObject({ query: "" }); });
});

test("reads limits, stop sequences and what to send; ignores sampling and nulls", () => {
  expect(asked({ temperature: 0.5, n: 1, stop: ["a", ""], max_tokens: 5, max_completion_tokens: null, logprobs: true, top_logprobs: 4, stream: true, stream_options: { include_usage: true } })).toEqual({
    model: "big", query: "hello", isStream: true, includesUsage: true, mostPieces: 5, stops: ["a"], wantsLogprobs: true, wantsAlternative: true, toolChoice: "none",
  });
  expect(asked({ stop: null, max_completion_tokens: 3, max_tokens: 5, stream: null })).toMatchObject({ mostPieces: 3, stops: [], isStream: false });
});

const TOOLS = [{ type: "function", function: { name: "look", parameters: {} } }];
test.each([
  [{ tools: TOOLS }, "auto"], [{ tools: TOOLS, tool_choice: "auto" }, "auto"], [{ tools: TOOLS, tool_choice: "required" }, "required"], [{ tools: TOOLS, tool_choice: { type: "function", function: { name: "look" } } }, { only: "look" }],
  [{ tools: TOOLS, tool_choice: "none" }, "none"], [{ tools: [], tool_choice: "auto" }, "none"], [{}, "none"],
])("of %j the choice of tools is %j", (more, toolChoice) => { expect(asked(more)).toMatchObject({ toolChoice }); });

describe("refuses, naming the field", () => {
  test.each([
    [{ n: 2 }, "n"], [{ messages: [] }, "messages"], [{ max_tokens: 0 }, "max_tokens"], [{ top_logprobs: 1 }, "top_logprobs"], [{ stop: ["a", "b", "c", "d", "e"] }, "stop"], [{ model: "" }, "model"], [{ stream: "yes" }, "stream"],
    [{ tool_choice: "required" }, "tool_choice"], [{ tools: TOOLS, tool_choice: "look" }, "tool_choice"], [{ tools: TOOLS, tool_choice: { type: "allowed_tools" } }, "tool_choice"],
  ])("%j", (more, param) => { expect(asked(more)).toMatchObject({ status: 400, body: { error: { type: "invalid_request_error", param, code: null } } }); });

  test("what is no object", () => { expect(readChatRequest(undefined)).toMatchObject({ status: 400, body: { error: { param: null } } }); });
});
