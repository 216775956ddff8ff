import { describe, expect, it } from "vitest";

import { Chat } from "#shared/contracts/chat.ts";

import { geminiBody, type GeminiConfig } from "./geminiRequest.ts";

const CONFIG: GeminiConfig = { kind: "gemini", model: "gemini-3-x", base_url: "https://generativelanguage.googleapis.com", api_key: { env: "KEY" }, max_output_tokens: 1_000, idle_timeout_ms: 60_000, logprobs: false };
const USER = { role: "user", content: "Hello" } as const;
const body = (over: object = {}, config: Partial<GeminiConfig> = {}) => geminiBody(Chat.parse({ messages: [USER], ...over }), { ...CONFIG, ...config });
const PARAMETERS = { type: "object", properties: { location: { type: "string" } } };
const TOOL = { type: "function", function: { name: "get_weather", description: "Weather of a place", parameters: PARAMETERS } };
const called = (id: string, more: object = {}) => ({ id, type: "function", function: { name: "get_weather", arguments: '{"location":"Paris"}' }, ...more });

it("asks with a text as one message, and always with a limit", () => {
  expect(geminiBody("is this spam?", CONFIG)).toEqual({ contents: [{ role: "user", parts: [{ text: "is this spam?" }] }], generationConfig: { maxOutputTokens: 1_000 } });
});

it("lifts system messages out, the tier's first", () => {
  expect(body({ messages: [{ role: "system", content: "Be kind." }, USER, { role: "developer", content: [{ type: "text", text: "Be brief." }] }] }, { system: "You sort mail." })).toMatchObject({
    systemInstruction: { parts: [{ text: "You sort mail." }, { text: "Be kind." }, { text: "Be brief." }] }, contents: [{ role: "user", parts: [{ text: "Hello" }] }],
  });
});

it("sends images by their data", () => {
  expect(body({ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0=" } }] }] }).contents).toEqual([{ role: "user", parts: [{ inlineData: { mimeType: "image/png", data: "iVBORw0=" } }] }]);
});

describe("calls of tools", () => {
  const messages = [
    USER, { role: "assistant", content: "Let me see.", tool_calls: [called("a", { extra_content: { google: { thought_signature: "c2ln" } } }), called("b")] },
    { role: "tool", tool_call_id: "a", content: "15 degrees" }, { role: "tool", tool_call_id: "b", content: "20 degrees" },
  ];
  const call = (id: string) => ({ functionCall: { id, name: "get_weather", args: { location: "Paris" } } });

  it("go back with the signature that came with them, and their results by name", () => {
    expect(body({ messages, tools: [TOOL] })).toMatchObject({
      contents: [
        { role: "user" },
        { role: "model", parts: [{ text: "Let me see." }, { ...call("a"), thoughtSignature: "c2ln" }, call("b")] },
        { role: "user", parts: [{ functionResponse: { id: "a", name: "get_weather", response: { output: "15 degrees" } } }, { functionResponse: { id: "b", name: "get_weather", response: { output: "20 degrees" } } }] },
      ],
      tools: [{ functionDeclarations: [{ name: "get_weather", description: "Weather of a place", parametersJsonSchema: PARAMETERS }] }],
    });
  });

  const unsigned = { messages: [USER, { role: "assistant", tool_calls: [called("a"), called("b")] }] };
  it.each([["gemini-3-x", { thoughtSignature: "skip_thought_signature_validator" }], ["gemini-2.5-flash", {}]])("of another model, or of a client that dropped it, pass %s's check", (model, signature) => {
    expect(body(unsigned, { model }).contents[1]?.parts).toEqual([{ ...call("a"), ...signature }, call("b")]);
  });
});

it.each<[object, unknown]>([
  [{}, undefined], [{ tool_choice: "auto" }, { mode: "AUTO" }], [{ tool_choice: "required" }, { mode: "ANY" }], [{ tool_choice: "none" }, { mode: "NONE" }],
  [{ tool_choice: { type: "function", function: { name: "get_weather" } } }, { mode: "ANY", allowedFunctionNames: ["get_weather"] }],
])("chooses tools for %j by %j", (over, expected) => {
  expect((body({ tools: [TOOL], ...over }) as { toolConfig?: { functionCallingConfig: unknown } }).toolConfig?.functionCallingConfig).toEqual(expected);
});

it.each<[string, object, Partial<GeminiConfig>, object]>([
  ["sampling", { temperature: 1.5, top_p: 0.5, seed: 7, frequency_penalty: 1, presence_penalty: -1 }, {}, { temperature: 1.5, topP: 0.5, seed: 7, frequencyPenalty: 1, presencePenalty: -1 }],
  ["a limit, capped", { max_output_tokens: 5_000 }, {}, {}],
  ["stop", { stop: ["END", "FIN"] }, {}, { stopSequences: ["END", "FIN"] }],
  ["effort", { reasoning_effort: "minimal" }, {}, { thinkingConfig: { thinkingLevel: "LOW" } }],
  ["JSON", { response_format: { type: "json_object" } }, {}, { responseMimeType: "application/json" }],
  ["a schema", { response_format: { type: "json_schema", json_schema: { name: "a", schema: PARAMETERS } } }, {}, { responseMimeType: "application/json", responseJsonSchema: PARAMETERS }],
  ["logprobs for our own use", {}, { logprobs: true }, { responseLogprobs: true }],
  ["logprobs that were asked for", { logprobs: true, top_logprobs: 3 }, { logprobs: true }, { responseLogprobs: true, logprobs: 3 }],
])("sends %s", (_name, over, config, expected) => {
  expect(body(over, config).generationConfig).toEqual({ maxOutputTokens: 1_000, ...expected });
});

describe("refuses for this request alone", () => {
  it.each<[string, object]>([
    ["logprobs of a model that gives none", { logprobs: true }], ["one call at a time", { tools: [TOOL], parallel_tool_calls: false }],
    ["an image by its link", { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "https://x.example/a.jpg" } }] }] }],
    ["a result of no call", { messages: [USER, { role: "tool", tool_call_id: "a", content: "x" }] }], ["an effort that nobody knows", { reasoning_effort: "huge" }],
  ])("%s", (_name, over) => {
    expect(() => body(over)).toThrow(expect.objectContaining({ code: "backend_refused", isBackendsFault: false, mayHaveCost: false }) as Error);
  });
});
