/** The door with OpenAI's own client, over real NATS; what the pipeline does is played by the test. */
import OpenAI, { APIError, APIConnectionTimeoutError, APIUserAbortError, BadRequestError, InternalServerError, NotFoundError, RateLimitError, UnprocessableEntityError } from "openai";
import type { ChatCompletionChunk } from "openai/resources/chat/completions";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { startTestGateway, type TestGateway } from "#infra/testGateway.ts";
import { Attempt, type Completion } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import type { OptimizerReply } from "#shared/contracts/openAi.ts";

let gateway: TestGateway;
let client: OpenAI;
beforeAll(async () => {
  gateway = await startTestGateway({ INFER_SWEEP_GRACE_MS: "1" });
  client = new OpenAI({ baseURL: gateway.url, apiKey: "any", maxRetries: 0, timeout: 10_000 });
});
afterAll(() => gateway.close());
beforeEach(() => { gateway.play(({ complete }) => complete()); });

const messages = [{ role: "user" as const, content: "Is this spam?" }];
const ask = { model: "auto", messages };
const CALL = { id: "call-1", type: "function" as const, function: { name: "look", arguments: '{"at":"🌍"}' } };
const named = (id: string) => ({ "Idempotency-Key": id });
type Extended = { optimizer?: OptimizerReply };
/** Fields that OpenAI's types do not know. */
const withExtra = <T extends object>(known: T, extra: object): T => ({ ...known, ...extra });

interface Collected { readonly chunks: (ChatCompletionChunk & Extended)[]; readonly text: string; readonly error: unknown }
async function collect(stream: AsyncIterable<ChatCompletionChunk>, onChunk: (chunk: ChatCompletionChunk) => void = () => undefined): Promise<Collected> {
  const chunks: ChatCompletionChunk[] = [];
  const text = () => chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
  try {
    for await (const chunk of stream) {
      chunks.push(chunk);
      onChunk(chunk);
    }
    return { chunks, text: text(), error: null };
  } catch (error) {
    return { chunks, text: text(), error };
  }
}
const reasonsOf = ({ chunks }: Collected) => chunks.flatMap(({ choices }) => choices[0]?.finish_reason ?? []);
const errorOf = async (call: Promise<unknown>): Promise<APIError> => call.then(() => { throw new Error("it was answered"); }, (error: unknown) => error as APIError);
const raw = (body: unknown, headers: Record<string, string> = {}, path = "/chat/completions") =>
  fetch(`${gateway.url}${path}`, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: typeof body === "string" ? body : JSON.stringify(body) });

describe("a whole answer", () => {
  it("is a chat completion with its usage, what was decided, and the same in headers", async () => {
    const { data, response } = await client.chat.completions.create(ask).withResponse();
    expect(data).toMatchObject({ object: "chat.completion", model: "l-2026", choices: [{ message: { role: "assistant", content: "spam 🌍" }, finish_reason: "stop" }], usage: { prompt_tokens: 42, completion_tokens: 6, total_tokens: 48 } });
    const { optimizer } = data as Extended;
    expect(optimizer).toMatchObject({ tier: "large", outcome: "completed", cost_usd: 0.000295, saving_usd: -0.00003 });
    expect(data.id).toBe(`chatcmpl-${optimizer?.request_id}`);
    expect(Object.fromEntries(["x-request-id", "x-optimizer-tier", "x-optimizer-cost-usd", "x-optimizer-saving-usd", "x-optimizer-attempts"].map((name) => [name, response.headers.get(name)])))
      .toEqual({ "x-request-id": optimizer?.request_id, "x-optimizer-tier": "large", "x-optimizer-cost-usd": "0.000295", "x-optimizer-saving-usd": "-0.00003", "x-optimizer-attempts": "3" });
    expect(gateway.requests.at(-1)).toMatchObject({ tenant_id: "default", user_id: "anonymous", budget: 1, chat: { messages } });
    expect(gateway.requests.at(-1)).not.toHaveProperty("stream");
  });

  it("takes tools, JSON mode and all that a model may be told, and hands on its calls", async () => {
    gateway.play(({ complete }) => complete({ output: "", message: { finish_reason: "tool_calls", refusal: null, tool_calls: [CALL] } }));
    const told = { tools: [{ type: "function" as const, function: { name: "look", parameters: { type: "object" } } }], tool_choice: "required" as const, response_format: { type: "json_object" as const }, seed: 3, stop: ["x"], temperature: 0.2 };
    const { choices } = await client.chat.completions.create({ ...ask, ...told, max_completion_tokens: 9 });
    expect(choices[0]).toMatchObject({ message: { content: null, tool_calls: [CALL] }, finish_reason: "tool_calls" });
    expect(gateway.requests.at(-1)).toMatchObject({ chat: { ...told, max_output_tokens: 9 } });
    const followUp = [...messages, { role: "assistant" as const, content: null, tool_calls: [CALL] }, { role: "tool" as const, tool_call_id: "call-1", content: "seen" }];
    await client.chat.completions.create({ ...ask, messages: followUp });
    expect(gateway.requests.at(-1)).toMatchObject({ chat: { messages: followUp } });
  });

  it("comes again under the same id, and nothing runs again; another request under it is refused", async () => {
    const first = await client.chat.completions.create(ask, { headers: named("again-1") });
    const count = gateway.requests.length;
    expect(await client.chat.completions.create(withExtra(ask, { optimizer: { request_id: "again-1" } }))).toEqual(first);
    expect(await client.chat.completions.create(ask, { headers: { "x-optimizer-request-id": "again-1" } })).toEqual(first);
    expect(gateway.requests).toHaveLength(count);
    const other = await errorOf(client.chat.completions.create({ ...ask, temperature: 1 }, { headers: named("again-1") }));
    expect([other instanceof UnprocessableEntityError, other.status, other.code, other.headers?.get("x-should-retry")]).toEqual([true, 422, "idempotency_mismatch", "false"]);
  });

  it("explains itself when asked to, by header or in the body", async () => {
    const explained = await client.chat.completions.create(withExtra(ask, { optimizer: { explain: true, budget_usd: 0.5, min_tier: "small" } })) as Extended;
    expect(explained.optimizer?.decision?.steps[0]).toMatchObject({ step: "run", facts: {} });
    expect(gateway.requests.at(-1)).toMatchObject({ budget: 0.5, min_tier: "small" });
    const briefly = await client.chat.completions.create(ask, { headers: { "x-optimizer-tenant": "t-7", "x-optimizer-max-tier": "large" } }) as Extended;
    expect(briefly.optimizer).not.toHaveProperty("decision");
    expect(gateway.requests.at(-1)).toMatchObject({ tenant_id: "t-7", max_tier: "large" });
  });

  it("is kept for a client that went away or ran out of patience", async () => {
    let finish: () => Promise<void> = async () => undefined;
    const begun = new Promise<void>((resolve) => { gateway.play(({ complete }) => { finish = complete; resolve(); }); });
    const leaving = new AbortController();
    const left = errorOf(client.chat.completions.create(ask, { headers: named("left-1"), signal: leaving.signal }));
    await begun;
    leaving.abort();
    expect(await left).toBeInstanceOf(APIUserAbortError);
    await finish();
    expect((await client.chat.completions.create(ask, { headers: named("left-1") })).choices[0]?.message.content).toBe("spam 🌍");
    gateway.play(() => undefined);
    expect(await errorOf(client.chat.completions.create(ask, { timeout: 50 }))).toBeInstanceOf(APIConnectionTimeoutError);
    expect(gateway.cancels("left-1")).toBe(0);
  });
});

describe("an error", () => {
  it.each<[string, object, Record<string, string>, typeof BadRequestError | typeof NotFoundError, object]>([
    ["a model that is not there", { model: "gpt-9" }, {}, NotFoundError, { status: 404, code: "model_not_found", param: "model" }],
    ["an unknown field", { api_base: "x" }, {}, BadRequestError, { status: 400, code: "unknown_parameter", param: "api_base" }],
    ["two answers", { n: 2 }, {}, BadRequestError, { status: 400, code: "invalid_value", param: "n" }],
    ["no messages", { messages: [] }, {}, BadRequestError, { status: 400, param: "messages" }],
    ["a role that is none", { messages: [{ role: "boss", content: "" }] }, {}, BadRequestError, { status: 400, param: "messages[0].role" }],
    ["an unknown control", { optimizer: { speed: 1 } }, {}, BadRequestError, { code: "unknown_parameter", param: "optimizer.speed" }],
    ["a tier that is not there", { optimizer: { min_tier: "huge" } }, {}, BadRequestError, { code: "invalid_request" }],
    ["a header that contradicts the body", { optimizer: { budget_usd: 1 } }, { "x-optimizer-budget-usd": "2" }, BadRequestError, { param: "optimizer.budget_usd" }],
  ])("of %s has OpenAI's class, status, code and parameter, whole or streamed", async (_name, more, headers, kind, expected) => {
    for (const stream of [false, true]) {
      const error = await errorOf(client.chat.completions.create(withExtra({ ...ask, stream, user: "refused" }, more), { headers }));
      expect(error).toBeInstanceOf(kind);
      expect(error).toMatchObject({ type: "invalid_request_error", requestID: expect.stringMatching(/^[\w-]{1,64}$/) as string, ...expected });
      expect(error.headers?.get("x-should-retry")).toBe("false");
    }
    expect(gateway.requests.filter(({ user_id }) => user_id === "refused")).toEqual([]); // one that a client gave up on before may still come
  });

  it.each([
    ["deadline_exceeded", "failed", 504, InternalServerError, "timeout", "false"], ["no_sound_answer", "failed", 502, InternalServerError, "api_error", "false"],
    ["backend_unavailable", "failed", 503, InternalServerError, "server_error", "true"], ["budget_exceeded", "rejected", 429, RateLimitError, "insufficient_quota", "false"],
  ] as const)("%s is a plain HTTP error, also where a stream was asked for", async (code, outcome, status, kind, type, shouldRetry) => {
    gateway.play(({ complete }) => complete({ outcome, error: { code, message: "m" }, output: null, tier: null, model: null, confidence: null, confidence_source: null }));
    for (const stream of [false, true]) {
      const error = await errorOf(client.chat.completions.create({ ...ask, stream }));
      expect(error).toBeInstanceOf(kind);
      expect(error).toMatchObject({ status, code, type, param: null });
      expect([error.headers?.get("x-should-retry"), error.headers?.get("x-optimizer-outcome"), error.headers?.get("retry-after")]).toEqual([shouldRetry, outcome, status === 503 ? "1" : null]);
    }
  });

  it("says to wait as long as the longest that a model's server asked for, whole or streamed", async () => {
    const error = { code: "backend_unavailable", message: "m" } as const;
    const attempts = [{ retry_after_ms: 2_001 }, { retry_after_ms: 500 }, {}].map((wait, i) => Attempt.parse({ ...completionFixture.attempts[0], attempt: i + 1, outcome: { kind: "failed", ...error, ...wait } }));
    gateway.play(({ complete }) => complete({ outcome: "failed", error, output: null, tier: null, model: null, confidence: null, confidence_source: null, attempts }));
    for (const stream of [false, true]) {
      expect((await errorOf(client.chat.completions.create({ ...ask, stream }))).headers?.get("retry-after")).toBe("3");
    }
  });

  it.each<[string, () => Promise<Response>, number, string]>([
    ["a body that is no JSON", () => raw("{a"), 400, "invalid_json"],
    ["a body without a model", () => raw({ messages }), 400, "missing_required_parameter"],
    ["a body that is too large", () => raw({ ...ask, user: "x".repeat(300_000) }), 413, "payload_too_large"],
    ["another content type", () => raw("a", { "content-type": "text/plain" }), 415, "unsupported_media_type"],
    ["a path that is not there", () => raw({}, {}, "/responses/x"), 404, "unknown_url"],
  ])("of %s has OpenAI's shape and a request id too", async (_name, call, status, code) => {
    const response = await call();
    const body = await response.json() as { error: object };
    expect([response.status, Object.keys(body), Object.keys(body.error)]).toEqual([status, ["error"], ["message", "type", "param", "code"]]);
    expect(body.error).toMatchObject({ type: "invalid_request_error", code });
    expect(response.headers.get("x-request-id")).toMatch(/^[\w-]{36}$/);
  });
});

describe("a stream", () => {
  const create = (more: object = {}, options: object = {}) => client.chat.completions.create(withExtra({ ...ask, stream: true as const }, more), options);

  it("shows pieces while they come, and then the rest, the reason and what was decided", async () => {
    let seen: () => void = () => undefined;
    const firstPieces = new Promise<void>((resolve) => { seen = resolve; });
    gateway.play(async ({ piece, complete }) => {
      piece(0, [{ text: "sp" }, { text: "am" }]);
      await firstPieces; // the client has them while there is no outcome yet
      piece(1, [{ text: " " }]);
      await complete();
    });
    const { data, response } = await create().withResponse();
    expect([response.headers.get("content-type"), response.headers.get("x-optimizer-tier")]).toEqual(["text/event-stream; charset=utf-8", "large"]);
    const got = await collect(data, ({ choices }) => { if (choices[0]?.delta.content === "am") seen(); });
    expect([got.text, got.error, reasonsOf(got)]).toEqual(["spam 🌍", null, ["stop"]]);
    expect(got.chunks[0]?.choices[0]?.delta).toEqual({ role: "assistant", content: "", refusal: null });
    expect(new Set(got.chunks.map(({ id }) => id))).toEqual(new Set([`chatcmpl-${response.headers.get("x-request-id")}`]));
    expect(got.chunks.at(-1)?.optimizer).toMatchObject({ tier: "large", outcome: "completed", cost_usd: 0.000295 });
    expect(gateway.requests.at(-1)).toMatchObject({ stream: true });
    expect(gateway.cancels(response.headers.get("x-request-id") ?? "")).toBe(0);
  });

  it("of an answer that was not shown while it was made comes in several chunks, with every header", async () => {
    const output = "word ".repeat(100);
    gateway.play(({ complete }) => complete({ output }));
    const { data, response } = await create().withResponse();
    const got = await collect(data);
    expect([got.text, got.error, reasonsOf(got)]).toEqual([output, null, ["stop"]]);
    expect(got.chunks.length).toBeGreaterThan(5);
    expect([response.headers.get("x-optimizer-outcome"), response.headers.get("x-optimizer-cost-usd")]).toEqual(["completed", "0.000295"]);
  });

  it("has usage in a chunk of its own where that was asked for", async () => {
    const got = await collect(await create({ stream_options: { include_usage: true } }));
    expect(got.chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 42, completion_tokens: 6, total_tokens: 48 }, optimizer: { tier: "large" } });
    expect(got.chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
  });

  it("hands on tool calls, shown or not, so that the client puts them together", async () => {
    const message = { finish_reason: "tool_calls" as const, refusal: null, tool_calls: [CALL] };
    for (const isShown of [true, false]) {
      gateway.play(async ({ piece, complete }) => {
        if (isShown) piece(0, [{ tool_calls: [{ index: 0, ...CALL, function: { name: "look", arguments: "" } }] }, { tool_calls: [{ index: 0, function: { arguments: '{"at"' } }] }]);
        await complete({ output: "", message });
      });
      const final = await client.chat.completions.stream(ask).finalChatCompletion();
      expect(final.choices[0]).toMatchObject({ message: { tool_calls: [CALL] }, finish_reason: "tool_calls" });
    }
  });

  it.each([
    ["a piece got lost", [[0, "sp", "run-a"], [2, "XX", "run-a"]]],
    ["another run began", [[0, "sp", "run-a"], [0, "XX", "run-b"], [1, "YY", "run-b"]]],
    ["it came too late", [[3, "XX", "run-a"]]],
  ] as const)("is whole, from the stored event, when %s", async (_name, pieces) => {
    gateway.play(async ({ piece, complete }) => {
      for (const [seq, text, run] of pieces) piece(seq, [{ text }], run);
      await complete();
    });
    const got = await collect(await create());
    expect([got.text, got.error, reasonsOf(got)]).toEqual(["spam 🌍", null, ["stop"]]);
  });

  it("whose outcome nobody learns in time ends in an error after its pieces", async () => {
    gateway.play(({ piece }) => { piece(0, [{ text: "spa" }]); });
    const text = await (await raw({ ...ask, stream: true, optimizer: { deadline_ms: 100 } })).text();
    expect([text.includes("spa"), text.includes('"code":"outcome_pending"'), text.includes("[DONE]")]).toEqual([true, true, false]);
  });

  it.each<[string, Partial<Completion>, string]>([
    ["fails", { outcome: "failed", error: { code: "backend_bad_response", message: "cut" }, output: null }, "backend_bad_response"],
    ["turns out to be another answer", { output: "ham" }, "stream_broken"],
  ])("that %s after pieces were shown ends in an error, without reason and without [DONE]", async (_name, more, code) => {
    gateway.play(async ({ piece, complete }) => {
      piece(0, [{ text: "spa" }]);
      await complete(more);
    });
    const got = await collect(await create());
    expect([got.text, reasonsOf(got)]).toEqual(["spa", []]);
    expect(got.error).toBeInstanceOf(APIError);
    expect(got.error).toMatchObject({ code });
    const text = await (await raw({ ...ask, stream: true })).text();
    expect(text).not.toContain("[DONE]");
    expect(text.trim().split("\n\n").at(-1)).toMatch(/^data: \{"error":\{"message":/);
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
    for await (const { choices } of await create({}, { headers: named("gone-1") })) if (choices[0]?.delta.content === "spa") break;
    await ended;
    expect(gateway.cancels("gone-1")).toBeGreaterThan(0);
    const later = await errorOf(client.chat.completions.create(ask, { headers: named("gone-1") }));
    expect([later.status, later.code]).toEqual([499, "cancelled"]);
  });

  it("that another caller waits for goes on when one leaves", async () => {
    let finish: () => Promise<void> = async () => undefined;
    gateway.play(({ piece, complete }) => { piece(0, [{ text: "spa" }]); finish = complete; });
    const first = await create({}, { headers: named("shared-1") });
    const second = client.chat.completions.create(ask, { headers: named("shared-1") });
    const metrics = () => fetch(gateway.url.replace("/v1", "/metrics")).then((response) => response.text());
    await expect.poll(metrics).toMatch(/infer_gateway_waiting_requests\S* [2-9]/);
    first.controller.abort();
    await collect(first);
    await finish();
    expect((await second).choices[0]?.message.content).toBe("spam 🌍");
    expect(gateway.cancels("shared-1")).toBe(0);
  });
});

describe("models", () => {
  it("are listed and found one by one", async () => {
    const listed = [];
    for await (const model of client.models.list()) listed.push(model);
    expect(listed.map(({ id }) => id)).toEqual(expect.arrayContaining(["auto", "auto:cascade", "small", "medium", "large", "mail-large"]));
    for (const model of listed) expect(await client.models.retrieve(model.id)).toEqual(model);
    const error = await errorOf(client.models.retrieve("gpt/9"));
    expect([error instanceof NotFoundError, error.code]).toEqual([true, "model_not_found"]);
  });

  it("of a tier decide by it", async () => {
    for (const [model, policy] of [["auto:cheapest", "cheapest"], ["medium", "always-medium"], ["mail-large", "always-large"]] as const) {
      await client.chat.completions.create({ ...ask, model });
      expect(gateway.requests.at(-1)?.policy).toBe(policy);
    }
  });
});
