/** Inputs of reliability.md 5.1 and 5.2, as far as this API has the fields. Nothing of them is ever published. */
import type { FastifyInstance, InjectOptions } from "fastify";
import { lookup } from "node:dns";
import { BlockList } from "node:net";
import { Readable } from "node:stream";
import { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { TierFile } from "#shared/contracts/tiers.ts";

import { buildGateway } from "./app.ts";
import { makeCallers } from "#shared/http/callers.ts";

const DONE = Completion.parse(fixture);
const GOOD = { request_id: "r-1", user_id: "u", tenant_id: "t", input: "hi", budget: 0.05 };
const JSON_TYPE = { "content-type": "application/json" };
let app: FastifyInstance;
let published = 0;
beforeAll(async () => {
  const accept = async () => { published++; return null; };
  ({ service: app } = await buildGateway({
    desk: () => ({ inference: { infer: async () => { published++; return DONE; }, accept }, find: async () => null, listen: () => () => undefined, watches: { watch: () => Promise.resolve() }, submitFeedback: async () => { published++; } }),
    tracer: { span: (_name, _options, run) => run("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", () => undefined) },
    registry: new Registry(), problems: () => [], waiting: () => 0, callers: makeCallers({ directory: { holderOf: async () => null, standingOf: async () => null }, isKeyless: true, log: pino({ level: "silent" }) }), isKeyless: true, consoleUrl: "http://127.0.0.1:9", operations: { broker: () => { throw new Error("no broker here"); }, prefix: "infer" }, admin: { pool: new Pool(), pepper: null }, webhooks: { pool: new Pool(), key: null, allowance: new BlockList(), lookup }, door: { tierFile: TierFile.parse(tierFixture), budgetUsd: 1 }, version: "0", log: pino({ level: "silent" }),
  }));
});
afterAll(() => app.close());
const send = (options: InjectOptions) => app.inject({ method: "POST", url: "/infer", headers: JSON_TYPE, ...options });
const text = (over: string) => `{${over},${JSON.stringify(GOOD).slice(1)}`;
const answerTo = async (options: InjectOptions) => {
  const { statusCode, body } = await send(options);
  return [statusCode, (JSON.parse(body) as { error?: { code?: string } }).error?.code];
};

afterEach(async () => {
  published = 0;
  expect((await send({ payload: GOOD })).statusCode).toBe(200); // the next good request is served
  expect(published).toBe(1);
  published = 0;
});

describe("a body", () => {
  it.each<[string, string | Buffer | object, number, string]>([
    ["B-1 that is empty", "", 400, "invalid_json"],
    ["B-2 that is cut", "{a", 400, "invalid_json"],
    ["B-3 with a trailing comma", '{"a":1,}', 400, "invalid_json"],
    ["B-4 that is an array", [], 400, "invalid_request"],
    ["B-5 that is null", "null", 400, "invalid_request"],
    ["B-6 that is a number", "1", 400, "invalid_request"],
    ["B-7 with __proto__", text('"__proto__":{"a":1}'), 400, "invalid_json"],
    ["B-8 with constructor.prototype", text('"constructor":{"prototype":{"a":1}}'), 400, "invalid_json"],
    ["B-9 with __proto__ in escapes", text('"\\u005f_proto__":{}'), 400, "invalid_json"],
    ["B-10 with __proto__ inside metadata", text('"metadata":{"a":{"b":{"c":{"__proto__":1}}}}'), 400, "invalid_json"],
    ["B-12 with an unknown field", { ...GOOD, api_base: "http://evil" }, 400, "invalid_request"],
    ["B-15 with a number as text", { ...GOOD, deadline_ms: "5" }, 400, "invalid_request"],
    ["B-16 with 1e400", text('"deadline_ms":1e400'), 400, "invalid_request"],
    ["B-17 with NaN", text('"deadline_ms":NaN'), 400, "invalid_json"],
    ["B-18 with 2^53 + 1", text('"deadline_ms":9007199254740993'), 400, "invalid_request"],
    ["B-19 with a negative number", { ...GOOD, budget: -1 }, 400, "invalid_request"],
    ["B-20, H-72 with a deadline of zero", { ...GOOD, deadline_ms: 0 }, 400, "invalid_request"],
    ["B-21 with a fraction for an integer", { ...GOOD, deadline_ms: 1.5 }, 400, "invalid_request"],
    ["B-23 with an empty input", { ...GOOD, input: "" }, 400, "invalid_request"],
    ["B-24 with a blank input", { ...GOOD, input: " \n\t" }, 400, "invalid_request"],
    ["B-25 with a lone surrogate", text('"task":"x","input":"\\ud800"').replace('"input":"hi",', ""), 400, "invalid_unicode"],
    ["B-26 with NUL", { ...GOOD, input: "a\0b" }, 400, "invalid_unicode"],
    ["B-27 that is not UTF-8", Buffer.concat([Buffer.from('{"input":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]), 400, "invalid_unicode"],
    ["B-29 with a conversation 30,000 levels deep", `{"tenant_id":"t1","user_id":"u1","budget":1,"chat":{"messages":[{"role":"user","content":"x","extra":${"[".repeat(30_000)}${"]".repeat(30_000)}}]}}`, 400, "invalid_request"],
    ["B-29 30,000 levels deep", `${"[".repeat(30_000)}${"]".repeat(30_000)}`, 400, "invalid_request"],
    ["B-30 with 20,000 keys", Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, 0])), 400, "invalid_request"],
    ["B-30 with 20,000 metadata", { ...GOOD, metadata: Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, 0])) }, 400, "invalid_request"],
    ["B-31 above the limit", { ...GOOD, input: "x".repeat(270_000) }, 413, "payload_too_large"],
    ["whose input is longer than the NATS door takes", { ...GOOD, input: "x".repeat(245_759) }, 400, "invalid_request"],
    ["B-33 of 256 KiB of emoji", { ...GOOD, input: "🌍".repeat(65_536) }, 413, "payload_too_large"],
    ["B-39 of 1 MB in one line", { ...GOOD, input: "QUJD".repeat(250_000) }, 413, "payload_too_large"],
    ["with an id that is no subject token", { ...GOOD, request_id: "a.*.>" }, 400, "invalid_request"],
  ])("%s is refused", async (_name, payload, status, code) => {
    expect(await answerTo({ payload })).toEqual([status, code]);
    expect(published).toBe(0);
  });

  it("B-32 sent in chunks above the limit is refused", async () => {
    expect(await answerTo({ payload: Readable.from([Buffer.alloc(200_000, 0x20), Buffer.alloc(200_000, 0x20)]) })).toEqual([413, "payload_too_large"]);
  });

  it.each([
    ["B-11 with a key twice: the last wins", text('"budget":-1')],
    ["B-14 with tags, which say nothing about rights", { ...GOOD, metadata: { role: "admin" } }],
    ["B-21 with 1.0 for an integer", text('"deadline_ms":1.0')],
    ["B-28 with a byte order mark", `\ufeff${JSON.stringify(GOOD)}`],
    ["with the longest input", { ...GOOD, input: "🌍".repeat(61_439) }],
    ["B-35 with right-to-left, zero-width and escapes", { ...GOOD, input: "שלום\u200b\u001b[31m" }],
    ["H-72 with a deadline of ten years, which is cut", { ...GOOD, deadline_ms: 315_360_000_000 }],
  ])("%s is taken", async (_name, payload) => {
    expect((await send({ payload })).statusCode).toBe(200);
  });

  it("B-30 is refused within a moment, and its answer does not repeat it", async () => {
    const startedAtMs = performance.now();
    const { body } = await send({ payload: Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`key${i}`, 0])) });
    expect(performance.now() - startedAtMs).toBeLessThan(1_000);
    expect(body.length).toBeLessThan(2_000);
  });
});

describe("a header", () => {
  it.each<[string, Record<string, string>]>([
    ["H-41 without a content type", {}],
    ["H-42 of plain text", { "content-type": "text/plain" }],
    ["H-43 of XML", { "content-type": "application/xml" }],
    ["H-44 of what only begins like JSON", { "content-type": "application/jsonx" }],
    ["H-45 of another charset", { "content-type": "application/json; charset=utf-16" }],
    ["H-45 of another charset, in quotes", { "content-type": 'application/json; charset="UTF-16LE"' }],
    ["H-46 of a compressed body", { ...JSON_TYPE, "content-encoding": "gzip" }],
    ["of a form", { "content-type": "application/x-www-form-urlencoded" }],
  ])("%s is 415", async (_name, headers) => {
    expect(await answerTo({ payload: JSON.stringify(GOOD), headers })).toEqual([415, "unsupported_media_type"]);
    expect(published).toBe(0);
  });

  it.each([
    ["empty", ""], ["empty in quotes", '""'], ["of 300 characters", "x".repeat(300)], ["with CRLF", "a\r\nb"], ["with an open quote", '"a'], ["other than the body's id", "r-2"],
  ])("H-71 Idempotency-Key %s is 400", async (_name, key) => {
    for (const url of ["/infer", "/v1/chat/completions"]) {
      const payload = url === "/infer" ? GOOD : { model: "auto", messages: [{ role: "user", content: "hi" }], optimizer: { request_id: "r-1" } };
      expect((await answerTo({ url, payload, headers: { ...JSON_TYPE, "idempotency-key": key } }))[0]).toBe(400);
    }
    expect(published).toBe(0);
  });

  it.each([["application/json; charset=utf-8"], ["application/json;charset=UTF-8"], ["APPLICATION/JSON"]])("content-type: %s is taken", async (type) => {
    expect((await send({ payload: JSON.stringify(GOOD), headers: { "content-type": type } })).statusCode).toBe(200);
  });

  it.each(["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "0.0.0.0", "localhost.", "[::2]", "2130706433"])("Host: %s is 403 without keys: a web page could have resolved its own name to here", async (host) => {
    expect(await answerTo({ payload: GOOD, headers: { ...JSON_TYPE, host } })).toEqual([403, "forbidden_host"]);
    expect((await app.inject({ url: "/requests/r-1", headers: { host } })).statusCode).toBe(403);
  });

  it.each(["localhost", "localhost:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "LOCALHOST:8080"])("Host: %s is served", async (host) => {
    expect((await send({ payload: GOOD, headers: { ...JSON_TYPE, host } })).statusCode).toBe(200);
  });

  it("H-70 X-Forwarded-Host and -For change nothing", async () => {
    expect(await answerTo({ payload: GOOD, headers: { ...JSON_TYPE, host: "evil.example", "x-forwarded-host": "localhost", "x-forwarded-for": "127.0.0.1" } })).toEqual([403, "forbidden_host"]);
  });
});

describe("a path", () => {
  it.each([
    ["H-60 GET /infer", { method: "GET", url: "/infer" }, "POST"], ["H-60 PUT /infer", { method: "PUT", url: "/infer" }, "POST"], ["H-60 DELETE /infer?x=1", { method: "DELETE", url: "/infer?x=1" }, "POST"],
    ["H-60 POST /requests/r-1", { method: "POST", url: "/requests/r-1" }, "GET"], ["H-60 POST /healthz", { method: "POST", url: "/healthz" }, "GET"],
  ] as const)("%s is 405 and says which method it has", async (_name, options, allow) => {
    const { statusCode, headers, body } = await app.inject(options);
    expect([statusCode, headers["allow"], (JSON.parse(body) as { error: { code: string } }).error.code]).toEqual([405, allow, "method_not_allowed"]);
  });

  it.each(["//infer", "/INFER", "/infer;x", "/infer/", "/", "/requests/r-1/x"])("H-64 %s is 404", async (url) => {
    expect(await answerTo({ url, payload: GOOD })).toEqual([404, "not_found"]);
    expect(published).toBe(0);
  });
});

it("every answer of the API says how a browser must treat it", async () => {
  for (const response of [await send({ payload: GOOD }), await send({ payload: "{" }), await app.inject("/nowhere"), await app.inject("/openapi.json")]) {
    expect(response.headers).toMatchObject({ "x-content-type-options": "nosniff", "x-frame-options": "SAMEORIGIN", "referrer-policy": "no-referrer", "content-security-policy": "default-src 'none';frame-ancestors 'none'" });
    expect([response.headers["server"], response.headers["x-powered-by"], response.headers["access-control-allow-origin"]]).toEqual([undefined, undefined, undefined]);
  }
  expect((await send({ payload: GOOD })).headers["cache-control"]).toBe("no-store");
});
