import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { afterEach, describe, expect, test } from "vitest";
import { z } from "zod";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { OWN_MACHINE } from "#infra/ownMachine.ts";
import { makeOpenAiCompatible } from "#workers/backends/openAiCompatible.ts";

import { type BillReply, type CallList, costByTokens } from "./bill.ts";
import { CALLS, LONG_TEXT, madeUpAnswers } from "./madeUpAnswers.ts";
import { recordedAnswers } from "./recordedAnswers.ts";
import { type RecordedServer, type RecordedServerOptions, startRecordedServer } from "./recordedServer.ts";

const QUERY = "What is 2 + 2?";
const LOOKING = { messages: [{ role: "user", content: "Look here and there." }] };
const TOOLS = { tools: [{ type: "function", function: { name: "look" } }] };
const servers: RecordedServer[] = [];
const bugs: unknown[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
  expect(bugs).toEqual([]);
});

/** Without latency unless `timeScale` says otherwise. */
async function start(options: Partial<RecordedServerOptions> = {}): Promise<RecordedServer> {
  const server = await startRecordedServer({ answers: madeUpAnswers(), faults: [], seed: 1, timeScale: 0, firstTokenShare: 0.3, defaultLatencyMs: 0, port: 0, onBug: (error) => bugs.push(error), ...options });
  servers.push(server);
  return server;
}

const body = (more: object = {}) => JSON.stringify({ model: "big", messages: [{ role: "user", content: ` ${QUERY}\n` }], ...more });
const ask = ({ url }: RecordedServer, more: object = {}, { headers = {}, signal }: { headers?: Record<string, string>; signal?: AbortSignal } = {}) =>
  fetch(`${url}/v1/chat/completions`, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: body(more), ...(signal === undefined ? {} : { signal }) });

interface Choice { readonly message: { readonly content: string }; readonly delta: { readonly role?: string; readonly content?: string }; readonly finish_reason: string | null; readonly logprobs: { readonly content: { readonly logprob: number }[] } | null }
interface Sent { readonly object: string; readonly choices: readonly Choice[]; readonly usage?: { readonly total_tokens: number } | null }
const events = (text: string): string[] => text.split("\n\n").filter((event) => event !== "").map((event) => event.replace(/^data: /, ""));
const json = async <T>(response: Response | Promise<Response>): Promise<T> => (await (await response).json()) as T;
const callsOf = ({ url }: RecordedServer) => json<BillReply & CallList>(fetch(`${url}/bill?calls=true`));
const put = ({ url }: RecordedServer, faults: unknown) => fetch(`${url}/faults`, { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(faults) });
/** Waits until no call is running. */
const settled = (server: RecordedServer) => waitUntil(async () => {
  const bill = await callsOf(server);
  return bill.calls.every(({ state }) => state !== "running") ? bill : undefined;
}, { deadlineMs: 10_000, describe: () => "a call is still running" });

test("answers, and bills what was recorded, under the caller's ids", async () => {
  const server = await start();
  const reply = await ask(server, { logprobs: true }, { headers: { "x-request-id": "mine-1", traceparent: "00-1" } });
  expect(reply.headers.get("content-type")).toBe("application/json");
  const { choices: [choice] } = await json<Sent>(reply);
  expect([choice?.message.content, choice?.finish_reason]).toEqual([LONG_TEXT, "stop"]);
  const bill = await settled(server);
  expect(bill.calls).toMatchObject([{ row_id: "row-1", model: "big", request_id: "mine-1", traceparent: "00-1", fault: null, state: "completed", cost_nano_usd: 120_000 }]);
  expect(bill.total).toEqual({ calls: 1, completed: 1, aborted: 0, failed: 0, prompt_tokens: 10, completion_tokens: 50, cost_nano_usd: 120_000 });
});

test("streams as OpenAI does: role, pieces, reason, usage, end", async () => {
  const reply = await ask(await start(), { stream: true, stream_options: { include_usage: true }, logprobs: true });
  expect(reply.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
  const sent = events(await reply.text());
  expect(sent.at(-1)).toBe("[DONE]");
  const chunks = sent.slice(0, -1).map((event) => JSON.parse(event) as Sent);
  expect(chunks[0]?.choices[0]?.delta).toEqual({ role: "assistant", content: "", refusal: null });
  expect(chunks.map(({ choices: [choice] }) => choice?.delta.content ?? "").join("")).toBe(LONG_TEXT);
  expect(chunks[1]?.choices[0]?.logprobs?.content.map(({ logprob }) => Math.exp(logprob))).toEqual([expect.closeTo(0.75, 10)]);
  expect(chunks.at(-2)).toMatchObject({ choices: [{ delta: {}, finish_reason: "stop" }], usage: null });
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 10, completion_tokens: 50, total_tokens: 60 } });
  expect(chunks).toHaveLength(1 + 40 + 2);
});

test("a worker's backend reads it, with the recorded confidence", async () => {
  const { url } = await start();
  const config = { kind: "openai-compatible", base_url: `${url}/v1`, model: "big", logprobs: true, top_logprobs: 0, max_output_tokens: 100, output_limit_field: "max_tokens", stream_usage: true, idle_timeout_ms: 30_000 } as const;
  const backend = makeOpenAiCompatible({ config, apiKey: null, priorQuality: 0.5, reach: OWN_MACHINE });
  const answer = await backend.call(QUERY, { signal: AbortSignal.timeout(10_000), traceparent: "00-2" });
  await backend.close();
  expect(answer).toMatchObject({ output: LONG_TEXT, is_sound: true, confidence: expect.closeTo(0.75, 10) as number, confidence_source: "token_logprobs", usage: { input_tokens: 10, output_tokens: 50 } });
});

test("calls are answered where there are tools, and after their results the text of the last one is what is asked", async () => {
  const server = await start();
  const first = await json<{ choices: { message: object; finish_reason: string }[] }>(ask(server, { ...LOOKING, ...TOOLS }));
  expect(first.choices).toMatchObject([{ message: { content: null, tool_calls: CALLS.map(({ id, name, arguments: text }) => ({ id, type: "function", function: { name, arguments: text } })) }, finish_reason: "tool_calls" }]);
  const results = CALLS.map(({ id }, index) => ({ role: "tool", tool_call_id: id, content: index === 0 ? "nothing" : QUERY }));
  expect(await json(ask(server, { ...TOOLS, messages: [...LOOKING.messages, first.choices[0]?.message, ...results] }))).toMatchObject({ choices: [{ message: { content: LONG_TEXT }, finish_reason: "stop" }] });
  expect(await json(ask(server, { ...LOOKING, model: "small" }))).toMatchObject({ choices: [{ message: { content: "I look." }, finish_reason: "stop" }] });
  expect((await settled(server)).calls).toMatchObject([{ row_id: "row-3", completion_tokens: 8, cost_nano_usd: 100_000 }, { row_id: "row-1" }, { row_id: "row-3", model: "small" }]);
});

test("a stream that is cut in a call's arguments has the half of them, and is billed for it", async () => {
  const server = await start({ faults: [{ kind: "cut", share: 1 }] });
  const reply = await ask(server, { ...LOOKING, ...TOOLS, stream: true });
  let text = "";
  await expect(reply.body?.pipeThrough(new TextDecoderStream()).pipeTo(new WritableStream({ write: (more) => { text += more; } }))).rejects.toThrow();
  expect(text).toContain('{"index":0,"id":"call_1","type":"function","function":{"name":"look","arguments":""}}');
  expect(text).not.toContain("call_2");
  expect((await settled(server)).calls).toMatchObject([{ fault: "cut", state: "failed", completion_tokens: 4 }]);
});

describe("what it cannot answer it refuses as OpenAI does, and bills nothing", () => {
  test.each([
    ["an unknown model", { model: "huge" }, 404, "model_not_found"],
    ["an unknown query", { messages: [{ role: "user", content: "What?" }] }, 400, "unknown_query"],
    ["an answer without text", { model: "small", messages: [{ role: "user", content: "Name a colour." }] }, 400, "no_recorded_text"],
    ["a model that was not asked this query", { messages: [{ role: "user", content: "Name a colour." }] }, 400, "no_recorded_text"],
    ["calls, without tools", LOOKING, 400, "only_calls_recorded"],
    ["calls, where none may be made", { ...LOOKING, ...TOOLS, tool_choice: "none" }, 400, "only_calls_recorded"],
    ["calls of another function", { ...LOOKING, ...TOOLS, tool_choice: { type: "function", function: { name: "taste" } } }, 400, "no_recorded_call"],
    ["a call, where a text was recorded", { ...TOOLS, tool_choice: "required" }, 400, "no_recorded_call"],
    ["two answers", { n: 2 }, 400, null],
  ])("%s", async (_what, more, status, code) => {
    const server = await start();
    const reply = await ask(server, more);
    expect([reply.status, await reply.json()]).toEqual([status, { error: { message: expect.any(String) as string, type: "invalid_request_error", param: expect.anything() as string, code } }]);
    expect(server.bill().total.calls).toBe(0);
  });

  test("what is no JSON, too large, at another address or under another host name", async () => {
    const { url } = await start();
    const post = (text: string) => fetch(`${url}/v1/chat/completions`, { method: "POST", headers: { "content-type": "application/json" }, body: text });
    const replies = [await post("{"), await post(`"${"x".repeat(5 * 1024 ** 2)}"`), await fetch(`${url}/v1/embeddings`)];
    expect(replies.map(({ status }) => status)).toEqual([400, 413, 404]);
    for (const reply of replies) expect(await reply.json()).toMatchObject({ error: { type: "invalid_request_error" } });
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.write("GET /bill HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
    const [first] = (await once(socket, "data")) as [Buffer];
    expect(first.toString()).toMatch(/^HTTP\/1\.1 403 /);
    socket.destroy();
  });
});

test("lists its models, and says that it is alive", async () => {
  const { url } = await start();
  expect(await json(fetch(`${url}/v1/models`))).toMatchObject({ object: "list", data: [{ id: "big", object: "model", owned_by: "recorded" }, { id: "small" }, { id: "made-up-embeddings" }] });
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
});

const EmbeddingReply = z.object({ data: z.array(z.object({ embedding: z.array(z.number()) })) });
test("makes up vectors, the same for the same text, and bills their tokens", async () => {
  const server = await start();
  const embed = (input: unknown, more: object = {}) => json(fetch(`${server.url}/v1/embeddings`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ model: "made-up-embeddings", input, ...more }) }));
  const [one, two] = [EmbeddingReply.parse(await embed(["red", "blue"])), EmbeddingReply.parse(await embed("blue"))];
  expect(one.data.map(({ embedding }) => embedding.length)).toEqual([256, 256]);
  expect(one.data[1]).toMatchObject({ embedding: two.data[0]?.embedding });
  expect(one.data[0]?.embedding).not.toEqual(one.data[1]?.embedding);
  expect(Math.hypot(...(one.data[0]?.embedding ?? []))).toBeCloseTo(1, 5);
  expect(await embed([[1, 2, 3], [4]], { dimensions: 8 })).toMatchObject({ data: [{}, {}], usage: { prompt_tokens: 4 } });
  expect(await embed("red", { model: "other" })).toMatchObject({ error: { code: "model_not_found" } });
  expect(server.bill()).toMatchObject({ total: { calls: 3, completed: 3, prompt_tokens: 7, completion_tokens: 0, cost_nano_usd: 140 } });
});

describe("a client that leaves", () => {
  test("a stream pays for the prompt and for what was sent until then", async () => {
    const server = await start({ timeScale: 1, firstTokenShare: 0.0001 });
    const leave = new AbortController();
    const reply = await ask(server, { stream: true }, { signal: leave.signal });
    const reader = reply.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; !text.includes("word0"); text += (await reader?.read())?.value ?? "");
    leave.abort();
    const { calls: [call] } = await settled(server);
    expect(call).toMatchObject({ state: "aborted", prompt_tokens: 10 });
    expect(call?.completion_tokens).toBeGreaterThan(0);
    expect(call?.completion_tokens).toBeLessThan(50);
    expect(call?.cost_nano_usd).toBe(costByTokens(0.00012, 10, call?.completion_tokens ?? 0, 50));
  });

  test("before the first piece pays for the prompt alone", async () => {
    const server = await start({ timeScale: 1 });
    const leave = new AbortController();
    const asked = ask(server, {}, { signal: leave.signal }).catch((error: unknown) => error);
    await waitUntil(() => Promise.resolve(server.bill().total.calls === 1 ? true : undefined), { deadlineMs: 10_000, describe: () => "no call has come" });
    leave.abort();
    expect(await asked).toBeInstanceOf(Error);
    expect((await settled(server)).total).toMatchObject({ aborted: 1, prompt_tokens: 10, completion_tokens: 0, cost_nano_usd: 20_000 });
  });

  test("without reading finds that little more was made than it took", async () => {
    const answers = recordedAnswers([{ id: "long", query: QUERY, tiers: { big: { cost_usd: 1, prompt_tokens: 1, completion_tokens: 200_000, answer: "a ".repeat(200_000) } } }], new Map());
    const server = await start({ answers });
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
    const text = body({ stream: true });
    socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    await once(socket, "data");
    socket.destroy();
    const { calls: [call] } = await settled(server);
    expect(call?.state).toBe("aborted");
    expect(call?.completion_tokens).toBeLessThan(150_000);
  });

  test("and a server that ends are the same to a running call", async () => {
    const server = await start({ timeScale: 1 });
    const asked = ask(server).catch((error: unknown) => error);
    await waitUntil(() => Promise.resolve(server.bill().total.calls === 1 ? true : undefined), { deadlineMs: 10_000, describe: () => "no call has come" });
    expect((await server.close()).total).toMatchObject({ calls: 1, aborted: 1, cost_nano_usd: 20_000 });
    expect(await asked).toBeInstanceOf(Error);
  });
});

describe("faults are switched while it runs", () => {
  const half = costByTokens(0.00012, 10, 25, 50);
  test.each([
    [{ kind: "cut" }, "failed", half], [{ kind: "truncate" }, "failed", half], [{ kind: "garble" }, "failed", 120_000], [{ kind: "empty" }, "failed", 20_000],
    [{ kind: "stall", for_ms: 1 }, "completed", 120_000], [{ kind: "slow", factor: 2 }, "completed", 120_000],
  ])("%j", async (fault, state, cost) => {
    const server = await start();
    expect(await json(put(server, [{ ...fault, share: 1 }]))).toMatchObject([fault]);
    expect(await json(fetch(`${server.url}/faults`))).toMatchObject([fault]);
    const text = await ask(server, { stream: true }).then((reply) => reply.text()).catch(() => "cut");
    expect(text === "cut").toBe(fault.kind === "cut");
    expect(text.includes("[DONE]")).toBe(fault.kind !== "cut" && fault.kind !== "truncate");
    expect((await settled(server)).calls).toMatchObject([{ fault: fault.kind, state, cost_nano_usd: cost }]);
    expect((await put(server, [])).status).toBe(200);
    expect(await ask(server, { stream: true }).then((reply) => reply.text())).toContain("[DONE]");
  });

  test("an error at once, which costs nothing", async () => {
    const server = await start({ timeScale: 1, faults: [{ kind: "status", status: 429, retry_after_s: 7, share: 1, models: ["big"] }] });
    const reply = await ask(server);
    expect([reply.status, reply.headers.get("retry-after"), await reply.json()]).toMatchObject([429, "7", { error: { type: "rate_limit_error", code: "injected_fault" } }]);
    expect((await settled(server)).total).toMatchObject({ failed: 1, cost_nano_usd: 0 });
  });

  test("a stall lasts until the client leaves, who pays for what it got", async () => {
    const server = await start({ faults: [{ kind: "stall", for_ms: 600_000, share: 1 }] });
    const leave = new AbortController();
    const reply = await ask(server, { stream: true }, { signal: leave.signal });
    const reader = reply.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; !text.includes("word19"); text += (await reader?.read())?.value ?? "");
    leave.abort();
    expect((await settled(server)).calls).toMatchObject([{ fault: "stall", state: "aborted", cost_nano_usd: half }]);
  });

  test("what is no list of faults, or names an unknown model, changes nothing", async () => {
    const server = await start();
    const replies = [await put(server, { kind: "cut", share: 1 }), await put(server, [{ kind: "cut", share: 2 }]), await put(server, [{ kind: "cut", share: 1, models: ["huge"] }])];
    expect(replies.map(({ status }) => status)).toEqual([400, 400, 400]);
    expect(await json(fetch(`${server.url}/faults`))).toEqual([]);
  });
});

test("inferctl serve-recorded serves until it is told to end, and ends with its bill", async () => {
  const folder = await mkdtemp(join(tmpdir(), "recorded-"));
  const file = join(folder, "rows.jsonl");
  await writeFile(file, JSON.stringify({ id: "r", query: QUERY, tiers: { big: { correct: 1, cost_usd: 0.00012, prompt_tokens: 10, completion_tokens: 1, answer: "4" } } }));
  const child = spawn(process.execPath, ["--import", "tsx", "infra/cli/main.ts", "serve-recorded", file, "--json"], { stdio: ["ignore", "pipe", "inherit"] });
  const exit = once(child, "exit");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ready = JSON.parse(String((await lines.next()).value)) as { url: string; base_url: string; models: unknown };
  expect(ready).toMatchObject({ base_url: `${ready.url}/v1`, models: [{ model: "big", queries: 1 }] });
  const reply = await fetch(`${ready.base_url}/chat/completions`, { method: "POST", headers: { "content-type": "application/json" }, body: body() });
  expect(await reply.text()).not.toMatch(/correct|score|gold/);
  child.kill("SIGTERM");
  expect(JSON.parse(String((await lines.next()).value))).toMatchObject({ bill: { total: { calls: 1, completed: 1, cost_nano_usd: 120_000 } } });
  expect(await exit).toEqual([0, null]);
  await rm(folder, { recursive: true });
});
