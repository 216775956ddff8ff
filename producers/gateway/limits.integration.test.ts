/** Rate limits as callers meet them, over real NATS, Redis and Postgres; what the pipeline does is played by the test. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import OpenAI, { BadRequestError, RateLimitError } from "openai";
import { Pool } from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";

import { counter, errorOf, postJson } from "#infra/e2e/callers.ts";
import { startTestServer } from "#infra/embedded/testServers.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { startTestGateway, type TestGateway } from "#infra/testGateway.ts";
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import type { TenantChange } from "#shared/contracts/tenant.ts";
import { createTenant } from "#shared/tenancy/tenants.ts";

const EMBEDDER = {
  name: "vectors", slots: 1, dimensions: 1_536, timeout_ms: 5_000, backend: { kind: "openai-embeddings", model: "embed-3", base_url: "http://localhost:1/v1" },
  price: { usd_per_million_input_tokens: 0.02, source: "test", valid_from: "2026-11-01" }, prior: { latency_p50_ms: 50, latency_p95_ms: 200 },
};
let redis: Awaited<ReturnType<typeof startTestServer>>;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
let gateway: TestGateway;
beforeAll(async () => {
  [redis, database] = await Promise.all([startTestServer("redis"), makeTestDatabase(inject("adminDatabaseUrl"), "gateway_limits")]);
  pool = new Pool({ connectionString: database.url, max: 1 });
  const tiersFile = join(redis.dataDir, "tiers.json");
  writeFileSync(tiersFile, JSON.stringify({ ...tierFixture, embedders: [EMBEDDER] }));
  gateway = await startTestGateway({ DATABASE_URL: database.url, REDIS_URL: redis.url, INFER_SECRET: "s".repeat(32), INFER_TIERS_FILE: tiersFile });
});
afterAll(async () => {
  await gateway.close();
  await pool.end();
  await Promise.all([redis.remove(), database.drop()]);
});
let n = 0;
beforeEach(() => { n += 1; gateway.play(({ complete }) => complete()); });

type Limits = NonNullable<NonNullable<TenantChange["settings"]>["limits"]>;
const tenant = () => `t-${n}`;
const limited = (limits: Partial<Limits>) => createTenant({ pool, tenantId: null }, { kind: "inferctl" }, { tenant_id: tenant(), settings: { limits: { tenant: {}, user: {}, key: {}, ...limits } } });
const PER_MINUTE = { rate: 6, per: "minute" as const, burst: 2 };
const url = () => gateway.url.replace("/v1", "/infer");
const ask = (more: object = {}, headers: Record<string, string> = {}) => postJson(url(), { tenant_id: tenant(), user_id: "u-1", input: "hi", budget: 0.01, ...more }, { headers });
const client = (options: object = {}) => new OpenAI({ baseURL: gateway.url, apiKey: "any", maxRetries: 0, defaultHeaders: { "x-optimizer-tenant": tenant() }, ...options });
const chat = (more: object = {}) => ({ model: "auto", messages: [{ role: "user" as const, content: "hi" }], ...more });
const limitsIn = (headers: Headers) => Object.fromEntries([...headers].filter(([name]) => /ratelimit/.test(name)));

describe("POST /infer", () => {
  it("says with every answer of a limited tenant what is left, and with no other", async () => {
    await limited({ tenant: { requests: PER_MINUTE, tokens: { rate: 60_000, per: "minute", burst: 4_000 } } });
    expect(limitsIn((await ask({}, { prefer: "respond-async" })).headers)).toEqual({
      "x-ratelimit-limit-requests": "2", "x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "10s",
      "x-ratelimit-limit-tokens": "4000", "x-ratelimit-remaining-tokens": "2975", "x-ratelimit-reset-tokens": "1.025s",
      "ratelimit-policy": '"tenant-requests";q=2;w=20, "tenant-tokens";q=4000;w=4;qu="tokens"', ratelimit: '"tenant-requests";r=1;t=10, "tenant-tokens";r=2975;t=2',
    });
    const { status, headers } = await ask();
    expect([status, headers.get("x-ratelimit-remaining-requests")]).toEqual([200, "0"]);
    n += 1;
    expect(limitsIn((await ask()).headers)).toEqual({});
  });

  it("refuses a call beyond a limit: which one, whose, and when to come again; nothing of it is accepted", async () => {
    await limited({ tenant: { requests: { ...PER_MINUTE, burst: 100 } }, user: { requests: PER_MINUTE } });
    const statuses = [(await ask()).status, (await ask()).status];
    const accepted = gateway.requests.length;
    const refused = await ask();
    expect([...statuses, refused.status, (await ask({ user_id: "u-2" })).status]).toEqual([200, 200, 429, 200]);
    expect(errorOf(refused)).toEqual({ code: "rate_limited", message: 'user "u-1" may ask for 6 requests per minute and 2 at once: 0 are left; try again in 10 s', retryable: true });
    expect(refused.headers.get("retry-after")).toBe("10");
    expect(limitsIn(refused.headers)).toMatchObject({ "x-ratelimit-remaining-requests": "0", ratelimit: expect.stringMatching(/^"tenant-requests";r=98;t=\d+, "user-requests";r=0;t=20$/) as string });
    expect(gateway.requests.length).toBe(accepted + 1); // that of the other user
  });

  it("refuses for good what no wait would help", async () => {
    await limited({ tenant: { tokens: { rate: 1_000, per: "second", burst: 1_000 } } });
    const { status, headers, text } = await ask();
    expect([status, headers.get("retry-after"), errorOf({ text })]).toMatchObject([400, null, { code: "exceeds_limit", retryable: false }]);
    expect((await ask({ input: undefined, chat: { messages: [{ role: "user", content: "hi" }], max_output_tokens: 100 } })).status).toBe(200);
  });

  it("lets a request pay once that is sent again under its id, while it runs and after it has ended", async () => {
    await limited({ tenant: { requests: PER_MINUTE } });
    const held: (() => Promise<void>)[] = [];
    gateway.play(({ complete }) => void held.push(complete));
    const body = { request_id: `r-${n}` };
    const first = ask(body);
    await expect.poll(() => held.length).toBe(1);
    const again = await ask(body, { prefer: "respond-async" });
    gateway.play(({ complete }) => complete());
    await held[0]?.();
    expect([again.status, (await first).status]).toEqual([202, 200]);
    const ended = await ask(body);
    expect([ended.status, ended.headers.get("x-ratelimit-remaining-requests")]).toEqual([200, "1"]);
    expect([(await ask()).status, (await ask()).status, (await ask(body)).status]).toEqual([200, 429, 200]);
  });

  it("lets another request pay that is sent under a used id, and refuses it", async () => {
    await limited({ tenant: { requests: { ...PER_MINUTE, burst: 3 } } });
    const held: (() => Promise<void>)[] = [];
    gateway.play(({ complete }) => void held.push(complete));
    const body = { request_id: `r-${n}` };
    const first = ask(body);
    await expect.poll(() => held.length).toBe(1);
    const others = [await ask({ ...body, input: "b" }), await ask({ ...body, input: "c" }), await ask({ ...body, input: "d" })];
    await held[0]?.();
    expect([(await first).status, ...others.map(({ status }) => status)]).toEqual([200, 422, 422, 429]);
  });

  it("lets what nobody waits for take no more than leaves half of the burst to others", async () => {
    await limited({ tenant: { requests: { ...PER_MINUTE, burst: 4 } } });
    const batch = () => ask({ priority: "batch" });
    const [a, b, refused, waiting] = [await batch(), await batch(), await batch(), await ask()];
    expect([a, b, refused, waiting].map(({ status }) => status)).toEqual([200, 200, 429, 200]);
    expect([errorOf(refused).message, refused.headers.get("retry-after")]).toEqual([`tenant ${tenant()} may ask for 6 requests per minute and 4 at once: 2 are left, and what nobody waits for leaves 2 of them to others; try again in 10 s`, "10"]);
  });

  it("lets a request that was refused come again under its id", async () => {
    await limited({ tenant: { requests: { rate: 1, per: "second", burst: 1 } } });
    await ask();
    const refused = await ask({ request_id: `r-${n}` });
    expect(refused.status).toBe(429);
    await expect.poll(async () => (await ask({ request_id: `r-${n}` })).status, { timeout: 5_000, interval: 100 }).toBe(200);
  });
});

describe("POST /v1/embeddings", () => {
  it("counts other texts under a used key, however many requests they become", async () => {
    await limited({ tenant: { requests: PER_MINUTE } });
    gateway.play(({ complete }) => complete({ outcome: "failed", output: null, error: { code: "backend_unavailable", message: "m" } }));
    const embed = async (texts: number) => {
      const { status, headers } = await postJson(`${gateway.url}/embeddings`, { model: "vectors", input: Array.from({ length: texts }, (_, i) => `text ${i}`) }, { headers: { "idempotency-key": `k-${n}`, "x-optimizer-tenant": tenant() } });
      return [status, headers.get("x-ratelimit-remaining-requests")];
    };
    expect([await embed(1), await embed(1), await embed(200), (await ask()).status]).toEqual([[503, "1"], [503, "1"], [503, "0"], 429]);
  });
});

describe("what is left", () => {
  const v1 = (path: string, body: object, headers: Record<string, string> = {}) => postJson(`${gateway.url}${path}`, body, { headers: { "x-optimizer-tenant": tenant(), ...headers } });
  const failing = () => { gateway.play(({ complete }) => complete({ outcome: "failed", output: null, tier: null, error: { code: "backend_unavailable", message: "m" } })); };
  const named = () => ({ request_id: `named-${n}` });
  /** Refused for its limit. */
  const beyond = async <T>(call: () => Promise<T>): Promise<T> => { await Promise.all([ask(), ask()]); return call(); };
  /** While another request has its id. */
  const beside = async <T>(call: () => Promise<T>): Promise<T> => {
    const held: (() => Promise<void>)[] = [];
    gateway.play(({ complete }) => void held.push(complete));
    const first = ask(named());
    await expect.poll(() => held.length).toBe(1);
    const answer = await call();
    await held[0]?.();
    await first;
    return answer;
  };
  type Answer = ReturnType<typeof postJson>;
  const CHAT = { model: "auto", messages: [{ role: "user", content: "hi" }] };
  const SSE = { accept: "text/event-stream" };

  it.each<[string, number, () => Answer]>([
    ["an answer", 200, () => ask()],
    ["a request that is accepted", 202, () => ask({}, { prefer: "respond-async" })],
    ["a stream", 200, () => ask({}, SSE)],
    ["a repeated request", 200, async () => { await ask(named()); return ask(named()); }],
    ["a repeated request that is to be accepted", 200, async () => { await ask(named()); return ask(named(), { prefer: "respond-async" }); }],
    ["a failure", 503, () => { failing(); return ask(); }],
    ["a stream that failed before it began", 503, () => { failing(); return ask({}, SSE); }],
    ["another request under an id that is under way", 422, () => beside(() => ask({ ...named(), input: "other" }))],
    ["a refusal", 429, () => beyond(() => ask())],
    ["a refusal of a request that was not to be waited for", 429, () => beyond(() => ask({}, { prefer: "respond-async" }))],
    ["a refused stream", 429, () => beyond(() => ask({}, SSE))],
    ["a chat", 200, () => v1("/chat/completions", CHAT)],
    ["a streamed chat", 200, () => v1("/chat/completions", { ...CHAT, stream: true })],
    ["a chat that failed", 503, () => { failing(); return v1("/chat/completions", CHAT); }],
    ["a refused chat", 429, () => beyond(() => v1("/chat/completions", CHAT))],
    ["a response", 200, () => v1("/responses", { model: "auto", input: "hi" })],
    ["a streamed response", 200, () => v1("/responses", { model: "auto", input: "hi", stream: true })],
    ["vectors", 503, () => { failing(); return v1("/embeddings", { model: "vectors", input: "hi" }); }],
  ])("is said with %s (%d)", async (_name, status, call) => {
    await limited({ tenant: { requests: PER_MINUTE, tokens: { rate: 60_000, per: "minute", burst: 4_000 } } });
    const { headers, ...answer } = await call();
    expect([answer.status, Object.keys(limitsIn(headers)).toSorted()]).toEqual([status, [
      "ratelimit", "ratelimit-policy", ...["limit", "remaining", "reset"].flatMap((what) => ["requests", "tokens"].map((kind) => `x-ratelimit-${what}-${kind}`)),
    ]]);
    expect(headers.get("ratelimit")).toMatch(/^"tenant-requests";r=\d+;t=\d+, "tenant-tokens";r=\d+;t=\d+$/);
  });

  it.each<[string, number, () => Answer]>([
    ["a body that no schema takes", 400, () => ask({ budget: -1 })],
    ["an unknown tier", 400, () => ask({ min_tier: "none" })],
    ["a call that no wait would help", 400, () => ask({ input: "x".repeat(16_000) })],
    ["another request under an id that has its outcome", 422, async () => { await ask(named()); return ask({ ...named(), input: "other" }); }],
    ["an unknown model", 404, () => v1("/chat/completions", { ...CHAT, model: "none" })],
    ["an unknown parameter", 400, () => v1("/chat/completions", { ...CHAT, temperatura: 1 })],
  ])("is not said with %s (%d), for which nothing was taken", async (_name, status, call) => {
    await limited({ tenant: { requests: PER_MINUTE, tokens: { rate: 60_000, per: "minute", burst: 4_000 } } });
    const { headers, ...answer } = await call();
    expect([answer.status, limitsIn(headers)]).toEqual([status, {}]);
  });
});

describe("OpenAI's client", () => {
  it("sees the limits in the headers it knows, streamed as well", async () => {
    await limited({ tenant: { requests: PER_MINUTE } });
    const { response } = await client().chat.completions.create(chat()).withResponse();
    expect(response.headers.get("x-ratelimit-remaining-requests")).toBe("1");
    const { data, response: streamed } = await client().chat.completions.create({ ...chat(), stream: true }).withResponse();
    for await (const chunk of data) expect(chunk.object).toBe("chat.completion.chunk");
    expect(streamed.headers.get("x-ratelimit-remaining-requests")).toBe("0");
  });

  it.each([["requests", { requests: { rate: 1, per: "second" as const, burst: 1 } }], ["tokens", { tokens: { rate: 1_100, per: "second" as const, burst: 1_100 } }]])("repeats a call that was refused for its %s when it is told to, and gets its answer", async (kind, limits) => {
    await limited({ tenant: limits });
    const statuses: number[] = [], atMs: number[] = [];
    const seen: typeof fetch = async (...args) => {
      atMs.push(performance.now());
      const response = await fetch(...args);
      statuses.push(response.status);
      return response;
    };
    await client().chat.completions.create(chat());
    const refused = await client().chat.completions.create(chat()).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(RateLimitError);
    expect(refused).toMatchObject({ status: 429, type: kind, code: "rate_limit_exceeded", param: null });
    const { choices } = await client({ maxRetries: 1, fetch: seen }).chat.completions.create(chat());
    expect([choices[0]?.message.content, statuses]).toEqual(["spam 🌍", [429, 200]]);
    expect((atMs[1] ?? 0) - (atMs[0] ?? 0)).toBeGreaterThanOrEqual(990); // as retry-after said; by itself it waits half a second
  });

  it("does not repeat what no wait would help", async () => {
    await limited({ tenant: { tokens: { rate: 1_000, per: "second", burst: 1_000 } } });
    let calls = 0;
    const counted: typeof fetch = (...args) => { calls += 1; return fetch(...args); };
    const refused = await client({ maxRetries: 2, fetch: counted }).chat.completions.create(chat({ max_tokens: 1_000 })).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(BadRequestError);
    expect([(refused as BadRequestError).code, calls]).toEqual(["exceeds_limit", 1]);
  });
});

describe("without Redis", () => {
  it("callers are served within this gateway's share, and are told of a limit, never of an outage", async () => {
    await limited({ tenant: { requests: { rate: 50, per: "second", burst: 5 } } });
    expect((await ask()).status).toBe(200);
    await redis.kill();
    const statuses = new Set<number>();
    await expect.poll(async () => { statuses.add((await ask()).status); return statuses.size; }, { timeout: 10_000, interval: 1 }).toBe(2);
    expect(statuses).toEqual(new Set([200, 429]));
    const metrics = async (name: string) => counter(url().replace("/infer", ""), name);
    expect([await metrics("infer_limits_local"), (await metrics("infer_limit_decisions_total")) > 30, (await metrics("infer_rate_limited_total")) > 10]).toEqual([1, true, true]);
    await redis.restart();
    await expect.poll(async () => { await ask(); return metrics("infer_limits_local"); }, { timeout: 1_000, interval: 20 }).toBe(0);
  });
});
