import { describe, expect, it } from "vitest";

import { Chat } from "#shared/contracts/chat.ts";

import { anthropicBody, type AnthropicConfig } from "./anthropicRequest.ts";

const CONFIG: AnthropicConfig = { kind: "anthropic", model: "claude-x", base_url: "https://api.anthropic.com", api_key: { env: "KEY" }, max_output_tokens: 1_000, idle_timeout_ms: 60_000, sampling: true };
const USER = { role: "user", content: "Hello" } as const;
const body = (over: object = {}, config: Partial<AnthropicConfig> = {}) => anthropicBody(Chat.parse({ messages: [USER], ...over }), { ...CONFIG, ...config });
const TOOL = { type: "function", function: { name: "get_weather", description: "Weather of a place", parameters: { type: "object", properties: { location: { type: "string" } }, required: ["location"] } } };
const called = (id: string, args = '{"location":"Paris"}') => ({ id, type: "function", function: { name: "get_weather", arguments: args } });

it("asks with a text as one message, and always with a limit", () => {
  expect(anthropicBody("is this spam?", CONFIG)).toEqual({ model: "claude-x", max_tokens: 1_000, messages: [{ role: "user", content: [{ type: "text", text: "is this spam?" }] }] });
});

it("caps what the request asks for", () => {
  expect([body({ max_output_tokens: 10 }).max_tokens, body({ max_output_tokens: 5_000 }).max_tokens]).toEqual([10, 1_000]);
});

it("lifts system messages out, the tier's first, with their cache marks", () => {
  const messages = [{ role: "system", content: [{ type: "text", text: "Long.", cache_control: { type: "ephemeral" } }] }, USER, { role: "developer", content: "Be brief." }];
  expect(body({ messages }, { system: "You sort mail." })).toMatchObject({
    system: [{ type: "text", text: "You sort mail." }, { type: "text", text: "Long.", cache_control: { type: "ephemeral" } }, { type: "text", text: "Be brief." }],
    messages: [{ role: "user", content: [{ type: "text", text: "Hello" }] }],
  });
});

it("sends images by their data and by their link", () => {
  const content = [{ type: "text", text: "What is it?" }, { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0=" } }, { type: "image_url", image_url: { url: "https://x.example/a.jpg" } }];
  expect(body({ messages: [{ role: "user", content }] }).messages[0]?.content).toEqual([
    { type: "text", text: "What is it?" },
    { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw0=" } },
    { type: "image", source: { type: "url", url: "https://x.example/a.jpg" } },
  ]);
});

it("tells calls of tools and their results, those that belong together in one turn", () => {
  const messages = [
    USER, { role: "assistant", content: null, tool_calls: [called("call_1"), called("functions.get:2")] },
    { role: "tool", tool_call_id: "call_1", content: "15 degrees" }, { role: "tool", tool_call_id: "functions.get:2", content: "20 degrees" }, { role: "user", content: "And?" },
  ];
  expect(body({ messages, tools: [TOOL] })).toMatchObject({
    tools: [{ name: "get_weather", description: "Weather of a place", input_schema: { type: "object", required: ["location"] } }],
    messages: [
      { role: "user" },
      { role: "assistant", content: [{ type: "tool_use", id: "call_1", name: "get_weather", input: { location: "Paris" } }, { type: "tool_use", id: "functions_get_2" }] },
      { role: "user", content: [
        { type: "tool_result", tool_use_id: "call_1", content: [{ type: "text", text: "15 degrees" }] },
        { type: "tool_result", tool_use_id: "functions_get_2", content: [{ type: "text", text: "20 degrees" }] },
        { type: "text", text: "And?" },
      ] },
    ],
  });
});

it.each<[object, unknown]>([
  [{}, undefined],
  [{ tool_choice: "auto" }, { type: "auto" }], [{ tool_choice: "required" }, { type: "any" }], [{ tool_choice: "none", parallel_tool_calls: false }, { type: "none" }],
  [{ tool_choice: { type: "function", function: { name: "get_weather" } } }, { type: "tool", name: "get_weather" }],
  [{ parallel_tool_calls: false }, { type: "auto", disable_parallel_tool_use: true }], [{ tool_choice: "required", parallel_tool_calls: false }, { type: "any", disable_parallel_tool_use: true }],
])("chooses tools for %j by %j", (over, expected) => {
  expect((body({ tools: [TOOL], ...over }) as { tool_choice?: unknown }).tool_choice).toEqual(expected);
});

it.each<[string, object, Partial<AnthropicConfig>, object]>([
  ["stop", { stop: "END" }, {}, { stop_sequences: ["END"] }],
  ["a temperature, at most 1", { temperature: 1.5, top_p: 0.5 }, {}, { temperature: 1 }],
  ["top_p where it stands alone", { top_p: 0.5 }, {}, { top_p: 0.5 }],
  ["effort", { reasoning_effort: "minimal" }, {}, { output_config: { effort: "low" } }],
  ["a schema", { response_format: { type: "json_schema", json_schema: { name: "a", schema: { type: "object" } } } }, {}, { output_config: { format: { type: "json_schema", schema: { type: "object" } } } }],
  ["JSON in words", { response_format: { type: "json_object" } }, {}, { system: [{ type: "text", text: expect.stringContaining("JSON object") as string }] }],
])("sends %s", (_name, over, config, expected) => {
  expect(body(over, config)).toMatchObject(expected);
});

it("leaves out what only steers sampling: seed, penalties of 0, and all of it where the model refuses it", () => {
  expect(Object.keys(body({ seed: 1, frequency_penalty: 0, presence_penalty: 0 }))).toEqual(["model", "max_tokens", "messages"]);
  expect(Object.keys(body({ temperature: 0, top_p: 0.1 }, { sampling: false }))).toEqual(["model", "max_tokens", "messages"]);
});

describe("refuses for this request alone", () => {
  const user = (content: unknown) => ({ messages: [{ role: "user", content }] });
  it.each<[string, object]>([
    ["logprobs", { logprobs: true }], ["a penalty", { presence_penalty: 0.5 }], ["an effort that nobody knows", { reasoning_effort: "huge" }],
    ["audio", user([{ type: "input_audio", input_audio: { data: "", format: "wav" } }])], ["an image that is none", user([{ type: "image_url", image_url: { url: "data:image/png,abc" } }])],
    ["a tool of another kind", { tools: [{ type: "web_search" }] }], ["a choice among some tools", { tools: [TOOL], tool_choice: { type: "allowed_tools" } }],
    ["an earlier call without JSON", { messages: [USER, { role: "assistant", tool_calls: [called("a", "{oops")] }] }], ["a result of no call", { messages: [{ role: "tool", content: "x" }] }],
    ["a format without its schema", { response_format: { type: "json_schema" } }],
  ])("%s", (_name, over) => {
    expect(() => body(over)).toThrow(expect.objectContaining({ code: "backend_refused", isBackendsFault: false, mayHaveCost: false }) as Error);
  });
});
