/** Servers of our own on loopback that answer as Anthropic and Google do, and as they do on their worse days. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { ofOneBackend } from "#infra/ofOneBackend.ts";
import { OWN_MACHINE } from "#infra/ownMachine.ts";
import { type AnswerDelta, Chat, type Input } from "#shared/contracts/chat.ts";
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { BackendConfig, type Tier, TierFile } from "#shared/contracts/tiers.ts";
import { runAttempt } from "#workers/runAttempt.ts";

import { BackendError } from "./backendError.ts";
import type { Backend, BackendAnswer } from "./backend.ts";
import { makeBackend } from "./makeBackend.ts";

const TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const [TIER] = TierFile.parse(tierFixture).tiers;
type Answer = (response: ServerResponse, request: IncomingMessage) => void;
let answer: Answer = () => undefined;
let seen: { url: string; headers: IncomingMessage["headers"]; body: unknown }[] = [];
const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => {
    seen.push({ url: `${request.method ?? ""} ${request.url ?? ""}`, headers: request.headers, body: JSON.parse(Buffer.concat(chunks).toString()) });
    answer(response, request);
  });
});
const backends: Backend[] = [];
let baseUrl = "";
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => { seen = []; });
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await Promise.all(backends.map((backend) => backend.close()));
});

const CHAT = Chat.parse({ messages: [{ role: "user", content: "Say hello" }] });
const told = { promptTokenCount: 25, candidatesTokenCount: 4 };
const geminiPiece = (text: string, over: object = {}) => ({ candidates: [{ content: { parts: [{ text }], role: "model" }, index: 0, ...over }], usageMetadata: told, modelVersion: "m-1" });
const anthropicPiece = (text: string) => ({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } });

interface Provider {
  readonly kind: "anthropic" | "gemini";
  readonly wholeUrl: string;
  readonly streamUrl: string;
  readonly whole: object;
  /** "Hello" and "!" and an end. */
  readonly events: readonly object[];
  readonly key: string;
  readonly error: object;
}
const PROVIDERS: readonly Provider[] = [
  {
    kind: "anthropic", wholeUrl: "POST /v1/messages", streamUrl: "POST /v1/messages", key: "x-api-key", error: { type: "error", error: { type: "overloaded_error", message: "Overloaded" } },
    whole: { type: "message", model: "m-1", content: [{ type: "text", text: "Hello!" }], stop_reason: "end_turn", usage: { input_tokens: 25, output_tokens: 4 } },
    events: [
      { type: "message_start", message: { model: "m-1", usage: { input_tokens: 25, output_tokens: 1 } } }, { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }, { type: "ping" },
      anthropicPiece("Hello"), anthropicPiece("!"), { type: "content_block_stop", index: 0 }, { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 4 } }, { type: "message_stop" },
    ],
  },
  {
    kind: "gemini", wholeUrl: "POST /v1beta/models/m:generateContent", streamUrl: "POST /v1beta/models/m:streamGenerateContent?alt=sse", key: "x-goog-api-key", error: { error: { code: 503, message: "Overloaded", status: "UNAVAILABLE" } },
    whole: geminiPiece("Hello!", { finishReason: "STOP" }),
    events: [geminiPiece("Hello"), geminiPiece("!"), geminiPiece("", { finishReason: "STOP" })],
  },
];

const sse = (event: object): string => `${"type" in event ? `event: ${String(event.type)}\r\n` : ""}data: ${JSON.stringify(event)}\r\n\r\n`;
const json = (value: unknown, status = 200, headers: Record<string, string> = {}): Answer => (response) => void response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
/** Everything at once, then what `after` does. */
const streamed = (events: readonly object[], after: (response: ServerResponse) => void = (response) => void response.end()): Answer => (response) => {
  response.writeHead(200, { "content-type": "text/event-stream" }).write(events.map(sse).join(""), () => { after(response); });
};

describe.each(PROVIDERS)("$kind", ({ kind, wholeUrl, streamUrl, whole, events, key, error }) => {
  const backend = async (over: object = {}): Promise<Backend> => {
    const config = BackendConfig.parse({ kind, model: "m", base_url: baseUrl, api_key: { env: "KEY" }, max_output_tokens: 32, ...over });
    const made = await makeBackend({ backend: config, prior: { quality: 0.7, latency_p50_ms: 1, latency_p95_ms: 1 }, apiKey: "sk-test-1", reach: OWN_MACHINE, localModelsDir: "", tiersDir: "" });
    backends.push(made);
    return made;
  };
  const call = async ({ input = CHAT, signal = AbortSignal.timeout(10_000), over = {} }: { input?: Input; signal?: AbortSignal; over?: object } = {}) => (await backend(over)).call(input, { signal, traceparent: TRACE });
  const stream = async ({ signal = AbortSignal.timeout(10_000), over = {}, onDelta = () => undefined }: { signal?: AbortSignal; over?: object; onDelta?: (delta: AnswerDelta) => void } = {}) => {
    const deltas: AnswerDelta[] = [];
    const outcome = await (await backend(over)).call(CHAT, { signal, traceparent: TRACE, onDelta: (delta) => { deltas.push(delta); onDelta(delta); } }).then((value) => ({ value }), (thrown: unknown) => ({ thrown }));
    return { deltas, ...outcome } as { deltas: AnswerDelta[]; value?: BackendAnswer; thrown?: BackendError };
  };

  it("asks with its key and the trace, and reads the answer", async () => {
    answer = json(whole);
    expect(await call()).toEqual({
      output: "Hello!", message: { finish_reason: "stop", refusal: null }, model: "m-1", is_sound: true, confidence: 0.7, confidence_source: "prior",
      usage: expect.objectContaining({ input_tokens: 25, output_tokens: 4, source: "reported" }) as unknown,
    });
    expect(seen).toMatchObject([{ url: wholeUrl, headers: { [key]: "sk-test-1", traceparent: TRACE, "content-type": "application/json" } }]);
  });

  it("answers a text with a text", async () => {
    answer = json(whole);
    const made = await call({ input: "Say hello" });
    expect([made.output, made.is_sound, "message" in made]).toEqual(["Hello!", true, false]);
  });

  it("streams, and the pieces in their order are the answer", async () => {
    answer = streamed(events);
    expect(await stream()).toMatchObject({ deltas: [{ text: "Hello" }, { text: "!" }], value: { output: "Hello!", message: { finish_reason: "stop" }, is_sound: true, usage: { input_tokens: 25, output_tokens: 4, source: "reported" } } });
    expect(seen).toMatchObject([{ url: streamUrl }]);
  });

  it("tells a piece before the next one is there", async () => {
    const arrived = new Promise<void>((resolve) => {
      answer = streamed(events.slice(0, -1), (response) => { void first.then(() => { response.end(events.slice(-1).map(sse).join("")); resolve(); }); });
    });
    let isFirst: () => void = () => undefined;
    const first = new Promise<void>((resolve) => { isFirst = resolve; });
    expect((await stream({ onDelta: () => { isFirst(); } })).value?.output).toBe("Hello!");
    await arrived;
  });

  describe("a stream that fails is never a clean end, and says what was spent:", () => {
    const half = events.slice(0, -1);
    const spent = { mayHaveCost: true, usage: { input_tokens: 25, source: "estimated" } };
    it.each<[string, Answer, object]>([
      ["cut by the network", streamed(half, (response) => { response.destroy(); }), { code: "backend_unavailable", isTransient: true }],
      ["ended before the answer did", streamed(half), { code: "backend_unavailable", isTransient: true }],
      ["stalled", streamed(half, () => undefined), { code: "backend_unavailable", isTransient: true, message: "the model's server fell silent" }],
      ["an error as its last event", streamed([...half, error]), { code: "backend_unavailable", isTransient: true }],
      ["garbled", streamed(half, (response) => void response.end("data: {\"oops\n\n")), { code: "backend_bad_response", isTransient: false }],
      ["of another API", streamed([...half, { choices: [] }]), { code: "backend_bad_response", isTransient: false }],
      ["without an end", streamed(half, (response) => {
        const push = (): void => { while (!response.destroyed && response.write(`: ${"x".repeat(64 * 1024)}\n`)); };
        response.on("drain", push);
        push();
      }), { code: "backend_bad_response", isTransient: false }],
    ])("%s", async (_name, script, expected) => {
      answer = script;
      const { deltas, thrown } = await stream({ over: { idle_timeout_ms: 50 } });
      expect(deltas).toEqual([{ text: "Hello" }, { text: "!" }]);
      expect(thrown).toBeInstanceOf(BackendError);
      expect(thrown).toMatchObject({ ...spent, ...expected });
    });

    it("nothing at all", async () => {
      answer = streamed([]);
      expect(await stream()).toMatchObject({ deltas: [], thrown: { code: "backend_unavailable", isTransient: true, mayHaveCost: true, usage: null } });
    });
  });

  describe("without a first byte in time it is the server's failure, which may have cost something:", () => {
    const NONE = { code: "backend_unavailable", message: "the model's server sent nothing within first_byte_timeout_ms", isTransient: true, isBackendsFault: true, mayHaveCost: true, usage: null };
    const over = { first_byte_timeout_ms: 50 };
    it.each<[string, Answer]>([["no headers", () => undefined], ["headers alone", (response) => { response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders(); }]])("a stream of %s", async (_name, script) => {
      const closed = new Promise<void>((resolve) => { answer = (response, request) => { response.on("close", resolve); script(response, request); }; });
      expect(await stream({ over })).toMatchObject({ deltas: [], thrown: NONE });
      await closed;
    });

    it("a whole reply without headers; one that has them may take its time", async () => {
      answer = () => undefined;
      expect(await call({ over }).catch((caught: unknown) => caught)).toMatchObject(NONE);
      answer = (response) => { response.writeHead(200).flushHeaders(); setTimeout(() => { response.end(JSON.stringify(whole)); }, 150); };
      expect((await call({ over })).output).toBe("Hello!");
    });

    it("but not a stream that has begun, nor one that has ended", async () => {
      answer = streamed(events.slice(0, 1), (response) => { setTimeout(() => { response.end(events.slice(1).map(sse).join("")); }, 150); });
      expect((await stream({ over })).value?.output).toBe("Hello!");
      answer = (response) => void response.writeHead(200, { "content-length": "0" }).end();
      expect((await stream({ over })).thrown).toMatchObject({ message: "the reply ended before the answer did" });
    });
  });

  it.each([
    [429, { "retry-after": "2" }, { code: "backend_unavailable", isTransient: true, retryAfterMs: 2_000 }], [529, {}, { code: "backend_unavailable", isTransient: true, retryAfterMs: null }],
    [500, {}, { code: "backend_unavailable", isTransient: true }], [400, {}, { code: "backend_refused", isBackendsFault: false }], [401, {}, { code: "backend_refused", isBackendsFault: true }],
    [302, { location: "http://169.254.169.254/" }, { code: "backend_refused" }],
  ])("takes status %d with %j for a typed error that repeats nothing, streamed or not", async (status, headers, expected) => {
    answer = json({ error: { message: "invalid x-api-key sk-test-1" } }, status, headers);
    const thrown = [await call().catch((caught: unknown) => caught), (await stream()).thrown];
    for (const one of thrown) {
      expect(one).toBeInstanceOf(BackendError);
      expect(one).toMatchObject(expected);
      expect((one as Error).message).not.toContain("sk-test-1");
    }
    expect(seen).toHaveLength(2);
  });

  it("does not wait for the rest of an error, and lets go of who does not send it", async () => {
    const closed = new Promise<void>((resolve) => { answer = (response) => { response.on("close", resolve).writeHead(503, { "content-length": "1000" }).write("{"); }; });
    expect(await call().catch((caught: unknown) => caught)).toMatchObject({ code: "backend_unavailable", message: "the model's server answered 503" });
    await closed;
  });

  it.each([["empty", ""], ["HTML", "<html>"], ["of another API", '{"choices":[]}']])("takes a reply that is %s for a bad one", async (_name, body) => {
    answer = (response) => void response.writeHead(200).end(body);
    expect(await call().catch((caught: unknown) => caught)).toMatchObject({ code: "backend_bad_response", isTransient: false, mayHaveCost: true });
  });

  it("gives up an answer that no message could hold, and says what it cost", async () => {
    const long = "x".repeat(300 * 1024);
    answer = json(kind === "gemini" ? geminiPiece(long, { finishReason: "STOP" }) : { ...whole, content: [{ type: "text", text: long }] });
    expect(await call().catch((caught: unknown) => caught)).toMatchObject({ code: "backend_bad_response", usage: { input_tokens: 25, output_tokens: 4 } });
  });

  it("sends nothing that it must refuse", async () => {
    const input = Chat.parse({ ...CHAT, logprobs: true });
    expect(await call({ input }).catch((caught: unknown) => caught)).toMatchObject({ code: "backend_refused", isBackendsFault: false });
    expect(seen).toEqual([]);
  });

  it("ends within its caller's signal, the server notices, and the attempt is billed for what was read and said", async () => {
    const gone = new AbortController();
    const closed = new Promise<void>((resolve) => {
      answer = (response, request) => { response.on("close", resolve); streamed(events.slice(0, -1), () => undefined)(response, request); };
    });
    const tier = { ...(TIER as Tier), backend: BackendConfig.parse({ kind, model: "m", base_url: baseUrl, api_key: { env: "KEY" }, max_output_tokens: 32 }), timeout_ms: 10_000 };
    const deps = {
      tier, replicas: ofOneBackend(tier, await backend()), now: Date.now, random: () => 0,
      tracer: { span: <T>(_name: string, { parent }: { parent?: string }, inside: (trace: string, annotate: () => void) => Promise<T>) => inside(parent ?? TRACE, () => undefined) },
    };
    const said: string[] = [];
    const { result } = await runAttempt(deps as never, {
      tenantId: "t1", input: CHAT, attempt: 1, deadlineAtMs: Infinity, lease: new AbortController().signal, traceparent: TRACE, cancelled: gone.signal,
      watcher: { begin: () => undefined, take: ({ text = "" }) => { said.push(text); if (text === "!") gone.abort(); }, isShown: () => said.length > 0, flush: () => undefined },
    });
    await closed;
    expect(said.join("")).toBe("Hello!");
    expect(result).toMatchObject({ tries: 1, cost_is_partial: true, outcome: { kind: "failed", code: "cancelled" }, usage: { input_tokens: 25, source: "estimated" } });
    expect(result.usage?.output_tokens).toBeGreaterThanOrEqual(2);
  });
});

it("takes an answer of Anthropic that should be JSON and is not for unsound", async () => {
  const config = BackendConfig.parse({ kind: "anthropic", model: "m", base_url: baseUrl, api_key: { env: "KEY" }, max_output_tokens: 32 });
  const made = await makeBackend({ backend: config, prior: (TIER as Tier).prior, apiKey: "k", reach: OWN_MACHINE, localModelsDir: "", tiersDir: "" });
  backends.push(made);
  const input = Chat.parse({ ...CHAT, response_format: { type: "json_object" } });
  const sound = async (text: string) => {
    answer = json({ type: "message", model: "m", content: [{ type: "text", text }], stop_reason: "end_turn" });
    return (await made.call(input, { signal: AbortSignal.timeout(10_000), traceparent: TRACE })).is_sound;
  };
  expect([await sound('{"a":1}'), await sound("```json\n{}\n```"), await sound("[1]")]).toEqual([true, false, false]);
});
