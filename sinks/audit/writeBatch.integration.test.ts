import { Client, type Pool } from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it, vi } from "vitest";

import { makeTestDatabase, pastTriggers } from "#infra/testDatabase.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { costOf, Rates } from "#shared/contracts/rates.ts";
import { isBadRow, makePool } from "#shared/db/pool.ts";
import { readCompletion } from "#shared/db/readAudit.ts";

import { deleteOld } from "./retention.ts";
import { toRows } from "./toRows.ts";
import { makeAuditWriter } from "./writeBatch.ts";

const COMPLETION = Completion.parse(fixture);
const event = (request_id: string, over: Partial<Completion> = {}): Completion => ({ ...COMPLETION, request_id, ...over });
const rows = (...events: Completion[]) => events.map((one, i) => toRows(one, i + 1));
let database: { url: string; drop: () => Promise<void> };
let pool: Pool;
beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "audit");
  pool = makePool(database.url, "test", () => undefined);
  const { rows: [named] } = await pool.query<{ name: string }>("SELECT current_database() AS name");
  expect(named?.name).toMatch(/^test_audit_\d+$/);
});
afterEach(async () => { await pastTriggers(pool, "DELETE FROM requests; DELETE FROM attempts; DELETE FROM feedback"); });
afterAll(async () => {
  await pool.end();
  await database.drop();
});
const DUPLICATE = { ok: false, reason: "duplicate_id: another outcome of this id is in the audit already" };
const count = async (table: "requests" | "attempts") => (await pool.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${table}`)).rows[0]?.n;

describe("a batch", () => {
  it("writes one row per request and one per attempt, and is harmless when repeated", async () => {
    const writer = makeAuditWriter(pool);
    const batch = rows(event("a"), event("b"), event("c", { attempts: [] }));
    expect(await writer.write(batch)).toEqual([{ ok: true }, { ok: true }, { ok: true }]);
    expect(await writer.write([...batch, ...rows(event("d"))])).toHaveLength(4);
    expect([await count("requests"), await count("attempts")]).toEqual([4, 9]);
  });

  it("keeps what decisions read of the request", async () => {
    const decided = event("a", { latency_slo_ms: 900, terms: { deadline_at_ms: 1_767_225_630_000, min_quality: 0.25, min_tier: "medium", allowed_tiers: ["medium", "large"], priority: "batch", asked: { kind: "chat", max_output_tokens: 7, has_tools: true } }, decisions: COMPLETION.decisions.map((decision) => ({ ...decision, tier_file: "0123456789abcdef" })) });
    await makeAuditWriter(pool).write(rows(decided));
    expect(await readCompletion(pool, "a", "t1")).toEqual(decided);
  });

  it("keeps each count of tokens that a model's server told", async () => {
    const usage = { input_tokens: 40, output_tokens: 5, cached_input_tokens: 30, cache_write_input_tokens: 8, reasoning_output_tokens: 2, source: "reported" as const };
    const told = event("a", { attempts: COMPLETION.attempts.map((attempt) => ({ ...attempt, usage })) });
    await makeAuditWriter(pool).write(rows(told));
    expect(await readCompletion(pool, "a", "t1")).toEqual(told);
  });

  it("keeps what a server told that cannot be beside what was charged for it, and what was not charged", async () => {
    const usage = { input_tokens: 104, output_tokens: 10, unpriced_tokens: 3, source: "estimated" as const, is_clamped: true as const, reported: { input_tokens: 1_000_000_000, output_tokens: null } };
    const [first, ...others] = COMPLETION.attempts;
    const told = event("a", { attempts: [...(first === undefined ? [] : [{ ...first, usage, uncapped_cost_nano_usd: nanoUsd(9) }]), ...others] });
    await makeAuditWriter(pool).write(rows(told));
    expect(await readCompletion(pool, "a", "t1")).toEqual(told);
    const { rows: found } = await pool.query("SELECT attempt, (reported_usage->>'input_tokens')::int AS told, uncapped_cost_nano_usd::int AS uncapped FROM attempts WHERE usage_is_clamped");
    expect(found).toEqual([{ attempt: first?.attempt, told: 1_000_000_000, uncapped: 9 }]);
  });

  it("keeps the price that each attempt was charged at, and what was charged at which where there were several", async () => {
    const rates = Rates.parse({ input_nano_usd_per_million: 400_000_000, output_nano_usd_per_million: 1_600_000_000, request_nano_usd: 0, reasoning_output_nano_usd_per_million: 2_000_000_000 });
    const charges = [{ rates, usage: { input_tokens: 1, output_tokens: 2, source: "reported" as const }, cost_nano_usd: costOf(rates, { input_tokens: 1, output_tokens: 2 }) }];
    const [first, ...others] = COMPLETION.attempts.map((attempt) => ({ ...attempt, rates }));
    const told = event("a", { attempts: [...(first === undefined ? [] : [{ ...first, charges }]), ...others] });
    await makeAuditWriter(pool).write(rows(told));
    expect(await readCompletion(pool, "a", "t1")).toEqual(told);
    const { rows: summed } = await pool.query("SELECT (rates->>'input_nano_usd_per_million')::bigint AS input, count(charges)::int AS split FROM attempts GROUP BY 1");
    expect(summed).toEqual([{ input: "400000000", split: 1 }]);
  });

  it("keeps the first event of a request, and tenants apart", async () => {
    const writer = makeAuditWriter(pool);
    const written = await writer.write(rows(event("a", { output: "first" }), event("a", { output: "second" }), event("a", { tenant_id: "t2", output: "mine" })));
    expect(written).toEqual([{ ok: true }, DUPLICATE, { ok: true }]);
    expect((await readCompletion(pool, "a", "t1"))?.output).toBe("first");
    expect((await readCompletion(pool, "a", "t2"))?.output).toBe("mine");
  });

  it("takes an id that is used again for what it is: another outcome, of which nothing is mixed into the first", async () => {
    const writer = makeAuditWriter(pool);
    const first = event("a", { output: "first", attempts: COMPLETION.attempts.slice(0, 1) });
    await writer.write([toRows(first, 10)]);
    const again = toRows(event("a", { output: "second" }), 11);
    expect(await writer.write([again, toRows(event("b"), 12), toRows(first, 10)])).toEqual([DUPLICATE, { ok: true }, { ok: true }]);
    expect(await writer.write([again])).toEqual([DUPLICATE]);
    expect([await readCompletion(pool, "a", "t1"), await count("attempts")]).toEqual([first, 4]);
  });

  it.each<[string, Partial<Completion>, Partial<Completion>]>([
    ["the answer", { output: "a\0b\ud83c" }, { output: "a\ufffdb\ufffd" }],
    ["the message of an error", { error: { code: "backend_refused", message: "\0" } }, { error: { code: "backend_refused", message: "\ufffd" } }],
    ["JSON, but not what only looks like it", { metadata: { "k\0": "a\0b\udf0d", path: "C:\\u0000" } }, { metadata: { "k\ufffd": "a\ufffdb\ufffd", path: "C:\\u0000" } }],
    ["nothing, but a backslash is", { metadata: { path: "C:\\u0000 \\ud83c" } }, { metadata: { path: "C:\\u0000 \\ud83c" } }],
  ])("leaves no request without its row because a NUL or a lone surrogate is in %s", async (_name, over, stored) => {
    expect(await makeAuditWriter(pool).write(rows(event("a", over)))).toEqual([{ ok: true }]);
    expect(await readCompletion(pool, "a", "t1")).toEqual(event("a", stored));
  });

  it.each([
    ["a number that no column holds", { latency_ms: 2 ** 40 }],
    ["a time that is none to Postgres", { accepted_at_ms: 8e15 }],
  ])("with a row that Postgres refuses, for %s, writes all the others", async (_name, over) => {
    const written = await makeAuditWriter(pool).write(rows(event("a"), event("b"), event("poison", over), event("c"), event("d")));
    expect(written.map(({ ok }) => ok)).toEqual([true, true, false, true, true]);
    expect(written[2]).toMatchObject({ ok: false, reason: expect.stringMatching(/^Postgres refuses this row: ./) as string });
    expect([await count("requests"), await count("attempts")]).toEqual([4, 12]);
  });

  it("with nothing but bad rows writes none and says so of each", async () => {
    const written = await makeAuditWriter(pool).write(rows(event("a", { latency_ms: 2 ** 40 }), event("b", { latency_ms: 2 ** 40 })));
    expect([written.map(({ ok }) => ok), await count("requests")]).toEqual([[false, false], 0]);
  });

  it("writes a thousand rows at once", async () => {
    const written = await makeAuditWriter(pool).write(rows(...Array.from({ length: 1_000 }, (_, i) => event(`m${i}`))));
    expect([written.every(({ ok }) => ok), await count("attempts")]).toEqual([true, 3_000]);
  });
});

describe("webhooks", () => {
  const endpoint = (tenant: string, endpoint_id: string, status = "active") => pool.query("INSERT INTO webhook_endpoints (endpoint_id, tenant_id, url, status, secret_sealed) VALUES ($1, $2, 'https://hooks.example/', $3, '')", [endpoint_id, tenant, status]);
  const deliveries = async () => (await pool.query<{ endpoint_id: string; payload: string }>("SELECT endpoint_id, payload FROM webhook_deliveries ORDER BY endpoint_id, payload")).rows;
  beforeAll(async () => {
    for (const tenant of ["t1", "t2"]) await pool.query("INSERT INTO tenants (tenant_id, name, status, settings) VALUES ($1, 'n', 'active', '{}')", [tenant]);
    await endpoint("t1", "one");
    await endpoint("t1", "two");
    await endpoint("t1", "off", "disabled");
    await endpoint("t2", "others");
  });
  afterEach(async () => { await pool.query("DELETE FROM webhook_deliveries"); });

  it("are written with the outcome of a request that asked for them, for each active endpoint of its tenant, once", async () => {
    const writer = makeAuditWriter(pool);
    const batch = rows(event("a", { webhook: true }), event("b"), event("c", { webhook: true, tenant_id: "t3" }));
    await writer.write(batch);
    await writer.write(batch);
    const found = await deliveries();
    expect(found.map(({ endpoint_id }) => endpoint_id)).toEqual(["one", "two"]);
    expect(JSON.parse(found[0]?.payload ?? "")).toMatchObject({ type: "request.completed", data: { request_id: "a", tenant_id: "t1", output: "spam 🌍" } });
  });

  it("are not written of a request whose row is refused, nor of another outcome of a used id", async () => {
    const writer = makeAuditWriter(pool);
    await writer.write([toRows(event("used"), 10)]);
    await writer.write([toRows(event("used", { webhook: true }), 11), toRows(event("refused", { webhook: true, latency_ms: 2 ** 40 }), 12), toRows(event("fine", { webhook: true }), 13)]);
    expect((await deliveries()).map(({ payload }) => (JSON.parse(payload) as { data: { request_id: string } }).data.request_id)).toEqual(["fine", "fine"]);
  });

  it("can say what a NUL or a lone surrogate said", async () => {
    await makeAuditWriter(pool).write(rows(event("odd", { webhook: true, output: "a\0b\ud83c", completed_at_ms: Date.now() })));
    expect((JSON.parse((await deliveries())[0]?.payload ?? "") as { data: { output: string } }).data.output).toBe("a\0b\ud83c");
  });

  it("are deleted with their age once they were delivered or given up on, and removed endpoints when none names them", async () => {
    const deleted = () => deleteOld(pool, 90, new AbortController().signal);
    const endpoints = async () => (await pool.query<{ endpoint_id: string }>("SELECT endpoint_id FROM webhook_endpoints WHERE tenant_id = 't1' ORDER BY 1")).rows.map(({ endpoint_id }) => endpoint_id);
    await endpoint("t1", "gone");
    await makeAuditWriter(pool).write(rows(event("old", { webhook: true, completed_at_ms: Date.now() })));
    await pool.query("UPDATE webhook_deliveries SET created_at = now() - interval '91 days' WHERE endpoint_id IN ('one', 'gone')");
    await pool.query("UPDATE webhook_endpoints SET status = 'removed', updated_at = now() - interval '91 days' WHERE endpoint_id = 'gone'");
    expect([await deleted(), (await deliveries()).length]).toEqual([0, 3]); // still to be sent
    await pool.query("UPDATE webhook_deliveries SET status = CASE endpoint_id WHEN 'one' THEN 'delivered' ELSE 'dead' END WHERE endpoint_id IN ('one', 'gone')");
    expect([await deleted(), (await deliveries()).map(({ endpoint_id }) => endpoint_id), await endpoints()]).toEqual([3, ["two"], ["off", "one", "two"]]);
    await endpoint("t1", "just", "removed");
    expect([await deleted(), await endpoints()]).toEqual([0, ["just", "off", "one", "two"]]);
  });
});

describe("an outage", () => {
  it.each([["nobody listens", "postgresql://127.0.0.1:9/none"], ["the database is not there", null]])("is database_unavailable when %s: nothing is called written, and no row is blamed", async (_name, url) => {
    const broken = makePool(url ?? database.url.replace(/\/[^/]*$/, "/not_there"), "test", () => undefined);
    await expect(makeAuditWriter(broken).write(rows(event("a"), event("b", { latency_ms: 2 ** 40 })))).rejects.toMatchObject({ code: "database_unavailable", isOutage: true });
    await broken.end();
  });

  it("that ends a connection in the middle is database_unavailable, and the next batch is written", async () => {
    const writer = makeAuditWriter(pool);
    const waits = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    const lock = new Client({ connectionString: database.url });
    await lock.connect();
    await lock.query("BEGIN; LOCK TABLE requests IN ACCESS EXCLUSIVE MODE");
    const written = writer.write(rows(event("a"))).catch((error: unknown) => error);
    await vi.waitFor(async () => { expect((await pool.query(`SELECT pg_terminate_backend(pid) ${waits}`)).rowCount).toBe(1); }, { timeout: 5_000, interval: 20 });
    expect(await written).toMatchObject({ code: "database_unavailable" });
    await lock.query("ROLLBACK");
    await lock.end();
    expect(await writer.write(rows(event("a")))).toEqual([{ ok: true }]);
  });

  it("is told from bad data by its SQLSTATE", () => {
    const verdict = (code: unknown) => isBadRow(Object.assign(new Error("x"), { code }));
    expect(["22021", "22P05", "22003", "23505", "23502", "54000", "54023"].map(verdict)).toEqual(Array.from({ length: 7 }, () => true));
    expect(["57014", "08006", "53300", "40001", "42P01", "25P02", "ECONNREFUSED", undefined, 22].map(verdict)).toEqual(Array.from({ length: 9 }, () => false));
    expect([isBadRow(null), isBadRow("22021")]).toEqual([false, false]);
  });
});

describe("readCompletion", () => {
  it.each([
    ["a completed one", event("x")],
    ["a degraded one", event("x", { outcome: "degraded", degraded_reason: "deadline" })],
    ["a failed one", event("x", { outcome: "failed", error: { code: "deadline_exceeded", message: "too late" }, output: null, tier: null, model: null, confidence: null, confidence_source: null, attempts: COMPLETION.attempts.slice(0, 1) })],
    ["one that could not be read", event("x", { user_id: null, policy: null, task: null, budget_nano_usd: null, metadata: null, input_bytes: null, fingerprint: null, baseline_tier: null, baseline_cost_nano_usd: null, decisions: [], attempts: [] })],
    ["one with a question, where those are stored", event("x", { input: "Is it spam? \"yes\"" })],
    ["one with a question that is JSON", event("x", { input: "42" })],
    ["one with a question in messages", event("x", { input: { messages: [{ role: "user", content: "Is it spam?" }] } })],
    ["one with an empty message", event("x", { outcome: "failed", error: { code: "internal", message: "" } })],
    ["one beyond 2^32 nano-dollars", event("x", { cost_nano_usd: 9_007_199_254_740_991 as Completion["cost_nano_usd"] })],
  ])("gives back %s as it was", async (_name, completion) => {
    await makeAuditWriter(pool).write(rows(completion));
    expect(await readCompletion(pool, "x", "t1")).toEqual(completion);
    expect(await readCompletion(pool, "x", null)).toEqual(completion);
  });

  it("finds nothing that is not there, and asks which tenant is meant when several used the id", async () => {
    await makeAuditWriter(pool).write(rows(event("x"), event("x", { tenant_id: "t2" })));
    expect([await readCompletion(pool, "y", null), await readCompletion(pool, "x", "t3")]).toEqual([null, null]);
    await expect(readCompletion(pool, "x", null)).rejects.toMatchObject({ code: "invalid_request", message: "several tenants used this id: add ?tenant_id=" });
  });

  it("says that it cannot know when the database is away", async () => {
    const broken = makePool("postgresql://127.0.0.1:9/none", "test", () => undefined);
    await expect(readCompletion(broken, "x", null)).rejects.toMatchObject({ code: "database_unavailable" });
    await broken.end();
  });
});

describe("retention", () => {
  const daysAgo = (days: number) => Date.now() - days * 86_400_000;
  it("deletes what is older, with its attempts, and nothing else", async () => {
    const aged = (request_id: string, days: number) => event(request_id, { accepted_at_ms: daysAgo(days), completed_at_ms: daysAgo(days) });
    await makeAuditWriter(pool).write(rows(aged("old", 91), aged("older", 400), aged("young", 89), { ...aged("old", 1), tenant_id: "t2" }));
    expect(await deleteOld(pool, 90, new AbortController().signal)).toBe(2);
    expect([await count("requests"), await count("attempts")]).toEqual([2, 6]);
    expect(await deleteOld(pool, 90, new AbortController().signal)).toBe(0);
  });

  it("deletes what is older than its tenant keeps, and keeps what a tenant keeps longer", async () => {
    for (const [tenant_id, days] of [["brief", 7], ["long", 400]]) await pool.query("INSERT INTO tenants (tenant_id, name, status, settings) VALUES ($1, 'n', 'active', jsonb_build_object('retention', jsonb_build_object('days', $2::int)))", [tenant_id, days]);
    const aged = (tenant_id: string, days: number) => ({ ...event(`d${days}`, { accepted_at_ms: daysAgo(days), completed_at_ms: daysAgo(days) }), tenant_id });
    await makeAuditWriter(pool).write(rows(aged("brief", 8), aged("brief", 6), aged("long", 399), aged("long", 401)));
    expect(await deleteOld(pool, 90, new AbortController().signal)).toBe(2);
    expect((await pool.query("SELECT request_id FROM requests WHERE tenant_id IN ('brief', 'long') ORDER BY 1")).rows).toEqual([{ request_id: "d399" }, { request_id: "d6" }]);
  });

  it("deletes batches with their lines, also what was never started, and nothing of one that runs", async () => {
    for (const [batch_id, status, created, finished] of [["ended", "completed", 400, 91], ["late", "completed", 400, 89], ["open", "open", 91, null], ["runs", "running", 400, null]]) {
      await pool.query("INSERT INTO batches (tenant_id, batch_id, status, defaults, created_at, finished_at) VALUES ('t', $1, $2, '{}', now() - make_interval(days => $3), now() - make_interval(days => $4))", [batch_id, status, created, finished]);
      await pool.query("INSERT INTO batch_items (tenant_id, batch_id, line, fingerprint) SELECT 't', $1, line, '' FROM generate_series(1, 3) AS line", [batch_id]);
    }
    expect(await deleteOld(pool, 90, new AbortController().signal)).toBe(2 * (1 + 3));
    const left = async (table: string) => (await pool.query<{ batch_id: string }>(`SELECT DISTINCT batch_id FROM ${table} WHERE tenant_id = 't' ORDER BY 1`)).rows.map(({ batch_id }) => batch_id);
    expect([await left("batches"), await left("batch_items")]).toEqual([["late", "runs"], ["late", "runs"]]);
  });

  it("deletes feedback by its own age, whatever became of its request", async () => {
    await pool.query(`INSERT INTO feedback (tenant_id, request_id, source, score, stream_seq, at)
      SELECT 't1', 'r' || days, 'user', 1, days, now() - make_interval(days => days) FROM unnest(ARRAY[1, 89, 91, 400]) AS days`);
    expect(await deleteOld(pool, 90, new AbortController().signal)).toBe(2);
    expect((await pool.query("SELECT request_id FROM feedback ORDER BY stream_seq")).rows).toEqual([{ request_id: "r1" }, { request_id: "r89" }]);
  });

  it("goes on until nothing old is left, in chunks, and stops with its signal", async () => {
    await makeAuditWriter(pool).write(rows(event("o0", { completed_at_ms: daysAgo(100), decisions: [], attempts: [] })));
    await pool.query("ANALYZE requests, attempts"); // a planner that takes it for small
    await pool.query("INSERT INTO requests SELECT r.* FROM generate_series(1, 5000) AS n, LATERAL (SELECT (jsonb_populate_record(q, jsonb_build_object('request_id', 'o' || n))).* FROM requests q WHERE request_id = 'o0') AS r");
    expect(await deleteOld(pool, 90, AbortSignal.abort())).toBe(0);
    expect(await deleteOld(pool, 90, new AbortController().signal)).toBe(5_001);
  });
});
