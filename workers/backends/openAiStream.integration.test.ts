/** Streams of two servers on loopback: one that is scripted here, one that plays recorded answers with faults. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { OWN_MACHINE } from "#infra/ownMachine.ts";
import { LONG_TEXT, madeUpAnswers } from "#infra/recorded/madeUpAnswers.ts";
import { type RecordedServer, startRecordedServer } from "#infra/recorded/recordedServer.ts";
import type { AnswerDelta, Chat } from "#shared/contracts/chat.ts";
import { BackendConfig } from "#shared/contracts/tiers.ts";

import type { Backend, BackendAnswer } from "./backend.ts";
import { CutOff } from "./backendError.ts";
import type { OpenAiConfig } from "./openAi/chatBody.ts";
import { makeOpenAiCompatible } from "./openAiCompatible.ts";

const CHAT: Chat = { messages: [{ role: "user", content: "What is 2 + 2?" }] };
const backends: Backend[] = [];
const backendAt = (base_url: string, over: object = {}): Backend => {
  const config = BackendConfig.parse({ kind: "openai-compatible", model: "big", base_url, max_output_tokens: 100, ...over }) as OpenAiConfig;
  const made = makeOpenAiCompatible({ config, apiKey: null, priorQuality: 0.7, reach: OWN_MACHINE });
  backends.push(made);
  return made;
};
interface Streamed { readonly deltas: AnswerDelta[]; readonly outcome: Promise<BackendAnswer> }
function stream(backend: Backend, { signal = AbortSignal.timeout(20_000), chat = CHAT, onDelta = () => undefined }: { signal?: AbortSignal; chat?: Chat; onDelta?: () => void } = {}): Streamed {
  const deltas: AnswerDelta[] = [];
  return { deltas, outcome: backend.call(chat, { signal, traceparent: "00-1", onDelta: (delta) => { deltas.push(delta); onDelta(); } }) };
}
const failureOf = ({ outcome }: Streamed): Promise<unknown> => outcome.then(({ output }) => { throw new Error(`this should have failed: ${output}`); }, (error: unknown) => error);
const textOf = (deltas: readonly AnswerDelta[]) => deltas.map(({ text }) => text ?? "").join("");
afterAll(() => Promise.all(backends.map((backend) => backend.close())));

describe("a scripted server's stream", () => {
  let answer: (response: ServerResponse, request: IncomingMessage) => void = () => undefined;
  let body: unknown = null;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => {
      body = JSON.parse(Buffer.concat(chunks).toString());
      answer(response, request);
    });
  });
  let url = "";
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  });
  afterAll(() => { server.closeAllConnections(); server.close(); });

  const begin = (response: ServerResponse, type = "text/event-stream") => response.writeHead(200, { "content-type": type });
  const event = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;
  const piece = (delta: object, finish_reason: string | null = null) => event({ model: "m-1", choices: [{ index: 0, delta, finish_reason }] });
  const USAGE = event({ choices: [], usage: { prompt_tokens: 12, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 8 } } });
  const DONE = "data: [DONE]\n\n";
  const sends = (...parts: string[]) => { answer = (response) => { begin(response).end(parts.join("")); }; };

  it("brings an answer with calls of tools, its usage and its message", async () => {
    sends(
      piece({ role: "assistant", content: "" }), ": ping\n\n", piece({ content: "Let me see." }),
      piece({ tool_calls: [{ index: 0, id: "a", type: "function", function: { name: "f", arguments: "" } }] }), piece({ tool_calls: [{ index: 0, function: { arguments: '{"x":1}' } }] }),
      piece({}, "tool_calls"), USAGE, DONE,
    );
    const { deltas, outcome } = stream(backendAt(url), { chat: { ...CHAT, tools: [{ type: "function", function: { name: "f" } }], parallel_tool_calls: false } });
    expect(await outcome).toMatchObject({
      output: "Let me see.", is_sound: true, usage: { input_tokens: 12, output_tokens: 3, cached_input_tokens: 8, source: "reported" },
      message: { finish_reason: "tool_calls", tool_calls: [{ id: "a", function: { name: "f", arguments: '{"x":1}' } }] },
    });
    expect(deltas.map((delta) => Object.keys(delta).join())).toEqual(["text", "tool_calls", "tool_calls"]);
    expect(body).toMatchObject({ stream: true, stream_options: { include_usage: true }, tools: [{ type: "function" }], parallel_tool_calls: false });
  });

  it("may come byte by byte", async () => {
    const bytes = Buffer.from(piece({ content: "Größe 🙂" }) + piece({}, "stop") + DONE);
    answer = (response) => {
      begin(response);
      let at = 0;
      const next = (): void => { if (at < bytes.length) { response.write(bytes.subarray(at, ++at)); setImmediate(next); } else response.end(); };
      next();
    };
    const { deltas, outcome } = stream(backendAt(url));
    expect([(await outcome).output, textOf(deltas)]).toEqual(["Größe 🙂", "Größe 🙂"]);
  });

  it("uses its connection again", async () => {
    const ports = new Set<number | undefined>();
    answer = (response, request) => { ports.add(request.socket.remotePort); begin(response).end(piece({ content: "a" }) + piece({}, "stop") + DONE); };
    const backend = backendAt(url);
    for (let i = 0; i < 10; i++) await stream(backend).outcome;
    expect(ports.size).toBeLessThanOrEqual(2); // the next call may begin before the last one's end has come
  });

  it("is over with [DONE], whether or not the server ends it", async () => {
    const closed = new Promise<void>((resolve) => { answer = (response) => { response.on("close", resolve); begin(response).write(piece({ content: "a" }) + piece({}, "stop") + DONE); }; });
    expect(await stream(backendAt(url)).outcome).toMatchObject({ output: "a", is_sound: true });
    await closed; // it is let go
  });

  it.each([
    ["ends without [DONE]", [piece({ content: "a" }), piece({}, "stop"), USAGE], "reported"],
    ["ends with its reason, without usage", [piece({ content: "a" }), piece({}, "stop")], "estimated"],
    ["ends in the middle of its usage", [piece({ content: "a" }), piece({}, "stop"), USAGE.slice(0, 20)], "estimated"],
  ])("is complete when it %s", async (_name, parts, source) => {
    sends(...parts);
    expect(await stream(backendAt(url)).outcome).toMatchObject({ output: "a", is_sound: true, usage: { source } });
  });

  it("is complete when it breaks off or falls silent after its reason", async () => {
    for (const end of [(response: ServerResponse) => { setImmediate(() => response.destroy()); }, () => undefined]) {
      answer = (response) => { begin(response).write(piece({ content: "a" }) + piece({}, "stop")); end(response); };
      expect(await stream(backendAt(url, { idle_timeout_ms: 100 })).outcome).toMatchObject({ output: "a", is_sound: true, usage: { source: "estimated" } });
    }
  });

  it.each([
    ["without a reason", [piece({ content: "aaaa" })]],
    ["without a reason, though with [DONE]", [piece({ content: "aaaa" }), USAGE, DONE]],
    ["in the middle of a piece", [piece({ content: "aaaa" }), piece({ content: "b" }).slice(0, -10)]],
    ["in the middle of a character", [piece({ content: "aaaa" }), "data: {\"x\":\"", "\u00fc"]],
    ["at once", []],
  ])("that ends %s is an error, billed", async (_name, parts) => {
    sends(...parts);
    expect(await failureOf(stream(backendAt(url)))).toMatchObject({ code: "backend_bad_response", isTransient: false, mayHaveCost: true, usage: { source: "estimated" } });
  });

  it.each([
    ["an error", event({ error: { message: "overloaded sk-1" } }), "backend_unavailable"],
    ["no JSON", "data: {{\n\n", "backend_bad_response"],
    ["another kind of event", 'event: error\ndata: {"message":"x"}\n\n', "backend_bad_response"],
  ])("that has %s in its middle is one, whatever follows", async (_name, part, code) => {
    sends(piece({ content: "aaaa" }), part, piece({ content: "b" }), piece({}, "stop"), DONE);
    const streamed = stream(backendAt(url));
    expect(await failureOf(streamed)).toMatchObject({ code, usage: { output_tokens: 1, source: "estimated" } });
    expect(textOf(streamed.deltas)).toBe("aaaa");
  });

  it("that does not begin in time has failed, and one that has begun may take its time", async () => {
    const backend = backendAt(url, { first_byte_timeout_ms: 50 });
    for (const none of [() => undefined, (response: ServerResponse) => { begin(response).flushHeaders(); }]) {
      answer = none;
      expect(await failureOf(stream(backend))).toMatchObject({ code: "backend_unavailable", message: "the model's server sent nothing within first_byte_timeout_ms", isTransient: true, isBackendsFault: true, mayHaveCost: true });
    }
    answer = (response) => { begin(response).write(piece({ content: "a" })); setTimeout(() => { response.end(piece({ content: "b" }, "stop") + DONE); }, 150); };
    expect((await stream(backend).outcome).output).toBe("ab");
  });

  it("that is not UTF-8 is an error", async () => {
    answer = (response) => { begin(response).end(Buffer.concat([Buffer.from(piece({ content: "a" })), Buffer.from([0x64, 0xff, 0x0a])])); };
    expect(await failureOf(stream(backendAt(url)))).toMatchObject({ code: "backend_bad_response" });
  });

  it("that falls silent is given up, and kept alive by comments", async () => {
    answer = (response) => { begin(response).write(piece({ content: "aaaa" })); };
    expect(await failureOf(stream(backendAt(url, { idle_timeout_ms: 100 })))).toMatchObject({ code: "backend_unavailable", message: "the stream stalled", isTransient: true, usage: { output_tokens: 1 } });
    answer = (response) => {
      begin(response).write(piece({ content: "a" }));
      let left = 40;
      const ping = setInterval(() => {
        if (left-- > 0) return void response.write(": ping\n\n");
        clearInterval(ping);
        response.end(piece({}, "stop") + DONE);
      }, 50);
    };
    expect((await stream(backendAt(url, { idle_timeout_ms: 500 })).outcome).output).toBe("a");
  });

  it.each([
    ["a line", "data: x", "x".repeat(256 * 1024)], ["comments that are one line", ":", "x".repeat(256 * 1024)], ["an event", "", `data: ${"x".repeat(1_000)}\n`],
    ["comments", "", `: ${"x".repeat(64 * 1024)}\n\n`], ["text", "", piece({ content: "x".repeat(10_000) })],
  ])("of %s without end is cut at a cap, and the server notices", async (_name, first, endless) => {
    const closed = new Promise<void>((resolve) => {
      answer = (response) => {
        begin(response).write(first);
        const push = (): void => { while (!response.destroyed && response.write(endless)); };
        response.on("drain", push).on("close", resolve);
        push();
      };
    });
    expect(await failureOf(stream(backendAt(url)))).toMatchObject({ code: "backend_bad_response", usage: { source: "estimated" } });
    await closed;
  });

  it("is told piece by piece while the rest is still to come", async () => {
    let goOn: () => void = () => undefined;
    answer = (response) => { begin(response).write(piece({ content: "a" })); goOn = () => { response.end(piece({ content: "b" }) + piece({}, "stop") + DONE); }; };
    expect((await stream(backendAt(url), { onDelta: () => { goOn(); goOn = () => undefined; } }).outcome).output).toBe("ab");
  });

  it("that is a whole reply after all is read as one", async () => {
    answer = (response) => { begin(response, "application/json").end(JSON.stringify({ choices: [{ finish_reason: "stop", message: { content: "a" } }] })); };
    const { deltas, outcome } = stream(backendAt(url, { stream_usage: false }));
    expect([(await outcome).output, deltas]).toEqual(["a", []]);
    expect(body).not.toHaveProperty("stream_options");
  });

  it("that was refused is an error of its status, and redirects are not followed", async () => {
    answer = (response) => { response.writeHead(429, { "retry-after": "2" }).end(); };
    expect(await failureOf(stream(backendAt(url)))).toMatchObject({ code: "backend_unavailable", isTransient: true, retryAfterMs: 2_000, usage: null });
    answer = (response) => { response.writeHead(307, { location: `${url}/elsewhere` }).end(); };
    expect(await failureOf(stream(backendAt(url)))).toMatchObject({ code: "backend_refused" });
  });

  it("ends within a second of its caller's leaving, billed for what came", async () => {
    const abort = new AbortController();
    const closed = new Promise<number>((resolve) => { answer = (response) => { response.on("close", () => { resolve(performance.now()); }); begin(response).write(piece({ content: "x".repeat(40) })); }; });
    let abortedAtMs = 0;
    const streamed = stream(backendAt(url), { signal: abort.signal, onDelta: () => { abortedAtMs = performance.now(); abort.abort(); } });
    const error = await failureOf(streamed);
    expect(error).toBeInstanceOf(CutOff);
    expect(error).toMatchObject({ usage: { output_tokens: 10, source: "estimated" } });
    expect((await closed) - abortedAtMs).toBeLessThan(1_000);
  });

  it("passes on what its reader throws: that is a bug", async () => {
    sends(piece({ content: "a" }), piece({}, "stop"), DONE);
    expect(await failureOf(stream(backendAt(url), { onDelta: () => { throw new TypeError("a bug"); } }))).toEqual(new TypeError("a bug"));
  });

  it("is not asked for where nobody watches: a whole reply has all that a stream has", async () => {
    const reply = { model: "m-1", usage: { prompt_tokens: 12, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 8 } }, choices: [{ finish_reason: "stop", message: { content: '{"a":1}' } }] };
    answer = (response) => { begin(response, "application/json").end(JSON.stringify(reply)); };
    const ask = () => backendAt(url).call({ ...CHAT, response_format: { type: "json_object" } }, { signal: AbortSignal.timeout(10_000), traceparent: "00-1" });
    expect(await ask()).toMatchObject({ output: '{"a":1}', is_sound: true, message: { finish_reason: "stop", refusal: null }, usage: { cached_input_tokens: 8 } });
    expect(body).toEqual({ model: "big", ...CHAT, response_format: { type: "json_object" }, max_tokens: 100, logprobs: true });
    reply.choices = [{ finish_reason: "stop", message: { content: "not JSON" } }];
    expect(await ask()).toMatchObject({ is_sound: false });
  });
});

describe("a recorded stream", () => {
  const servers: RecordedServer[] = [];
  afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())));
  async function start(fault?: object, timeScale = 0): Promise<RecordedServer> {
    const bugs: unknown[] = [];
    const server = await startRecordedServer({ answers: madeUpAnswers(), faults: [], seed: 1, timeScale, firstTokenShare: 0, defaultLatencyMs: 0, port: 0, onBug: (error) => bugs.push(error) });
    servers.push(server);
    if (fault !== undefined) await fetch(`${server.url}/faults`, { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify([{ share: 1, ...fault }]) });
    return server;
  }
  const at = ({ url }: RecordedServer, over: object = {}) => backendAt(`${url}/v1`, over);
  const half = LONG_TEXT.split(" ").slice(0, 20).join(" ");

  it("is told in full, with its confidence and usage", async () => {
    const { deltas, outcome } = stream(at(await start()), { chat: { ...CHAT, logprobs: true } });
    const answer = await outcome;
    expect(answer).toMatchObject({ output: LONG_TEXT, is_sound: true, confidence: expect.closeTo(0.75, 9) as number, confidence_source: "token_logprobs", usage: { input_tokens: 10, output_tokens: 50, cached_input_tokens: 0, reasoning_output_tokens: 0, source: "reported" }, message: { finish_reason: "stop", refusal: null } });
    expect(textOf(deltas)).toBe(LONG_TEXT);
    expect(deltas).toHaveLength(40);
    expect((answer.message?.logprobs as { content: unknown[] }).content).toHaveLength(40);
  });

  it("that was cut at its caller's own limit is sound", async () => {
    expect(await stream(at(await start()), { chat: { ...CHAT, max_output_tokens: 8 } }).outcome).toMatchObject({ is_sound: true, message: { finish_reason: "length" } });
    expect(await stream(at(await start(), { max_output_tokens: 8 })).outcome).toMatchObject({ is_sound: false, message: { finish_reason: "length" } });
  });

  it.each([
    ["cut", { kind: "cut" }, { code: "backend_unavailable", isTransient: true }],
    ["stalled", { kind: "stall" }, { code: "backend_unavailable", message: "the stream stalled" }],
    ["garbled", { kind: "garble" }, { code: "backend_bad_response" }],
    ["truncated", { kind: "truncate" }, { code: "backend_bad_response", message: "the stream ended before the answer was complete" }],
  ])("that is %s is an error, billed for what came", async (_name, fault, expected) => {
    const streamed = stream(at(await start(fault), { idle_timeout_ms: 100 }));
    expect(await failureOf(streamed)).toMatchObject({ ...expected, mayHaveCost: true, usage: { output_tokens: Math.ceil(textOf(streamed.deltas).length / 4), source: "estimated" } });
    expect(textOf(streamed.deltas).trim()).toBe(half);
  });

  it("without text is not sound", async () => {
    expect(await stream(at(await start({ kind: "empty" }))).outcome).toMatchObject({ output: "", is_sound: false });
  });

  it("ends with its caller, and the server bills a part", async () => {
    const server = await start(undefined, 1); // a minute
    const abort = new AbortController();
    const streamed = stream(at(server), { signal: abort.signal });
    await waitUntil(async () => (streamed.deltas.length > 0 ? true : undefined), { deadlineMs: 10_000, describe: () => "no piece came" });
    abort.abort();
    expect(await failureOf(streamed)).toMatchObject({ name: "CutOff", usage: { source: "estimated" } });
    await waitUntil(async () => (server.bill().total.aborted === 1 ? true : undefined), { deadlineMs: 1_000, describe: () => "the server has not noticed" });
    expect(server.bill().total.cost_nano_usd).toBeLessThan(120_000);
  });
});

it("does not stream where nobody listens", async () => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  expect(await failureOf(stream(backendAt(`http://127.0.0.1:${port}/v1`)))).toMatchObject({ code: "backend_unavailable", mayHaveCost: false, usage: null });
});
