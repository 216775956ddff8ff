/** A model's server of our own on loopback: what goes out, and what comes of what comes back. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { OWN_MACHINE } from "#infra/ownMachine.ts";
import { BackendConfig } from "#shared/contracts/tiers.ts";

import { BackendError } from "./backendError.ts";
import type { Backend } from "./backend.ts";
import { makeOpenAiCompatible } from "./openAiCompatible.ts";

const TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const REPLY = {
  model: "m-1", usage: { prompt_tokens: 5, completion_tokens: 1 },
  choices: [{ finish_reason: "stop", message: { role: "assistant", content: "spam" }, logprobs: { content: [{ logprob: Math.log(0.5) }] } }],
};
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
let baseUrl = "";
const backends: Backend[] = [];
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
});
afterEach(() => { seen = []; });
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await Promise.all(backends.map((backend) => backend.close()));
});
const backend = (over: object = {}, apiKey: string | null = "sk-test-1"): Backend => {
  const config = BackendConfig.parse({ kind: "openai-compatible", model: "m", base_url: baseUrl, max_output_tokens: 32, ...over });
  if (config.kind !== "openai-compatible") throw new Error("another kind of backend");
  const made = makeOpenAiCompatible({ config, apiKey, priorQuality: 0.7, reach: OWN_MACHINE });
  backends.push(made);
  return made;
};
const call = (made = backend(), signal = AbortSignal.timeout(10_000)) => made.call("is this spam?", { signal, traceparent: TRACE });
const failure = async (made?: Backend, signal?: AbortSignal): Promise<unknown> => call(made, signal).then((value) => { throw new Error(`this should have failed: ${value.output}`); }, (error: unknown) => error);
const json = (value: unknown, status = 200, headers: Record<string, string> = {}): Answer => (response) => void response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));

it("asks as every compatible server understands it, with its key and the trace", async () => {
  answer = json(REPLY);
  expect(await call(backend({ system: "Be brief." }))).toMatchObject({ output: "spam", model: "m-1", is_sound: true, confidence: expect.closeTo(0.5, 9) as number, confidence_source: "token_logprobs", usage: { input_tokens: 5, output_tokens: 1, source: "reported" } });
  expect(seen).toMatchObject([{
    url: "POST /v1/chat/completions", headers: { authorization: "Bearer sk-test-1", traceparent: TRACE, "content-type": "application/json" },
    body: { model: "m", messages: [{ role: "system", content: "Be brief." }, { role: "user", content: "is this spam?" }], max_tokens: 32, logprobs: true },
  }]);
});

it("hands a call of a tool to the caller as the model wrote it: it is run nowhere, and the model is not asked again", async () => {
  const address = `${baseUrl}/called-by-a-tool`;
  const asked = { id: "call_1", type: "function", function: { name: "fetch", arguments: JSON.stringify({ url: address, command: `curl ${address}` }) } };
  answer = json({ ...REPLY, choices: [{ finish_reason: "tool_calls", message: { role: "assistant", content: null, tool_calls: [asked] } }] });
  const tools = [{ type: "function", function: { name: "fetch", parameters: {} } }];
  const given = await backend().call({ messages: [{ role: "user", content: "fetch it" }], tools }, { signal: AbortSignal.timeout(10_000), traceparent: TRACE });
  expect(given).toMatchObject({ output: "", message: { finish_reason: "tool_calls", tool_calls: [asked] } });
  expect(seen.map(({ url }) => url)).toEqual(["POST /v1/chat/completions"]);
});

it("sends no key and no system message when it has none, whatever the base URL ends with", async () => {
  answer = json(REPLY);
  await call(backend({ base_url: `${baseUrl}/` }, null));
  expect(seen).toMatchObject([{ url: "POST /v1/chat/completions", body: { messages: [{ role: "user" }] } }]);
  expect(seen[0]?.headers.authorization).toBeUndefined();
});

it("asks models that think first as they want to be asked", async () => {
  answer = json(REPLY);
  await call(backend({ output_limit_field: "max_completion_tokens", logprobs: false }));
  expect(seen[0]?.body).toEqual({ model: "m", messages: [{ role: "user", content: "is this spam?" }], max_completion_tokens: 32 });
});

it.each([
  ["no logprobs", { ...REPLY, choices: [{ ...REPLY.choices[0], logprobs: null }] }, { confidence: 0.7, confidence_source: "prior" }],
  ["no usage", { ...REPLY, usage: undefined }, { usage: { input_tokens: 4, output_tokens: 1, source: "estimated" } }],
  ["a cut answer", { ...REPLY, choices: [{ ...REPLY.choices[0], finish_reason: "length" }] }, { is_sound: false }],
  ["a refusal", { ...REPLY, choices: [{ ...REPLY.choices[0], message: { content: null, refusal: "no" } }] }, { is_sound: false, output: "" }],
])("takes %s for what it is", async (_name, reply, expected) => {
  answer = json(reply);
  expect(await call()).toMatchObject(expected);
});

describe("a status", () => {
  it.each([
    [429, { "retry-after": "2" }, { code: "backend_unavailable", isTransient: true, retryAfterMs: 2_000 }],
    [429, { "retry-after": "Fri, 21 Oct 2101 07:28:00 GMT" }, { code: "backend_unavailable", isTransient: true, retryAfterMs: 60_000 }],
    [429, { "retry-after": "soon" }, { isTransient: true, retryAfterMs: null }],
    [429, { "retry-after": "-5" }, { isTransient: true, retryAfterMs: null }],
    [429, { "retry-after": "999999999" }, { isTransient: true, retryAfterMs: 60_000 }],
    [500, {}, { code: "backend_unavailable", isTransient: true }], [503, {}, { code: "backend_unavailable", isTransient: true }], [408, {}, { code: "backend_unavailable", isTransient: true }],
    [401, {}, { code: "backend_refused", isTransient: false }], [403, {}, { code: "backend_refused" }], [404, {}, { code: "backend_refused" }], [400, {}, { code: "backend_refused" }], [413, {}, { code: "backend_refused" }],
    [302, { location: "http://169.254.169.254/" }, { code: "backend_refused", isTransient: false }],
  ])("of %d with %j is a typed error that repeats nothing of the reply", async (status, headers, expected) => {
    answer = json({ error: { message: "Incorrect API key provided: sk-test-1" } }, status, headers);
    const error = await failure();
    expect(error).toBeInstanceOf(BackendError);
    expect(error).toMatchObject(expected);
    expect(JSON.stringify([(error as Error).message, error])).not.toContain("sk-test-1");
    expect(seen).toHaveLength(1);
  });
});

it.each([
  ["large", (response: ServerResponse) => { response.writeHead(500, { "content-length": String(1024 ** 2) }).end("x".repeat(1024 ** 2)); }],
  ["endless", (response: ServerResponse) => { const push = (): void => { while (!response.destroyed && response.write("x".repeat(10_000))); }; response.writeHead(500).on("drain", push); push(); }],
  ["stuck", (response: ServerResponse) => { response.writeHead(500).write("x"); }],
])("does not wait for the body of an error that is %s", async (_name, given) => {
  const closed = new Promise<void>((resolve) => { answer = (response) => { response.on("close", resolve); given(response); }; });
  expect(await failure()).toMatchObject({ code: "backend_unavailable", isTransient: true });
  await closed;
});

describe("a reply", () => {
  const text = (body: string): Answer => (response) => void response.writeHead(200).end(body);
  it.each([["empty", ""], ["HTML", "<html>"], ["cut JSON", '{"choices":['], ["an error with status 200", '{"error":{"message":"x"}}'], ["a megabyte of brackets", "[".repeat(1_000_000)]])("that is %s is backend_bad_response", async (_name, body) => {
    answer = text(body);
    expect(await failure()).toMatchObject({ code: "backend_bad_response", isTransient: false, mayHaveCost: true });
  });

  it("that never ends is cut at the cap", async () => {
    let sent = 0;
    let isCut = false;
    answer = (response) => {
      response.writeHead(200, { "content-type": "application/json" });
      const chunk = Buffer.alloc(256 * 1024, 0x20);
      const push = (): void => { while (!response.destroyed && response.write(chunk)) sent += chunk.length; };
      response.on("drain", push).on("close", () => { isCut = true; });
      push();
    };
    expect(await failure()).toMatchObject({ code: "backend_bad_response", mayHaveCost: true });
    answer = json(REPLY);
    expect((await call()).output).toBe("spam"); // and the next one is served
    expect([isCut, sent < 64 * 1024 ** 2]).toEqual([true, true]);
  });

  it("whose headers are endless is an error, not a crash", async () => {
    answer = (response) => void response.writeHead(200, { "x-big": "x".repeat(64 * 1024) }).end(JSON.stringify(REPLY));
    expect(await failure()).toBeInstanceOf(BackendError);
  });

  it("that breaks off is transient, and may have cost something", async () => {
    answer = (response) => { response.writeHead(200, { "content-length": "1000" }); response.write("{"); setImmediate(() => response.destroy()); };
    expect(await failure()).toMatchObject({ code: "backend_unavailable", isTransient: true, mayHaveCost: true });
  });
});

it("is transient when nobody listens", async () => {
  expect(await failure(backend({ base_url: "http://127.0.0.1:9/v1" }))).toMatchObject({ code: "backend_unavailable", isTransient: true });
});

it("ends with its signal, and the server notices", async () => {
  const abort = new AbortController();
  const closed = new Promise<void>((resolve) => { answer = (response) => { response.on("close", resolve); abort.abort(new Error("the deadline")); }; });
  expect(await failure(backend(), abort.signal)).not.toBeInstanceOf(BackendError); // whoever aborted knows why
  await closed;
});
