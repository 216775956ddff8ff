/** The door with two more clients that people use, as they come: the Vercel AI SDK and LangChain.js. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { AIMessageChunk, HumanMessage } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";
import { APICallError, generateText, jsonSchema, streamText, type ToolSet } from "ai";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { startTestGateway, type TestGateway } from "#infra/testGateway.ts";

let gateway: TestGateway;
beforeAll(async () => { gateway = await startTestGateway(); });
afterAll(() => gateway.close());
beforeEach(() => { gateway.play(({ complete }) => complete()); });

const CALL = { id: "call-1", type: "function", function: { name: "look", arguments: '{"at":"x"}' } };
const calling = { output: "", message: { finish_reason: "tool_calls" as const, refusal: null, tool_calls: [CALL] } };
const PARAMETERS = { type: "object" as const, properties: { at: { type: "string" as const } }, required: ["at"] };
const playPieces = () => {
  gateway.play(async ({ piece, complete }) => {
    piece(0, [{ text: "sp" }]);
    piece(1, [{ text: "am" }]);
    await complete();
  });
};
const playCut = () => {
  gateway.play(async ({ piece, complete }) => {
    piece(0, [{ text: "sp" }]);
    await complete({ outcome: "failed", error: { code: "backend_bad_response", message: "cut" }, output: null });
  });
};

describe("the Vercel AI SDK", () => {
  const model = (name = "auto") => createOpenAICompatible({ name: "optimizer", baseURL: gateway.url, apiKey: "any", includeUsage: true }).chatModel(name);
  const ask = { prompt: "Is this spam?", maxRetries: 0 };
  const tools: ToolSet = { look: { description: "Looks.", inputSchema: jsonSchema(PARAMETERS) } };

  it("gets a text with usage and headers, and says what it wants in provider options", async () => {
    const { text, usage, finishReason, response } = await generateText({ ...ask, model: model(), providerOptions: { optimizer: { optimizer: { budget_usd: 0.5 } } } });
    expect([text, finishReason, usage.inputTokens, usage.outputTokens, response.headers?.["x-optimizer-tier"]]).toEqual(["spam 🌍", "stop", 42, 6, "large"]);
    expect(gateway.requests.at(-1)).toMatchObject({ budget: 0.5 });
  });

  it("streams, with usage at the end", async () => {
    playPieces();
    const streamed = streamText({ ...ask, model: model() });
    const pieces: string[] = [];
    for await (const piece of streamed.textStream) pieces.push(piece);
    expect([pieces.join(""), await streamed.finishReason, (await streamed.usage).outputTokens]).toEqual(["spam 🌍", "stop", 6]);
    expect(pieces.length).toBeGreaterThan(1);
  });

  it("calls tools, whole or streamed", async () => {
    gateway.play(({ complete }) => complete(calling));
    const whole = await generateText({ ...ask, model: model(), tools });
    const streamed = await streamText({ ...ask, model: model(), tools }).toolCalls;
    for (const calls of [whole.toolCalls, streamed]) expect(calls).toMatchObject([{ toolCallId: "call-1", toolName: "look", input: { at: "x" } }]);
    expect(gateway.requests.at(-1)?.chat?.tools).toMatchObject([{ type: "function", function: { name: "look" } }]);
  });

  it("sees errors with their status, and a stream that failed as an error", async () => {
    const error = await generateText({ ...ask, model: model("gpt-9") }).then(() => null, (caught: unknown) => caught);
    expect(APICallError.isInstance(error) ? [error.statusCode, error.isRetryable] : error).toEqual([404, false]);
    playCut();
    const errors: unknown[] = [];
    const streamed = streamText({ ...ask, model: model(), onError: ({ error: caught }) => void errors.push(caught) });
    await streamed.consumeStream();
    expect(errors).toHaveLength(1);
  });

  it("takes the request with it when it is aborted in the middle", async () => {
    gateway.play(async ({ piece, cancelled, complete }) => {
      piece(0, [{ text: "sp" }]);
      await cancelled;
      await complete({ outcome: "failed", error: { code: "cancelled", message: "m" }, output: null });
    });
    const leaving = new AbortController();
    const streamed = streamText({ ...ask, model: model(), abortSignal: leaving.signal, headers: { "x-optimizer-request-id": "ai-gone" } });
    for await (const piece of streamed.textStream) if (piece === "sp") leaving.abort();
    await expect.poll(() => gateway.cancels("ai-gone")).toBeGreaterThan(0);
  });
});

describe("LangChain.js", () => {
  const model = (name = "auto", more: object = {}) => new ChatOpenAI({ model: name, apiKey: "any", maxRetries: 0, configuration: { baseURL: gateway.url }, ...more });
  const ask = [new HumanMessage("Is this spam?")];

  it("gets a text with usage, and says what it wants in modelKwargs", async () => {
    const message = await model("auto", { modelKwargs: { optimizer: { budget_usd: 0.5 } } }).invoke(ask);
    expect(message).toMatchObject({ content: "spam 🌍", usage_metadata: { input_tokens: 42, output_tokens: 6 } });
    expect(gateway.requests.at(-1)).toMatchObject({ budget: 0.5 });
  });

  it("streams, with usage at the end", async () => {
    playPieces();
    const chunks: AIMessageChunk[] = [];
    for await (const chunk of await model().stream(ask)) chunks.push(chunk);
    const whole = chunks.reduce((one, next) => one.concat(next));
    expect(whole).toMatchObject({ content: "spam 🌍", usage_metadata: { output_tokens: 6 } });
    expect(chunks.filter(({ content }) => content !== "").length).toBeGreaterThan(1);
  });

  it("calls tools", async () => {
    gateway.play(({ complete }) => complete(calling));
    const message = await model().bindTools([{ type: "function", function: { name: "look", parameters: PARAMETERS } }]).invoke(ask);
    expect(message.tool_calls).toMatchObject([{ id: "call-1", name: "look", args: { at: "x" } }]);
  });

  it("sees errors with their status, and a stream that failed as an error", async () => {
    await expect(model("gpt-9").invoke(ask)).rejects.toMatchObject({ status: 404 });
    playCut();
    await expect((async () => { for await (const chunk of await model().stream(ask)) expect(chunk).toBeInstanceOf(AIMessageChunk); })()).rejects.toMatchObject({ code: "backend_bad_response" });
  });
});
