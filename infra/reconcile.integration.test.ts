/** Reconciliation over real NATS, Redis and Postgres: a clean run of everything agrees, and each thing that is then made wrong is found, by its name and alone. */
import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Redis } from "ioredis";
import { pino } from "pino";
import { Registry } from "prom-client";
import { Pool } from "pg";
import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";

import { callInferctl } from "#infra/cli/callInferctl.ts";
import { isDrained } from "#infra/embedded/isDrained.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { startTestServer } from "#infra/embedded/testServers.ts";
import { makeTestDatabase, pastTriggers } from "#infra/testDatabase.ts";
import { type Difference, DifferenceKind } from "#shared/contracts/difference.ts";
import { type Attempt, Completion, DeadLetter, type Outcome } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import letterFixture from "#shared/contracts/fixtures/dead_letter.v1.json" with { type: "json" };
import shadowFixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { Shadow } from "#shared/contracts/shadow.ts";
import { TenantSettings } from "#shared/contracts/tenant.ts";
import { budgetedAccountsOf } from "#shared/ledger/accounts.ts";
import { type Ledger, makeLedger } from "#shared/ledger/ledger.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";
import { keepReconciled, makeRuns } from "#shared/reconcile/keepReconciled.ts";
import { countersPart, loneLinesPart, outcomesPart, ownLinesPart, requestsPart } from "#shared/reconcile/parts.ts";
import type { Places } from "#shared/reconcile/places.ts";
import { reconcile } from "#shared/reconcile/reconcile.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";
import { auditSink } from "#sinks/audit/auditSink.ts";

const EVENT = Completion.parse(completionFixture);
const SHADOW = Shadow.parse(shadowFixture);
const LETTER = DeadLetter.parse(letterFixture);
const [FREE, ATTEMPT] = EVENT.attempts as [Attempt, Attempt];
const log = pino({ level: "silent" });
/** With budgets: what its lines say is also what its counters are held against. */
const TENANT = "t1";
const FREE_TENANT = "free";
const COUNT = 320;
const days = { auditDays: 90, ledgerDays: 400 };
const promised = { defaultDeadlineMs: 30_000, maxDeadlineMs: 300_000, sweepGraceMs: 5_000 };
/** Everything that is under way has had its time, by then. */
const later = () => Date.now() + 600_000;

let bus: TestBroker;
let redisServer: Awaited<ReturnType<typeof startTestServer>>;
let redis: Redis;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
let places: Places;
let ledger: Ledger;
const stopping = new AbortController();
const closers: (() => unknown)[] = [];
let sink: Promise<void>;
const folder = mkdtempSync(join(tmpdir(), "infer-reconcile-"));
let environment: Record<string, string>;

const budgets = TenantSettings.parse({ budgets: { tenant: { month: { usd: 1_000 } }, user: { day: { usd: 500 } } } }).budgets;
const spender = { tenant_id: TENANT, user_id: "u:1", key_id: null };

const check = { kind: "self_verification" as const, usage: null, cost_nano_usd: nanoUsd(4_000), latency_ms: 1, error_code: null };
const paid = (cost: number, over: Partial<Attempt> = {}): Attempt => ({ ...ATTEMPT, cost_nano_usd: nanoUsd(cost), ...over });
/** Of every kind that there is, in turn. */
const KINDS: readonly ((i: number) => { readonly outcome: Outcome; readonly attempts: readonly Attempt[]; readonly isCached?: true })[] = [
  (i) => ({ outcome: "completed", attempts: [paid(10_000 + i)] }),
  (i) => ({ outcome: "completed", attempts: [paid(10_000 + i, { checks: [check] }), paid(90_000, { attempt: 3 })] }),
  () => ({ outcome: "completed", attempts: [], isCached: true }),
  (i) => ({ outcome: "failed", attempts: [paid(500 + i, { outcome: { kind: "failed", code: "backend_unavailable", message: "x" } }), FREE] }),
  () => ({ outcome: "rejected", attempts: [] }),
  (i) => ({ outcome: "degraded", attempts: [paid(700 + i)] }),
];
function eventOf(request_id: string, i: number, acceptedAtMs: number): { readonly event: Completion } {
  const { outcome, attempts, isCached = false } = (KINDS[i % KINDS.length] as (typeof KINDS)[number])(i);
  const cost_nano_usd = nanoUsd(attempts.reduce((sum, one) => sum + one.cost_nano_usd, 0));
  const event: Completion = {
    ...EVENT, tenant_id: TENANT, request_id, user_id: "u:1", outcome, attempts: [...attempts], decisions: [], cost_nano_usd, accepted_at_ms: acceptedAtMs, completed_at_ms: Date.now(),
    ...(isCached ? { cache: { kind: "exact" as const, stored_at_ms: 1, age_ms: 1, source_request_id: "first" } } : {}),
  };
  return { event };
}
const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const ask = async (request_id: string, over: object = {}, tenant = TENANT): Promise<number> => {
  await bus.broker.acks.publish(`infer.request.${tenant}.${request_id}`, encode({ user_id: "u:1", input: "x", budget: 1, origin: "direct", ...over }));
  return (await bus.broker.streams.last("REQUESTS", `infer.request.${tenant}.${request_id}`))?.time.getTime() ?? 0;
};
async function runRequest(request_id: string, i: number, tenant = TENANT): Promise<void> {
  const isFromCache = i % KINDS.length === 2;
  const acceptedAtMs = isFromCache ? Date.now() : await ask(request_id, {}, tenant);
  const { event } = eventOf(request_id, i, acceptedAtMs);
  await bus.broker.publisher.emit({ ...event, tenant_id: tenant }, newTraceparent(), { isWithoutRequest: isFromCache });
}
const drained = () => vi.waitFor(async () => {
  for (const [stream, durable] of [["COMPLETIONS", "sink-audit"], ["SHADOWS", "sink-audit-shadows"], ["DEAD_LETTERS", "sink-audit-dead-letters"]] as const) expect(await isDrained(bus.broker.jsm, stream, durable)).toBe(true);
}, { timeout: 20_000, interval: 20 });
/** As routers do it. */
async function settle(): Promise<void> {
  const after = await ledger.begin();
  const { state } = await bus.broker.jsm.streams.info("COMPLETIONS");
  const outcomes = [];
  for (let seq = after + 1; seq <= state.last_seq; seq++) {
    const { tenant_id, request_id, user_id, key_id = null, cost_nano_usd, accepted_at_ms } = Completion.parse((await bus.broker.streams.bySequence("COMPLETIONS", seq))?.json());
    outcomes.push({ tenant_id, request_id, costNanoUsd: cost_nano_usd, spentBy: { user_id, key_id, acceptedAtMs: accepted_at_ms } });
  }
  await ledger.settle(outcomes, { after, upTo: state.last_seq });
}
async function reserve(request_id: string): Promise<void> {
  const reservation = { tenant_id: TENANT, request_id, step: 1, amountNanoUsd: nanoUsd(1_000), leaseEndsAtMs: Date.now() + 3_600_000 };
  for (;;) {
    const reserved = await ledger.reserve(reservation, budgetedAccountsOf(budgets, spender, Date.now()));
    if (reserved.kind !== "loading") return;
    await reserved.loaded;
  }
}

beforeAll(async () => {
  bus = await startTestBroker([{ name: "small", slots: 1 }]);
  redisServer = await startTestServer("redis");
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "reconcile");
  pool = new Pool({ connectionString: database.url, max: 8 });
  redis = connectRedis(redisServer.url, "test", log, { meanwhile: "test", mostWaitMs: 500 });
  await vi.waitFor(() => { expect(redis.status).toBe("ready"); }, { timeout: 10_000, interval: 10 });
  places = { jsm: bus.broker.jsm, streams: bus.broker.streams, pool, prefix: "infer", now: later };
  environment = { NATS_URL: bus.url, DATABASE_URL: database.url, REDIS_URL: redisServer.url, INFER_HOME: folder };
  const { created } = await bus.broker.jsm.streams.info("COMPLETIONS");
  ledger = makeLedger({
    redis, prefix: "infer", quietS: 0, endOf: async () => null, outcomeAt: async () => null, observeUnloaded: (error) => { throw error; },
    historiesOf: async (claimed) => claimed.map(() => ({ spentNanoUsd: nanoUsd(0), open: [] })),
    stream: async () => ({ created, lastSeq: (await bus.broker.jsm.streams.info("COMPLETIONS")).state.last_seq }),
  });
  await ledger.begin();
  await reserve("first");
  const config = { natsUrl: bus.url, databaseUrl: database.url, tracing: undefined, prefix: "infer", host: "127.0.0.1", port: 0, retentionDays: 90, ledgerRetentionDays: 400, batchSize: 200, batchDelayMs: 10, reconcileEveryS: 0 };
  sink = auditSink.start(config, { log, signal: stopping.signal, onClose: (_name, close) => void closers.push(close), drainMs: 1_000, natsSeed: () => undefined });
  await runRequest("first", 0);
  await runRequest("free-1", 1, FREE_TENANT);
  for (let i = 0; i < COUNT; i += 20) await Promise.all(Array.from({ length: 20 }, (_, j) => runRequest(`r-${i + j}`, i + j)));
  for (let i = 0; i < 20; i++) await bus.broker.publisher.emit({ ...SHADOW, tenant_id: TENANT, request_id: `r-${6 * i}`, at_ms: Date.now() }, newTraceparent());
  for (let i = 0; i < 5; i++) await bus.broker.publisher.deadLetter({ ...LETTER, tenant_id: TENANT, request_id: `r-${6 * i}`, late_attempt: { ...(LETTER.late_attempt as Attempt), started_at_ms: Date.now() - i } });
  await drained();
  await settle();
}, 60_000);
afterAll(async () => {
  stopping.abort();
  await sink;
  for (const close of closers.reverse()) await close();
  redis.disconnect();
  await pool.end();
  await Promise.all([bus.remove(), redisServer.remove()]);
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

async function all(over: Partial<Parameters<typeof reconcile>[1]> = {}) {
  const differences: Difference[] = [];
  const found = await reconcile(places, { days, promised, redis, onDifference: (one) => differences.push(one), onProgress: () => undefined, ...over });
  return { found, differences, kinds: differences.map(({ kind, request_id }) => [kind, request_id]) };
}

it("a clean run of all kinds of outcome, shadows and late runs has no difference, and all sums agree", async () => {
  const { found, differences } = await all();
  expect(differences).toEqual([]);
  const { outcomes, counters, own, requests } = found;
  expect(outcomes).toMatchObject({ outcomes: COUNT + 2, audited: COUNT + 2, booked: COUNT + 2 });
  expect([outcomes.auditCost, outcomes.ledgerCost]).toEqual([outcomes.completionsCost, outcomes.completionsCost]);
  expect(outcomes.completionsCost).toBeGreaterThan(0n);
  expect(requests).toEqual({ count: COUNT + 2 - Math.ceil((COUNT - 2) / 6), pending: 0 });
  expect([own.SHADOWS.lines, own.DEAD_LETTERS.lines]).toEqual([20, 5]);
  const spent = (await all({ tenantId: TENANT })).found.outcomes.completionsCost;
  expect(counters).toMatchObject({ counters: 2, reservations: 0, pending: 0, redis: 2n * spent, history: 2n * spent, hasMore: false });
});

it("is of a window of time, and of one tenant, where that is asked", async () => {
  expect((await all({ tenantId: "other" })).found).toMatchObject({ outcomes: { outcomes: 0 }, requests: { count: 0 }, counters: { counters: 0 } });
  expect((await all({ toMs: Date.now() - 3_600_000 })).found).toMatchObject({ outcomes: { outcomes: 0 }, notAudited: 0 });
  const middle = (await bus.broker.streams.bySequence("COMPLETIONS", 101))?.time.getTime() ?? 0;
  const [before, after] = [(await all({ toMs: middle })).found.outcomes.outcomes, (await all({ fromMs: middle })).found.outcomes.outcomes];
  expect(before + after).toBe(COUNT + 2);
  expect(before).toBeLessThan(101);
});

type Undo = () => Promise<unknown>;
const put = (table: string, rows: readonly object[]) => pool.query(`INSERT INTO ${table} SELECT * FROM jsonb_populate_recordset(NULL::${table}, $1::jsonb)`, [JSON.stringify(rows)]);
/** Takes rows away. */
async function take(table: string, where: string): Promise<Undo> {
  const { rows } = await pastTriggers<{ row: object }>(pool, `DELETE FROM ${table} AS one WHERE ${where} RETURNING to_jsonb(one) AS row`);
  expect(rows.length).toBeGreaterThan(0);
  return () => put(table, rows.map(({ row }) => row));
}
async function copy(table: string, where: string, change: object): Promise<Undo> {
  const { rows } = await pool.query<{ row: object }>(`SELECT to_jsonb(one) || $1 AS row FROM ${table} AS one WHERE ${where} LIMIT 1`, [JSON.stringify(change)]);
  expect(rows).toHaveLength(1);
  await put(table, rows.map(({ row }) => row));
  const wanted = Object.entries(change as Record<string, unknown>);
  return () => pastTriggers(pool, `DELETE FROM ${table} WHERE ${wanted.map(([column], i) => `${column} = $${i + 1}`).join(" AND ")}`, wanted.map(([, value]) => value));
}
async function update(table: string, where: string, column: string): Promise<Undo> {
  expect((await pastTriggers(pool, `UPDATE ${table} SET ${column} = ${column} + 1 WHERE ${where}`)).rowCount).toBe(1);
  return () => pastTriggers(pool, `UPDATE ${table} SET ${column} = ${column} - 1 WHERE ${where}`);
}
const account = async () => (await redis.keys("*:account:tenant:*"))[0] ?? "";

const PLANTS: readonly (readonly [kind: DifferenceKind, what: string, request: string | null, plant: () => Promise<Undo>])[] = [
  ["outcome_not_audited", "an outcome of which nothing was written", "free-1", async () => {
    const undo = [await take("requests", "request_id = 'free-1'"), await take("attempts", "request_id = 'free-1'"), await take("ledger_requests", "request_id = 'free-1'"), await take("ledger", "request_id = 'free-1' AND stream = 'COMPLETIONS'")];
    return () => Promise.all(undo.map((one) => one()));
  }],
  ["outcome_not_audited", "a row of the audit that was deleted", "r-7", () => take("requests", "request_id = 'r-7'")],
  ["audit_differs", "a cost that was changed", "r-7", () => update("requests", "request_id = 'r-7'", "cost_nano_usd")],
  ["audit_without_outcome", "a row at the place of another outcome", "ghost", () => copy("requests", "request_id = 'r-7'", { request_id: "ghost" })],
  ["audit_without_outcome", "a row of an outcome that NATS has lost", "ghost", () => copy("requests", "request_id = 'r-7'", { request_id: "ghost", stream_seq: 1_000_000 })],
  ["attempts_differ", "an attempt that cost something else", "r-7", () => update("attempts", "request_id = 'r-7' AND attempt = 3", "cost_nano_usd")],
  ["attempts_differ", "an attempt that is gone", "r-7", () => take("attempts", "request_id = 'r-7' AND attempt = 3")],
  ["outcome_not_booked", "a request that is not in the books", "r-7", () => take("ledger_requests", "request_id = 'r-7'")],
  ["attempt_without_line", "a line that is gone", "free-1", () => take("ledger", "request_id = 'free-1' AND kind = 'verification'")],
  ["line_differs", "a line with another amount", "free-1", () => update("ledger", "request_id = 'free-1' AND kind = 'verification'", "cost_nano_usd")],
  ["line_without_attempt", "a line too many", "free-1", () => copy("ledger", "request_id = 'free-1' AND kind = 'attempt'", { request_id: "free-1", part: "9" })],
  ["line_without_request", "a line of nobody's request", "nobody", () => copy("ledger", "request_id = 'free-1' AND kind = 'attempt'", { request_id: "nobody" })],
  ["own_call_without_line", "a shadow's line that is gone", "r-12", () => take("ledger", "request_id = 'r-12' AND kind = 'shadow'")],
  ["late_run_without_line", "a late run's line that is gone", "r-12", () => take("ledger", "request_id = 'r-12' AND kind = 'waste'")],
  ["line_differs", "a late run's line with another amount", "r-12", () => update("ledger", "request_id = 'r-12' AND kind = 'waste'", "cost_nano_usd")],
  ["counter_differs", "a counter that was changed", null, async () => {
    const key = await account();
    await redis.hincrby(key, "spent", 1);
    return () => redis.hincrby(key, "spent", -1);
  }],
  ["reservation_left", "money that is held for what ended", "r-7", async () => {
    await reserve("r-7");
    return () => ledger.expire(Date.now() + 7_200_000);
  }],
  ["request_without_outcome", "a request without an outcome", "open", async () => {
    const acceptedAtMs = await ask("open", { deadline_ms: 1_000 });
    return async () => {
      await bus.broker.publisher.emit(eventOf("open", 0, acceptedAtMs).event, newTraceparent());
      await drained();
      await settle();
    };
  }],
];

describe("what is made wrong is found, and nothing else:", () => {
  it.each(PLANTS)("%s: %s", async (kind, _what, request, plant) => {
    const undo = await plant();
    const { kinds, differences } = await all();
    await undo();
    expect(kinds).toEqual([[kind, request]]);
    expect(differences[0]?.meaning).toMatch(/\./);
    expect((await all()).kinds).toEqual([]);
  });

  it("a line that is wrong shows in the counters of a tenant with budgets, too", async () => {
    const undo = await update("ledger", "request_id = 'r-7' AND kind = 'verification'", "cost_nano_usd");
    const { kinds } = await all();
    await undo();
    expect(kinds).toEqual([["line_differs", "r-7"], ["counter_differs", null], ["counter_differs", null]]);
  });

  it("pending: what is under way, or not written or booked yet, is no difference", async () => {
    await ask("under-way", { deadline_ms: 300_000 });
    await reserve("under-way");
    places = { ...places, now: Date.now };
    const { kinds, found } = await all();
    expect(kinds).toEqual([]);
    expect([found.requests.pending, found.counters.reservations]).toEqual([1, 1]);
    places = { ...places, now: later };
    await runRequest("under-way", 0); // refused as a duplicate by REQUESTS: it is the same request
    await drained();
    const unbooked = await all(); // nobody has settled it
    expect(unbooked.kinds).toEqual([]);
    await settle();
    expect((await all()).kinds).toEqual([]);
  });
});

describe("on a schedule", () => {
  let atMs = Date.now();
  const sinkParts = () => [outcomesPart(places, days), ownLinesPart(places, days, "SHADOWS"), ownLinesPart(places, days, "DEAD_LETTERS"), loneLinesPart(places)];
  const runner = (parts = sinkParts(), role = "audit-sink") => {
    const registry = new Registry();
    const options = { role, pool, parts, everyS: 300, registry, log, signal: stopping.signal, now: () => atMs };
    const value = async (name: string, label = "") => Number(new RegExp(`^${name}${label === "" ? "" : `\\{[^}]*"${label}"[^}]*\\}`} (\\S+)$`, "m").exec(await registry.metrics())?.[1]);
    return { run: makeRuns(options), value };
  };
  const next = () => { atMs += 300_000; };

  it("one of several sinks runs each part, and all of them say the same", async () => {
    const sinks = [runner(), runner(), runner()];
    const ran = (await Promise.all(sinks.map(({ run }) => run()))).flat().sort();
    expect(ran).toEqual(["completions", "dead_letters", "lone_lines", "outcomes", "shadows"].filter((name) => name !== "completions"));
    expect((await Promise.all(sinks.map(({ run }) => run()))).flat()).toEqual([]); // it was just run
    for (const { value } of sinks) {
      expect(await value("infer_reconcile_last_success_timestamp_seconds")).toBeGreaterThan(Date.now() / 1_000 - 60);
      expect([await value("infer_reconcile_differences", "audit_differs"), await value("infer_reconcile_behind", "outcomes")]).toEqual([0, 0]);
    }
    const checked = await Promise.all(sinks.map(({ value }) => value("infer_reconcile_checked_total", "outcomes").then((count) => (Number.isNaN(count) ? 0 : count))));
    expect(checked.reduce((sum, count) => sum + count, 0)).toBe((await bus.broker.jsm.streams.info("COMPLETIONS")).state.last_seq);
  });

  it("looks only at what is new, and again at what was open until it is gone", async () => {
    const [one, other] = [runner(), runner()];
    const undo = await update("requests", "request_id = 'r-7'", "cost_nano_usd");
    next();
    await one.run();
    expect(await one.value("infer_reconcile_differences", "audit_differs")).toBe(0); // it was looked at before
    await undo();
    await runRequest("new-1", 1);
    await drained();
    await settle();
    const [cost, line] = [await update("requests", "request_id = 'new-1'", "cost_nano_usd"), await copy("ledger", "request_id = 'r-7' AND kind = 'attempt'", { request_id: "nobody" })];
    next();
    expect(await one.run()).toHaveLength(4);
    expect([await one.value("infer_reconcile_differences", "audit_differs"), await one.value("infer_reconcile_differences", "line_without_request")]).toEqual([1, 1]);
    await other.run();
    expect(await other.value("infer_reconcile_differences", "audit_differs")).toBe(1);
    expect((await pool.query("SELECT kind, tenant_id, request_id, difference -> 'says' ->> 'audit_nano_usd' AS audit FROM reconcile_differences ORDER BY kind")).rows).toMatchObject([{ kind: "audit_differs", request_id: "new-1" }, { kind: "line_without_request", request_id: "nobody" }]);
    next();
    await other.run();
    expect(await other.value("infer_reconcile_differences", "audit_differs")).toBe(1);
    await cost();
    await line();
    next();
    await one.run();
    expect([await one.value("infer_reconcile_differences", "audit_differs"), await one.value("infer_reconcile_differences", "line_without_request")]).toEqual([0, 0]);
    expect((await pool.query("SELECT 1 FROM reconcile_differences")).rowCount).toBe(0);
  });

  it("routers find requests without an outcome and counters that differ, until they do not any more", async () => {
    const router = runner([requestsPart(places, promised), countersPart(places, redis)], "router");
    const key = await account();
    await redis.hincrby(key, "spent", 5);
    const acceptedAtMs = await ask("open-2", { deadline_ms: 1_000 });
    expect(await router.run()).toEqual(["requests", "counters"]);
    const shown = async () => [await router.value("infer_reconcile_differences", "request_without_outcome"), await router.value("infer_reconcile_differences", "counter_differs")];
    expect(await shown()).toEqual([1, 1]);
    await redis.hincrby(key, "spent", -5);
    next();
    await router.run();
    expect(await shown()).toEqual([1, 0]);
    await bus.broker.publisher.emit(eventOf("open-2", 0, acceptedAtMs).event, newTraceparent());
    await drained();
    await settle();
    next();
    await router.run();
    expect(await shown()).toEqual([0, 0]);
  });

  it("an outage is no success, and the next run goes on", async () => {
    const { run, value } = runner([{ name: "broken", run: () => Promise.reject(new Error("away")) }], "broken");
    expect(await run()).toEqual([]);
    expect(await value("infer_reconcile_last_success_timestamp_seconds")).toBe(0);
  });

  it("a period of 0 is never", () => {
    const registry = new Registry();
    keepReconciled({ role: "audit-sink", pool, parts: [], everyS: 0, registry, log, signal: stopping.signal, now: () => atMs });
    expect(registry.getMetricsAsArray()).toEqual([]);
  });
});

describe("inferctl reconcile", () => {
  const inferctl = (...args: string[]) => callInferctl(["reconcile", ...args], environment);
  const day = () => new Date().toISOString().slice(0, 10);

  it("prints a table and ends with 0 when all agree", async () => {
    const { code, printed, errors } = await inferctl();
    expect([code, errors]).toEqual([0, ""]);
    expect(printed).toMatch(/^COMPLETIONS: outcomes +\d+ +0\.\d{6} +0$/m);
    expect(printed).toMatch(/No difference\.$/);
  });

  it("ends with 1 and names each difference, for people and for programs", async () => {
    const undo = await update("requests", "request_id = 'r-7'", "cost_nano_usd");
    const [people, programs] = [await inferctl(), await inferctl("--json")];
    await undo();
    expect([people.code, programs.code]).toEqual([1, 1]);
    expect(people.printed).toMatch(/^1 difference:\n\naudit_differs \(1\): The row was changed.*\n {2}t1\/r-7 {2}COMPLETIONS \d+ {2}.*audit_nano_usd=\d+/m);
    const [difference, summary] = programs.printed.split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(difference).toMatchObject({ kind: "audit_differs", tenant_id: "t1", request_id: "r-7" });
    expect(summary).toMatchObject({ summary: { differences: { audit_differs: 1 } } });
  });

  it("holds the ledger against a bill, by day and model, with a tolerance that it prints", async () => {
    const { rows } = await pool.query<{ day: string; model: string; cost: string }>("SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, model, (sum(cost_nano_usd) / 1e9)::text AS cost FROM ledger GROUP BY 1, 2 ORDER BY 2");
    const file = join(folder, "bill.csv");
    const write = (factor: string) => { writeFileSync(file, ["date,model,cost_usd,note", ...rows.map(({ day: on, model, cost }) => `${on},${model},${factor === "" ? cost : String(Number(cost) * Number(factor))},x`)].join("\n")); };
    write("");
    const same = await inferctl("--bill", file, "--tolerance", "0");
    expect([same.code, same.errors]).toEqual([0, ""]);
    write("1.004");
    expect(await inferctl("--bill", file)).toMatchObject({ code: 0, printed: expect.stringContaining("Tolerance of the bill: 0.5%") as string });
    const strict = await inferctl("--bill", file, "--tolerance", "0.1%", "--json");
    expect(strict.code).toBe(1);
    const kinds = strict.printed.split("\n").slice(0, -1).map((line) => (JSON.parse(line) as Difference).kind);
    expect(kinds).toEqual(rows.map(() => "bill_differs"));
    writeFileSync(file, `date,model,cost_usd\n${day()},m,1\n${day()},m,one`);
    expect(await inferctl("--bill", file)).toMatchObject({ code: 64, errors: expect.stringMatching(/line 3: cost_usd: must be an amount/) as string });
    expect((await inferctl("--bill", join(folder, "none.csv"))).code).toBe(64);
  });

  it.each([[["--from", "yesterday"], /from: must be a day/], [["--from", "2026-11-02", "--to", "2026-11-01"], /must be after/], [["--tolerance", "0.5%"], /is of a --bill/], [["--bill", "x", "--tolerance", "much"], /must be a share/], [["--bill", "x", "--tenant", "t1"], /exclude each other/], [["--tenant", "a.b"], /no id of a tenant/]])("%j is refused", async (args, message) => {
    const { code, errors } = await inferctl(...args);
    expect([code, errors]).toEqual([64, expect.stringMatching(message) as string]);
  });

  it.each([["NATS_URL", "nats://127.0.0.1:9", /NATS/], ["DATABASE_URL", "postgresql://127.0.0.1:9/x", /tenants cannot be read/], ["REDIS_URL", "redis://127.0.0.1:9", /Redis/]])("ends with 69 when %s cannot be reached", async (variable, url, message) => {
    const { code, errors } = await callInferctl(["reconcile"], { ...environment, [variable]: url });
    expect([code, errors]).toEqual([69, expect.stringMatching(message) as string]);
  });
});

describe("ids that were used twice", () => {
  it("id_used_again: the audit has an outcome that COMPLETIONS has forgotten", async () => {
    const [at, event] = ["2020-01-01T00:00:00Z", "again"];
    await copy("requests", "request_id = 'r-7'", { request_id: event, accepted_at: at, completed_at: at, stream_seq: 5 });
    await runRequest(event, 0);
    await drained();
    await settle();
    expect((await all()).kinds).toEqual([["id_used_again", "again"]]);
    await pastTriggers(pool, "DELETE FROM requests WHERE request_id = 'again'");
    expect((await all()).kinds).toEqual([["outcome_not_audited", "again"]]);
  });

  it("second_outcome: COMPLETIONS let another one in", async () => {
    const { config } = await bus.broker.jsm.streams.info("COMPLETIONS");
    await bus.broker.jsm.streams.update("COMPLETIONS", { ...config, max_msgs_per_subject: -1, discard_new_per_subject: false });
    const { event } = eventOf("r-7", 1, Date.now());
    await bus.broker.acks.publish("infer.completion.t1.r-7", encode(event));
    await drained();
    await settle();
    expect((await all()).kinds.filter(([, request]) => request !== "again")).toEqual([["second_outcome", "r-7"]]);
  });
});

it("every kind is planted somewhere", () => {
  const planted = new Set<string>([...PLANTS.map(([kind]) => kind), "id_used_again", "second_outcome", "bill_differs"]);
  expect(DifferenceKind.options.filter((kind) => !planted.has(kind))).toEqual([]);
});
