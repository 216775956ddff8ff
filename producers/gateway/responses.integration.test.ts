/** `/v1/responses` with OpenAI's own client, over real NATS; what the pipeline does is played by the test. */
import { HumanMessage } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";
import OpenAI, { BadRequestError, InternalServerError, UnprocessableEntityError } from "openai";
import type { ResponseInput, ResponseStreamEvent } from "openai/resources/responses/responses";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { startTestGateway, type TestGateway } from "#infra/testGateway.ts";
import type { Completion } from "#shared/contracts/events.ts";

let gateway: TestGateway;
let client: OpenAI;
beforeAll(async () => {
  gateway = await startTestGateway();
  client = new OpenAI({ baseURL: gateway.url, apiKey: "any", maxRetries: 0, timeout: 10_000 });
});
afterAll(() => gateway.close());
beforeEach(() => { gateway.play(({ complete }) => complete()); });

const ask = { model: "auto", input: "Is this spam?" };
const CALL = { id: "call-1", type: "function" as const, function: { name: "look", arguments: '{"at":"🌍"}' } };
const OTHER_CALL = { id: "call-2", type: "function" as const, function: { name: "look", arguments: '{"at":"there"}' } };
const CALLING = { output: "", message: { finish_reason: "tool_calls" as const, refusal: null, tool_calls: [CALL] } };
const PARAMETERS = { type: "object", properties: { at: { type: "string" } }, required: ["at"], additionalProperties: false };
const TOOL = { type: "function" as const, name: "look", parameters: PARAMETERS, strict: true };
const named = (id: string) => ({ headers: { "Idempotency-Key": id } });
const withExtra = <T extends object>(known: T, extra: object): T => ({ ...known, ...extra });
const errorOf = async (call: Promise<unknown>): Promise<unknown> => call.then(() => { throw new Error("it was answered"); }, (error: unknown) => error);

async function collect(stream: AsyncIterable<ResponseStreamEvent>, onEvent: (event: ResponseStreamEvent) => void = () => undefined) {
  const events: ResponseStreamEvent[] = [];
  for await (const event of stream) {
    events.push(event);
    onEvent(event);
  }
  return { events, last: events.at(-1), text: events.map((event) => (event.type === "response.output_text.delta" ? event.delta : "")).join("") };
}

describe("a whole response", () => {
  it("has the text, its usage, what was decided, and the same in headers", async () => {
    const { data, response } = await client.responses.create({ ...ask, instructions: "be brief", store: false }).withResponse();
    expect(data).toMatchObject({
      object: "response", status: "completed", model: "l-2026", output_text: "spam 🌍", instructions: "be brief", usage: { input_tokens: 42, output_tokens: 6, total_tokens: 48 },
      optimizer: { tier: "large", outcome: "completed", cost_usd: 0.000295 },
    });
    expect([data.id, response.headers.get("x-optimizer-tier")]).toEqual([`resp_${response.headers.get("x-request-id")}`, "large"]);
    expect(gateway.requests.at(-1)).toMatchObject({ user_id: "anonymous", budget: 1, chat: { messages: [{ role: "system", content: "be brief" }, { role: "user", content: ask.input }] } });
  });

  it("calls functions, and goes on when the client sends all of it back", async () => {
    gateway.play(({ complete }) => complete(CALLING));
    const first = await client.responses.create({ ...ask, tools: [TOOL], tool_choice: "required" });
    expect(first.output).toMatchObject([{ type: "function_call", call_id: "call-1", name: "look", arguments: CALL.function.arguments, status: "completed" }]);
    expect(gateway.requests.at(-1)).toMatchObject({ chat: { tools: [{ type: "function", function: { name: "look", parameters: PARAMETERS, strict: true } }], tool_choice: "required" } });
    gateway.play(({ complete }) => complete());
    const input = [{ role: "user", content: ask.input }, ...first.output, { type: "function_call_output", call_id: "call-1", output: "seen" }] as ResponseInput;
    const second = await client.responses.create({ ...ask, input });
    expect(gateway.requests.at(-1)?.chat?.messages).toEqual([
      { role: "user", content: ask.input }, { role: "assistant", content: null, tool_calls: [CALL] }, { role: "tool", tool_call_id: "call-1", content: "seen" },
    ]);
    await client.responses.create({ ...ask, input: [...input, ...second.output, { role: "user", content: "sure?" }] as ResponseInput });
    expect(gateway.requests.at(-1)?.chat?.messages.slice(3)).toEqual([{ role: "assistant", content: "spam 🌍" }, { role: "user", content: "sure?" }]);
  });

  it("is parsed by the client where a schema was asked for", async () => {
    gateway.play(({ complete }) => complete({ output: '{"at":"x"}', message: { finish_reason: "stop", refusal: null } }));
    const parsed = await client.responses.parse({ ...ask, text: { format: { type: "json_schema", name: "place", schema: PARAMETERS, strict: true } } });
    expect(parsed.output_parsed).toEqual({ at: "x" });
    expect(gateway.requests.at(-1)).toMatchObject({ chat: { response_format: { type: "json_schema", json_schema: { name: "place", schema: PARAMETERS, strict: true } } } });
  });

  it("that was cut says so", async () => {
    gateway.play(({ complete }) => complete({ outcome: "degraded", degraded_reason: "tiers_exhausted", message: { finish_reason: "length", refusal: null } }));
    expect(await client.responses.create({ ...ask, max_output_tokens: 16 })).toMatchObject({ status: "incomplete", incomplete_details: { reason: "max_output_tokens" }, output: [{ status: "incomplete" }] });
  });

  it("comes again under the same id, and another request under it is refused", async () => {
    const first = await client.responses.create(ask, named("again-1"));
    const count = gateway.requests.length;
    expect(await client.responses.create(ask, named("again-1"))).toEqual(first);
    expect(gateway.requests).toHaveLength(count);
    expect(await errorOf(client.responses.create({ ...ask, temperature: 1 }, named("again-1")))).toBeInstanceOf(UnprocessableEntityError);
  });
});

describe("an error", () => {
  it.each<[string, object, object]>([
    ["store", { store: true }, { param: "store", message: expect.stringContaining("nothing is stored") as string }],
    ["a response before", { previous_response_id: "resp_1" }, { param: "previous_response_id", message: expect.stringContaining("send the whole conversation") as string }],
    ["a built-in tool", { tools: [{ type: "web_search" }] }, { param: "tools[0].type", message: expect.stringContaining("no built-in tools") as string }],
    ["an item that is not known", { input: [{ type: "item_reference", id: "msg_1" }] }, { param: "input[0].type" }],
    ["an unknown field", { messages: [] }, { param: "messages", code: "unknown_parameter" }],
  ])("of %s is a 400 that names it, whole or streamed, and nothing is asked", async (_name, more, expected) => {
    const count = gateway.requests.length;
    for (const stream of [false, true]) {
      const error = await errorOf(client.responses.create(withExtra({ ...ask, stream }, more)));
      expect(error).toBeInstanceOf(BadRequestError);
      expect(error).toMatchObject({ status: 400, type: "invalid_request_error", ...expected });
    }
    expect(gateway.requests).toHaveLength(count);
  });

  it("before anything was said is a plain HTTP error, also where a stream was asked for", async () => {
    gateway.play(({ complete }) => complete({ outcome: "failed", error: { code: "no_sound_answer", message: "m" }, output: null, tier: null, model: null, confidence: null, confidence_source: null }));
    for (const stream of [false, true]) {
      const error = await errorOf(client.responses.create({ ...ask, stream }));
      expect(error).toBeInstanceOf(InternalServerError);
      expect(error).toMatchObject({ status: 502, code: "no_sound_answer" });
    }
  });
});

describe("a streamed response", () => {
  it("shows pieces while they come, and ends with the whole response", async () => {
    let seen: () => void = () => undefined;
    const firstPieces = new Promise<void>((resolve) => { seen = resolve; });
    gateway.play(async ({ piece, complete }) => {
      piece(0, [{ text: "sp" }, { text: "am" }]);
      await firstPieces; // the client has them while there is no outcome yet
      await complete();
    });
    const stream = await client.responses.create({ ...ask, stream: true });
    const { events, last, text } = await collect(stream, (event) => { if (event.type === "response.output_text.delta" && event.delta === "am") seen(); });
    expect([events[0]?.type, text, events.every(({ sequence_number }, index) => sequence_number === index)]).toEqual(["response.created", "spam 🌍", true]);
    expect(last).toMatchObject({ type: "response.completed", response: { status: "completed", usage: { total_tokens: 48 }, optimizer: { tier: "large" } } });
    expect(gateway.requests.at(-1)).toMatchObject({ stream: true });
  });

  it("is put together by the client as a whole reply is, calls too, shown or not", async () => {
    for (const isShown of [true, false]) {
      gateway.play(async ({ piece, complete }) => {
        if (isShown) piece(0, [{ tool_calls: [{ index: 0, ...CALL, function: { name: "look", arguments: "" } }] }, { tool_calls: [{ index: 0, function: { arguments: '{"at"' } }] }]);
        await complete(CALLING);
      });
      const final = await client.responses.stream({ ...ask, tools: [TOOL] }).finalResponse();
      expect(final.output).toMatchObject([{ type: "function_call", call_id: "call-1", name: "look", arguments: CALL.function.arguments, parsed_arguments: { at: "🌍" } }]);
    }
    gateway.play(async ({ piece, complete }) => { piece(0, [{ text: "sp" }]); await complete(); });
    expect(await client.responses.stream(ask).finalResponse()).toMatchObject({ status: "completed", output: [{ content: [{ text: "spam 🌍" }] }] });
  });

  it("has parallel calls whole, also where the model goes on with one after it has begun the next", async () => {
    const more = (index: number, args: string) => ({ tool_calls: [{ index, function: { arguments: args } }] });
    gateway.play(async ({ piece, complete }) => {
      piece(0, [{ tool_calls: [CALL, OTHER_CALL].map((call, index) => ({ index, ...call, function: { name: "look", arguments: "" } })) }]);
      piece(1, [more(0, '{"at"'), more(1, '{"at":"th'), more(0, ':"🌍"}'), more(1, 'ere"}')]);
      await complete({ ...CALLING, message: { ...CALLING.message, tool_calls: [CALL, OTHER_CALL] } });
    });
    const stream = client.responses.stream({ ...ask, tools: [TOOL] });
    const { events } = await collect(stream);
    expect((await stream.finalResponse()).output).toMatchObject([{ call_id: "call-1", arguments: '{"at":"🌍"}', status: "completed" }, { call_id: "call-2", arguments: '{"at":"there"}', status: "completed" }]);
    expect(events.flatMap((event) => (event.type === "response.function_call_arguments.delta" ? [event.output_index] : []))).toEqual([0, 1, 0, 1]);
  });

  it("is whole, from the stored event, when a piece got lost", async () => {
    gateway.play(async ({ piece, complete }) => { piece(0, [{ text: "sp" }]); piece(2, [{ text: "XX" }]); await complete(); });
    const { text, last } = await collect(await client.responses.create({ ...ask, stream: true }));
    expect([text, last?.type]).toEqual(["spam 🌍", "response.completed"]);
  });

  it.each<[string, Partial<Completion>, string]>([
    ["fails", { outcome: "failed", error: { code: "backend_bad_response", message: "cut" }, output: null }, "backend_bad_response"],
    ["turns out to be another answer", { output: "ham" }, "stream_broken"],
  ])("that %s after pieces were shown ends in response.failed, and nothing of it is done", async (_name, more, code) => {
    gateway.play(async ({ piece, complete }) => { piece(0, [{ text: "spa" }]); await complete(more); });
    const { events, last, text } = await collect(await client.responses.create({ ...ask, stream: true }));
    expect(text).toBe("spa");
    expect(last).toMatchObject({ type: "response.failed", response: { status: "failed", error: { code }, output: [] } });
    expect(events.map(({ type }) => type).filter((type) => /done|completed|incomplete/.test(type))).toEqual([]);
  });

  it("that nobody reads any more takes its request with it", async () => {
    const ended = new Promise<void>((resolve) => {
      gateway.play(async ({ piece, cancelled, complete }) => {
        piece(0, [{ text: "spa" }]);
        await cancelled;
        await complete({ outcome: "failed", error: { code: "cancelled", message: "the caller went away" }, output: null });
        resolve();
      });
    });
    for await (const event of await client.responses.create({ ...ask, stream: true }, named("gone-1"))) if (event.type === "response.output_text.delta") break;
    await ended;
    expect(gateway.cancels("gone-1")).toBeGreaterThan(0);
  });
});

describe("LangChain.js", () => {
  const model = () => new ChatOpenAI({ model: "auto", apiKey: "any", configuration: { baseURL: gateway.url }, useResponsesApi: true, zdrEnabled: true, maxRetries: 0 });

  it("gets a text, whole and streamed, and calls", async () => {
    expect((await model().invoke([new HumanMessage("spam?")])).text).toBe("spam 🌍");
    let streamed = "";
    for await (const chunk of await model().stream("spam?")) streamed += chunk.text;
    expect(streamed).toBe("spam 🌍");
    gateway.play(({ complete }) => complete(CALLING));
    const called = await model().bindTools([{ type: "function", function: { name: "look", parameters: PARAMETERS } }]).invoke("look");
    expect(called.tool_calls).toMatchObject([{ name: "look", args: { at: "🌍" }, id: "call-1" }]);
  });
});
