import { lookup } from "node:dns";
import { BlockList } from "node:net";

import type { FastifyInstance, InjectOptions } from "fastify";
import { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { AppError } from "#shared/contracts/errors.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { TierFile } from "#shared/contracts/tiers.ts";
import { fingerprintOf } from "#shared/messaging/readRequest.ts";

import { buildGateway } from "./app.ts";
import { makeCallers } from "#shared/http/callers.ts";
import type { Found } from "./findRequest.ts";
import { makeInference } from "./inference.ts";

const BODY = { request_id: "r-1", user_id: "u-1", tenant_id: "t1", input: "hi", budget: 0.05 };
const DONE = Completion.parse(fixture);
const TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

interface World { outcome: Completion | null; earlier: Completion | null; fails: Error | null; found: Found | null; isStarting: boolean; feedback: { id: object; body: object; traceparent: string }[] }
const world: World & { submitted: { id: object; content: object; traceparent: string }[]; logged: string[]; problems: string[] } =
  { outcome: DONE, earlier: null, fails: null, found: null, isStarting: false, feedback: [], submitted: [], logged: [], problems: [] };
let app: FastifyInstance;
beforeEach(() => { Object.assign(world, { outcome: DONE, earlier: null, fails: null, found: null, isStarting: false, feedback: [], submitted: [], logged: [], problems: [] }); });
beforeAll(async () => {
  const limits = { defaultDeadlineMs: 30_000, maxDeadlineMs: 60_000, tierFile: TierFile.parse(tierFixture) };
  const inference = makeInference({
    admit: async () => undefined,
    submit: async (id, content, { traceparent }) => {
      if (world.fails) throw world.fails;
      world.submitted.push({ id, content, traceparent });
      return "accepted";
    },
    replies: { expect: () => ({ outcome: Promise.resolve(world.outcome), close: () => undefined }), find: async () => world.earlier },
    limits, cancel: () => undefined, origin: "gateway-1", sweepGraceMs: 5_000, now: () => 1_000,
  });
  ({ service: app } = await buildGateway({
    desk: () => {
      if (world.isStarting) throw new AppError("broker_unavailable", "starting");
      return {
        inference, find: async () => world.found, listen: () => () => undefined, watches: { watch: async () => { throw world.fails ?? new Error("unused"); } },
        submitFeedback: async (id, body, traceparent) => {
          if (world.fails) throw world.fails;
          world.feedback.push({ id, body, traceparent });
        },
      };
    },
    tracer: { span: (_name, { parent }, run) => run(parent ?? TRACE.replace("4bf9", "0000"), () => undefined) },
    registry: new Registry(), problems: () => world.problems, waiting: () => 0, callers: makeCallers({ directory: { holderOf: async () => null, standingOf: async () => null }, isKeyless: true, log: pino({ level: "silent" }) }), isKeyless: true, consoleUrl: "http://127.0.0.1:9", operations: { broker: () => { throw new Error("no broker here"); }, prefix: "infer" }, admin: { pool: new Pool(), pepper: null }, webhooks: { pool: new Pool(), key: null, allowance: new BlockList(), lookup }, door: { tierFile: TierFile.parse(tierFixture), budgetUsd: 1 }, version: "1.2.3",
    log: pino({ level: "debug" }, { write: (line: string) => void world.logged.push(line) }),
  }));
});
afterAll(() => app.close());

const send = (options: InjectOptions) => app.inject({ method: "POST", url: "/infer", ...options });
const post = (payload: object | string | Buffer, headers: Record<string, string> = {}) => send({ payload, headers: { "content-type": "application/json", ...headers } });
const lines = () => world.logged.map((line) => JSON.parse(line) as Record<string, unknown>);
const codeOf = (body: string) => (JSON.parse(body) as { error?: { code?: string } }).error?.code;

describe("POST /infer", () => {
  it("submits one request and answers with its stored outcome, in dollars", async () => {
    const response = await post(BODY, { traceparent: TRACE });
    expect([response.statusCode, response.json()]).toMatchObject([200, { request_id: "r-1", outcome: "completed", output: "spam 🌍", tier: "large", cost_usd: 0.000295, attempts: [{}, {}, {}], decision: { policy: "cascade" } }]);
    expect(world.submitted).toEqual([{ id: { tenant_id: "t1", request_id: "r-1" }, content: { user_id: "u-1", input: "hi", budget: 0.05 }, traceparent: TRACE }]);
  });

  it("explains every decision to the call that asks for it, also in the record beside an error", async () => {
    const stepOf = (body: { decision?: { steps: object[] }; request?: { decision: { steps: object[] } } }) => (body.decision ?? body.request?.decision)?.steps[0];
    const facts = DONE.decisions[0]?.facts;
    expect(stepOf((await post({ ...BODY, explain: true })).json())).toMatchObject({ step: "run", facts });
    for (const body of [BODY, { ...BODY, explain: false }]) expect(stepOf((await post(body)).json())).not.toHaveProperty("facts");
    world.outcome = { ...DONE, outcome: "failed", error: { code: "deadline_exceeded", message: "m" } };
    expect(stepOf((await post({ ...BODY, explain: true })).json())).toMatchObject({ facts });
  });

  it("makes an id for a caller that sends none", async () => {
    await post({ ...BODY, request_id: undefined });
    expect(world.submitted).toMatchObject([{ id: { request_id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/) as string } }]);
  });

  it.each([["test-key", "test-key"], ['"test-key"', "test-key"], ["a.b", "LnM23I66h-9HLfVow1SCq_JXXcPl6sDFxiuP-urCyTQ"]])("takes Idempotency-Key %s for the id %s", async (key, request_id) => {
    for (const body of [{ ...BODY, request_id: undefined }, { ...BODY, request_id }]) await post(body, { "idempotency-key": key });
    expect(world.submitted.map(({ id }) => id)).toEqual([{ tenant_id: "t1", request_id }, { tenant_id: "t1", request_id }]);
  });

  it.each(["r-1", "a.b"])("looks for the outcome of a request that is named by the key %s before it submits", async (key) => {
    world.earlier = { ...DONE, fingerprint: fingerprintOf(BODY) };
    expect((await post({ ...BODY, request_id: undefined }, { "idempotency-key": key })).json()).toMatchObject({ outcome: "completed" });
    const other = await post({ ...BODY, request_id: undefined, input: "other" }, { "idempotency-key": key });
    expect([other.statusCode, codeOf(other.body), world.submitted]).toEqual([422, "idempotency_mismatch", []]);
  });

  it("starts a trace for a caller whose traceparent is garbage", async () => {
    await post(BODY, { traceparent: "garbage\u0009", "x-request-id": "*.>" });
    expect(world.submitted[0]?.traceparent).toMatch(/^00-0000/);
  });

  it.each([
    ["an answer that came too early to be good", { outcome: "degraded", degraded_reason: "deadline" }, 200],
    ["no answer by the deadline", { outcome: "failed", error: { code: "deadline_exceeded", message: "m" }, output: null }, 504],
    ["a budget that pays for nothing", { outcome: "rejected", error: { code: "budget_exceeded", message: "m" }, output: null }, 402],
    ["a backend that is away", { outcome: "failed", error: { code: "backend_unavailable", message: "m" }, output: null }, 503],
    ["a key that the model's server refuses, which is not the caller's", { outcome: "failed", error: { code: "backend_refused", message: "m" }, output: null }, 502],
  ] as const)("answers %s with its record", async (_name, over, status) => {
    world.outcome = { ...DONE, ...over };
    const response = await post(BODY);
    expect(response.statusCode).toBe(status);
    expect(response.json()).toMatchObject(status === 200 ? { outcome: over.outcome } : { request_id: "r-1", error: { code: world.outcome.error?.code }, request: { outcome: over.outcome, attempts: [{}, {}, {}] } });
  });

  it.each([
    ["another body under a used id", new AppError("idempotency_mismatch", "m"), 422, false],
    ["a repeated request that is still in flight", new AppError("idempotency_in_progress", "m"), 409, true],
    ["an outage of the broker", new AppError("broker_unavailable", "m"), 503, true],
    ["a full stream", new AppError("storage_full", "m"), 503, true],
    ["a publish of which nothing is known", new AppError("accept_unknown", "m"), 503, true],
    ["an outage of the database", new AppError("database_unavailable", "m"), 503, true],
  ] as const)("answers %s with %s", async (_name, error, status, retryable) => {
    world.fails = error;
    const response = await post(BODY);
    expect([response.statusCode, response.json(), response.headers["retry-after"] !== undefined]).toEqual([status, { error: { code: error.code, message: "m", retryable }, ...(retryable ? { request_id: "r-1" } : {}) }, retryable]);
  });

  it("tells the id that it made to a caller who must ask again with it", async () => {
    world.fails = new AppError("accept_unknown", "m");
    const { request_id } = (await post({ ...BODY, request_id: undefined })).json<{ request_id: string }>();
    expect(request_id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(lines()).toMatchObject([{ level: 40, msg: "answered 503", request_id, tenant_id: "t1", trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string }]);
  });

  it("logs each answer once, with what finds it again", async () => {
    await post(BODY, { traceparent: TRACE });
    await post(BODY, { traceparent: TRACE, prefer: "respond-async" });
    const ids = { level: 30, request_id: "r-1", tenant_id: "t1", trace_id: TRACE.slice(3, 35) };
    expect(lines()).toMatchObject([{ ...ids, msg: "answered", outcome: "completed", tier: "large", latency_ms: 1_620, cost_nano_usd: 295_000 }, { ...ids, msg: "accepted", outcome: "pending" }]);
  });

  it("logs a caller's mistake by its code alone", async () => {
    await post({ ...BODY, policy: "sk-secret-123" }, { traceparent: TRACE });
    expect(lines()).toMatchObject([{ msg: "refused", code: "invalid_request", request_id: "r-1", tenant_id: "t1", trace_id: TRACE.slice(3, 35) }]);
    expect(world.logged.join("")).not.toContain("sk-secret-123");
  });

  it("says that an outcome is not known yet, and where it will be", async () => {
    world.outcome = null;
    const response = await post(BODY);
    expect([response.statusCode, codeOf(response.body), response.body]).toMatchObject([503, "outcome_pending", expect.stringContaining("GET /requests/r-1")]);
  });

  it("tells nothing of an error that nobody expected, but the log", async () => {
    world.fails = new Error("password is hunter2");
    const response = await post(BODY);
    expect([response.statusCode, response.json()]).toEqual([500, { error: { code: "internal", message: "internal error", retryable: false } }]);
    expect(world.logged.join("")).toContain("unhandled error");
  });

  it("never logs what was asked", async () => {
    for (const outcome of [DONE, null]) {
      world.outcome = outcome;
      await post({ ...BODY, input: "my key is sk-secret-123" });
    }
    await post({ ...BODY, input: "sk-secret-123\0" });
    world.outcome = { ...DONE, output: "sk-secret-123", metadata: { k: "sk-secret-123" }, outcome: "failed", error: { code: "internal", message: "sk-secret-123" } };
    await post(BODY);
    expect(world.logged.join("")).not.toContain("sk-secret-123");
  });
});

describe("Prefer: respond-async", () => {
  it("answers 202 and where to ask", async () => {
    const response = await post(BODY, { prefer: "respond-async, wait=10" });
    expect([response.statusCode, response.headers["location"], response.headers["preference-applied"], response.json()])
      .toEqual([202, "/requests/r-1?tenant_id=t1", "respond-async", { tenant_id: "t1", request_id: "r-1", status: "pending" }]);
    expect(world.submitted).toHaveLength(1);
  });

  it("asks for what the caller wanted to have explained", async () => {
    expect((await post({ ...BODY, explain: true }, { prefer: "respond-async" })).headers["location"]).toBe("/requests/r-1?tenant_id=t1&explain=true");
  });

  it("does not hide that a request was not accepted", async () => {
    world.fails = new AppError("broker_unavailable", "m");
    expect((await post(BODY, { prefer: "respond-async" })).statusCode).toBe(503);
  });
});

describe("GET /requests/{id}", () => {
  const get = async (url: string) => app.inject({ method: "GET", url });
  it("answers 200 with any outcome, 202 while there is none, 404 for an id that was never accepted", async () => {
    world.found = { kind: "done", completion: { ...DONE, outcome: "failed", error: { code: "poison", message: "m" } } };
    expect([(await get("/requests/r-1")).statusCode, (await get("/requests/r-1?tenant_id=t1")).json()]).toMatchObject([200, { outcome: "failed", error: { code: "poison" } }]);
    world.found = { kind: "pending", id: { tenant_id: "t1", request_id: "r-1" } };
    const pending = await get("/requests/r-1");
    expect([pending.statusCode, pending.headers["retry-after"], pending.json()]).toEqual([202, "1", { tenant_id: "t1", request_id: "r-1", status: "pending" }]);
    world.found = null;
    expect([(await get("/requests/r-1")).statusCode, codeOf((await get("/requests/r-1")).body)]).toEqual([404, "not_found"]);
  });

  it("explains with ?explain=true", async () => {
    world.found = { kind: "done", completion: DONE };
    const steps = async (query: string) => (await get(`/requests/r-1?${query}`)).json<{ decision: { steps: object[] } }>().decision.steps;
    expect(await steps("explain=true&tenant_id=t1")).toMatchObject(DONE.decisions.map(({ facts }) => ({ facts })));
    for (const step of [...(await steps("explain=false")), ...(await steps("tenant_id=t1"))]) expect(step).not.toHaveProperty("facts");
  });

  it.each([
    ["/requests/%2e%2e%2fetc", 400], ["/requests/a.b", 400], [`/requests/${"x".repeat(65)}`, 400], ["/requests/*", 400], ["/requests/%00", 400],
    ["/requests/r-1?tenant_id=a.b", 400], ["/requests/r-1?tenant=t1", 400], ["/requests/r-1?explain=yes", 400], [`/requests/${"x".repeat(200)}`, 414], ["/requests/%E0%A4%A", 400], ["/requests/", 400], ["/requests", 404],
  ])("answers %s with %d", async (url, status) => {
    expect((await get(url)).statusCode).toBe(status);
  });
});

describe("POST /requests/{id}/feedback", () => {
  const GOOD = { score: 0.5, source: "user", comment: "half of it" };
  const say = (payload: object, url = "/requests/r-1/feedback", headers: Record<string, string> = {}) => send({ url, payload, headers });
  beforeEach(() => { world.found = { kind: "done", completion: DONE }; });

  it("publishes what was said, under the tenant of the request, and answers once the broker has it", async () => {
    for (const url of ["/requests/r-1/feedback", "/requests/r-1/feedback?tenant_id=t1"]) {
      const response = await say(GOOD, url, { traceparent: TRACE });
      expect([response.statusCode, response.json()]).toEqual([202, { request_id: "r-1", tenant_id: "t1", status: "recorded" }]);
    }
    const published = { id: { tenant_id: "t1", request_id: "r-1" }, body: GOOD, traceparent: TRACE };
    expect(world.feedback).toEqual([published, published]);
  });

  it("may be about any outcome, also one without an answer", async () => {
    world.found = { kind: "done", completion: { ...DONE, outcome: "failed", error: { code: "poison", message: "m" }, output: null } };
    expect((await say(GOOD)).statusCode).toBe(202);
  });

  it("for a request that never was is a 404", async () => {
    world.found = null;
    const response = await say(GOOD);
    expect([response.statusCode, codeOf(response.body), world.feedback]).toEqual([404, "not_found", []]);
  });

  it("for a request without an outcome is a 409 that says when to send it again", async () => {
    world.found = { kind: "pending", id: { tenant_id: "t1", request_id: "r-1" } };
    const response = await say(GOOD);
    expect([response.statusCode, codeOf(response.body), world.feedback]).toEqual([409, "no_outcome", []]);
    expect(response.body).toContain("send the feedback again once GET /requests/r-1 answers 200");
  });

  it.each([
    {}, [], { ...GOOD, score: 2 }, { ...GOOD, source: "A" }, { ...GOOD, rating: 5 }, { ...GOOD, tenant_id: "t1" }, { ...GOOD, comment: "x".repeat(1_001) },
  ])("refuses %j, and publishes nothing", async (body) => {
    const response = await say(body);
    expect([response.statusCode, codeOf(response.body), world.feedback]).toEqual([400, "invalid_request", []]);
  });

  it("with a comment that cannot be stored is invalid_unicode", async () => {
    expect(codeOf((await say({ ...GOOD, comment: "a\0" })).body)).toBe("invalid_unicode");
  });

  it.each(["broker_unavailable", "storage_full", "accept_unknown"] as const)("is a 503 when it is not known to be kept: %s", async (code) => {
    world.fails = new AppError(code, "m");
    const response = await say(GOOD);
    expect([response.statusCode, codeOf(response.body), response.headers["retry-after"]]).toEqual([503, code, "1"]);
  });

  it("names the one method that it has", async () => {
    const response = await app.inject({ method: "GET", url: "/requests/r-1/feedback" });
    expect([response.statusCode, response.headers["allow"]]).toEqual([405, "POST"]);
  });

  it("never logs what was said", async () => {
    await say({ ...GOOD, comment: "sk-secret-123" });
    await say({ ...GOOD, comment: "sk-secret-123\0" });
    world.found = null;
    await say({ ...GOOD, comment: "sk-secret-123" });
    expect(world.logged.join("")).not.toContain("sk-secret-123");
    expect(lines()[0]).toMatchObject({ msg: "feedback recorded", request_id: "r-1", tenant_id: "t1" });
  });
});

describe("/v1", () => {
  const CHAT = { model: "auto", messages: [{ role: "user", content: "hi" }] };
  const ask = (payload: object = CHAT, headers: Record<string, string> = {}) => send({ url: "/v1/chat/completions", payload, headers });
  const errorOf = (body: string) => (JSON.parse(body) as { error: { code: string; type: string; message: string } }).error;

  it("answers in OpenAI's shape, also what goes wrong before or outside its routes", async () => {
    expect((await ask()).json()).toMatchObject({ object: "chat.completion", choices: [{ message: { content: "spam 🌍" } }] });
    const foreign = await ask(CHAT, { host: "evil.example" });
    expect([foreign.statusCode, errorOf(foreign.body).code]).toEqual([403, "forbidden_host"]);
    const wrongMethod = await app.inject({ method: "GET", url: "/v1/chat/completions" });
    expect([wrongMethod.statusCode, wrongMethod.headers["allow"], errorOf(wrongMethod.body).type]).toEqual([405, "POST", "invalid_request_error"]);
    world.isStarting = true;
    const starting = await ask();
    expect([starting.statusCode, starting.headers["retry-after"], starting.headers["x-should-retry"], errorOf(starting.body).code]).toEqual([503, "1", "true", "broker_unavailable"]);
  });

  it("tells a client that does not know its request's id not to repeat what may have been accepted", async () => {
    world.fails = new AppError("accept_unknown", "m");
    expect((await ask()).headers["x-should-retry"]).toBe("false");
    expect((await ask(CHAT, { "idempotency-key": "mine" })).headers).toMatchObject({ "x-should-retry": "true", "x-request-id": "mine" });
  });

  it("tells nothing of an error that nobody expected, and never logs what was asked", async () => {
    world.fails = new Error("password is hunter2");
    for (const stream of [false, true]) {
      const response = await ask({ ...CHAT, stream, messages: [{ role: "user", content: "sk-secret-123" }] });
      expect([response.statusCode, errorOf(response.body)]).toEqual([500, { message: "internal error", type: "server_error", param: null, code: "internal" }]);
    }
    await ask({ ...CHAT, messages: [{ role: "boss", content: "sk-secret-123" }] });
    expect(world.logged.join("")).toContain("unhandled error");
    expect(world.logged.join("")).not.toContain("sk-secret-123");
  });
});

describe("the pages around it", () => {
  it("describe the API in OpenAPI 3.1, from the schemas that validate", async () => {
    const document = (await app.inject("/openapi.json")).json<{ openapi: string; info: { version: string }; paths: Record<string, object> }>();
    expect([document.openapi, document.info.version]).toEqual(["3.1.0", "1.2.3"]);
    const batches = ["", "/{batch_id}", "/{batch_id}/cancel", "/{batch_id}/lines", "/{batch_id}/results", "/{batch_id}/start"].map((path) => `/batches${path}`);
    expect(Object.keys(document.paths).sort()).toEqual([...batches, "/infer", "/reports", "/reports/statement", "/requests/{id}", "/requests/{id}/events", "/requests/{id}/feedback", "/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1/models/{model}", "/v1/responses"]);
    expect(JSON.stringify(document.paths["/infer"])).toContain("Most that all attempts together may cost, in USD.");
  });

  it("serve a readable page at /docs, whose own scripts its policy lets run", async () => {
    const page = await app.inject("/docs");
    expect([page.statusCode, page.headers["content-type"]]).toEqual([200, "text/html; charset=utf-8"]);
    expect(page.headers["content-security-policy"]).toMatch(/script-src[^;]*'self'/);
  });

  it("say whether it is alive and ready", async () => {
    expect((await app.inject("/healthz")).statusCode).toBe(200);
    world.problems = ["NATS is disconnected"];
    expect((await app.inject("/readyz")).statusCode).toBe(503);
    expect((await app.inject("/metrics")).body).toContain("infer_http_requests_total");
  });

  it("answer while the broker is awaited, when an inference is an outage", async () => {
    world.isStarting = true;
    expect((await app.inject("/healthz")).statusCode).toBe(200);
    const response = await post(BODY);
    expect([response.statusCode, codeOf(response.body), response.json()]).toMatchObject([503, "broker_unavailable", { request_id: "r-1" }]);
    expect((await app.inject("/requests/r-1")).statusCode).toBe(503);
  });
});

describe("metrics", () => {
  const seriesIn = (text: string) => new Set(text.split("\n").filter((line) => line.startsWith("infer_")).map((line) => line.slice(0, line.lastIndexOf(" "))));
  const series = async () => seriesIn((await app.inject("/metrics")).body);
  /** Each of these words is used once. */
  const ask = async (word: string) => {
    const headers = { "content-type": "application/json" };
    const chat = { messages: [{ role: "user", content: "hi" }] };
    return Promise.all([
      app.inject({ url: `/${word}/${word}` }),
      app.inject({ url: `/requests/${word}`, query: { tenant_id: word } }),
      app.inject({ method: "PATCH", url: `/v1/${word}` }),
      post({ ...BODY, tenant_id: word, user_id: word, request_id: word, metadata: { note: word } }),
      post({ ...BODY, policy: word }),
      app.inject({ method: "POST", url: "/v1/chat/completions", headers, payload: { ...chat, model: word } }),
      app.inject({ method: "POST", url: "/v1/chat/completions", headers: { ...headers, "x-optimizer-tenant": word, "idempotency-key": word }, payload: { ...chat, model: "auto", user: word } }),
      app.inject({ method: "POST", url: `/requests/${word}/feedback`, headers, payload: { score: 1, source: word.slice(0, 32) } }),
    ]);
  };

  it("has as many series after 1,000 paths, and 100 tenants, users, models and ids, that were never seen as after one", { timeout: 120_000 }, async () => {
    const statuses = (await ask("first")).map(({ statusCode }) => statusCode);
    expect(statuses).toEqual([404, 404, 404, 200, 400, 404, 200, 404]);
    const before = await series();
    for (let i = 0; i < 1_000; i++) await (i % 10 === 0 ? ask(`word-${i}`) : app.inject({ url: `/word-${i}` }));
    expect(await series()).toEqual(before);
    expect([...before].filter((one) => one.includes("unmatched")).length).toBeGreaterThan(0);
  });
});
