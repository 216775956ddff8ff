/** Erasure over real NATS, Redis and Postgres: of who was erased no byte is left in any table or key, all others keep theirs, and the books add up. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Redis } from "ioredis";
import { Pool } from "pg";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";

import { callInferctl } from "#infra/cli/callInferctl.ts";
import { erasures as erasuresCheck, judgeErasures } from "#infra/cli/doctor/checks/erasures.ts";
import { openPlace } from "#infra/cli/place.ts";
import { isDrained } from "#infra/embedded/isDrained.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { startTestServer } from "#infra/embedded/testServers.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { cacheKeysOf } from "#shared/cache/answerCache.ts";
import { CacheAudit } from "#shared/contracts/cacheAudit.ts";
import type { Difference } from "#shared/contracts/difference.ts";
import type { ErasureReply } from "#shared/contracts/erasure.ts";
import { type Attempt, Completion, DeadLetter } from "#shared/contracts/events.ts";
import auditFixture from "#shared/contracts/fixtures/cache_audit.v1.json" with { type: "json" };
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import letterFixture from "#shared/contracts/fixtures/dead_letter.v1.json" with { type: "json" };
import shadowFixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/shadow_tier.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { Shadow, ShadowTierEvent } from "#shared/contracts/shadow.ts";
import { TenantSettings } from "#shared/contracts/tenant.ts";
import { TABLES } from "#shared/db/permissions.ts";
import { askErasure, listErasures } from "#shared/erasure/askErasure.ts";
import { countKeys, eraseKeys } from "#shared/erasure/eraseKeys.ts";
import { countRows, ERASED_TABLES, eraseRows } from "#shared/erasure/eraseRows.ts";
import { budgetedAccountsOf } from "#shared/ledger/accounts.ts";
import { type Ledger, makeLedger } from "#shared/ledger/ledger.ts";
import { limitKeysOf } from "#shared/limits/limiter.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";
import { reconcile } from "#shared/reconcile/reconcile.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";
import { subkey } from "#shared/tenancy/keyText.ts";
import { createKey } from "#shared/tenancy/keys.ts";
import { changeTenant, createTenant, readTenant } from "#shared/tenancy/tenants.ts";
import { eraseKeysAsked } from "#router/eraseKeysAsked.ts";
import { auditSink } from "#sinks/audit/auditSink.ts";
import { toRows } from "#sinks/audit/toRows.ts";
import { makeAuditWriter } from "#sinks/audit/writeBatch.ts";

const EVENT = Completion.parse(completionFixture);
const LETTER = DeadLetter.parse(letterFixture);
const log = pino({ level: "silent" });
const ACTOR = { kind: "inferctl" } as const;
const TENANTS = ["acme", "other"] as const;
const USERS = ["ann", "bob"] as const;
/** In every field that may hold what somebody wrote. */
const markOf = (tenant: string, user = "") => `MARK_${tenant}_${user}_`;
const userOf = (tenant: string, user: string) => `u:${markOf(tenant, user)}`;
const idOf = (tenant: string, user: string, n = 1) => `${tenant}-${user}-${n}`;
const budgets = TenantSettings.parse({ budgets: { tenant: { month: { usd: 1_000 } }, user: { day: { usd: 500 } } } }).budgets;

let bus: TestBroker;
let redisServer: Awaited<ReturnType<typeof startTestServer>>;
let redis: Redis;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
let ledger: Ledger;
let sink: Promise<void>;
const stopping = new AbortController();
const never = new AbortController().signal;
const closers: (() => unknown)[] = [];
const folder = mkdtempSync(join(tmpdir(), "infer-erasure-"));
const rights = () => ({ pool, tenantId: null });
const environment = () => ({ NATS_URL: bus.url, DATABASE_URL: database.url, REDIS_URL: redisServer.url, INFER_HOME: folder });
const inferctl = (...args: string[]) => callInferctl(args, environment());

const drained = () => vi.waitFor(async () => {
  for (const [stream, durable] of [["COMPLETIONS", "sink-audit"], ["SHADOWS", "sink-audit-shadows"], ["FEEDBACK", "sink-audit-feedback"], ["DEAD_LETTERS", "sink-audit-dead-letters"]] as const) expect(await isDrained(bus.broker.jsm, stream, durable)).toBe(true);
}, { timeout: 20_000, interval: 20 });
const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

function eventOf(tenant: string, user: string, request_id: string, acceptedAtMs: number): Completion {
  const mark = markOf(tenant, user);
  const [failed, ...others] = EVENT.attempts as [Attempt, ...Attempt[]];
  return {
    ...EVENT, tenant_id: tenant, request_id, user_id: userOf(tenant, user), output: `answer ${mark}`, input: `question ${mark}`, metadata: { note: mark }, webhook: true, decisions: [],
    attempts: [{ ...failed, outcome: { kind: "failed", code: "backend_unavailable", message: mark } }, ...others], accepted_at_ms: acceptedAtMs, completed_at_ms: Date.now(),
  };
}
async function runRequest(tenant: string, user: string, request_id: string): Promise<Completion> {
  const subject = `infer.request.${tenant}.${request_id}`;
  await bus.broker.acks.publish(subject, encode({ user_id: userOf(tenant, user), input: "x", budget: 1, origin: "direct" }));
  const event = eventOf(tenant, user, request_id, (await bus.broker.streams.last("REQUESTS", subject))?.time.getTime() ?? 0);
  await bus.broker.publisher.emit(event, newTraceparent());
  return event;
}
const comment = (tenant: string, user: string, request_id: string) => bus.broker.acks.publish(`infer.feedback.${tenant}.${request_id}`, encode({ score: 1, source: "user", comment: `well done ${markOf(tenant, user)}` }));

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
async function openAccounts(tenant: string, user: string): Promise<void> {
  const reservation = { tenant_id: tenant, request_id: idOf(tenant, user), step: 1, amountNanoUsd: nanoUsd(1_000), leaseEndsAtMs: Date.now() + 3_600_000 };
  for (;;) {
    const reserved = await ledger.reserve(reservation, budgetedAccountsOf(budgets, { tenant_id: tenant, user_id: userOf(tenant, user), key_id: null }, Date.now()));
    if (reserved.kind !== "loading") return;
    await reserved.loaded;
  }
}

async function fillTenant(tenant: string): Promise<void> {
  const mark = markOf(tenant);
  await createTenant(rights(), ACTOR, { tenant_id: tenant, name: `Name ${mark}`, settings: { budgets, retention: { prompts: "stored", days: null } } });
  await createKey(rights(), ACTOR, subkey("s".repeat(32), "api-keys"), tenant, { role: "infer", name: `key ${mark}` });
  await pool.query("INSERT INTO webhook_endpoints (endpoint_id, tenant_id, url, status, secret_sealed) VALUES ($1, $1, $2, 'active', 'sealed')", [tenant, `https://${mark}.example/`]);
  await pool.query("INSERT INTO reconcile_differences (key, part, kind, tenant_id, difference) VALUES ($1, 'p', 'k', $1, $2)", [tenant, JSON.stringify({ says: USERS.map((user) => markOf(tenant, user)) })]);
  await pool.query("INSERT INTO batches (tenant_id, batch_id, name, status, defaults, line_count) VALUES ($1, 'shared', $2, 'finished', '{}', 2)", [tenant, mark]);
  await redis.set(`${limitKeysOf("infer", tenant)}tenant:requests:${tenant}`, "1 1");
}
async function fillUser(tenant: string, user: string, line: number): Promise<void> {
  const [mark, id] = [markOf(tenant, user), idOf(tenant, user)];
  await openAccounts(tenant, user);
  await runRequest(tenant, user, id);
  await comment(tenant, user, id);
  const of = { tenant_id: tenant, request_id: id, at_ms: Date.now() };
  for (const event of [{ ...Shadow.parse(shadowFixture), ...of }, { ...ShadowTierEvent.parse(tierFixture), ...of }, { ...CacheAudit.parse(auditFixture), ...of }]) await bus.broker.publisher.emit(event, newTraceparent());
  await bus.broker.publisher.deadLetter({ ...LETTER, ...of, late_attempt: { ...(LETTER.late_attempt as Attempt), started_at_ms: Date.now() } });
  await pool.query("INSERT INTO batches (tenant_id, batch_id, status, defaults, line_count) VALUES ($1, $2, 'finished', $3, 1)", [tenant, user, JSON.stringify({ user_id: userOf(tenant, user) })]);
  const item = "INSERT INTO batch_items (tenant_id, batch_id, line, fingerprint, request, result) VALUES ($1, $2, $3, 'f', $4, $5)";
  await pool.query(item, [tenant, user, 1, JSON.stringify({ input: mark }), null]);
  await pool.query(item, [tenant, "shared", line, null, JSON.stringify({ request_id: id, output: mark })]);
  await redis.set(`${limitKeysOf("infer", tenant)}user:requests:${userOf(tenant, user)}`, "1 1");
  await redis.set(`${cacheKeysOf("infer", tenant)}${user}`, `answer ${mark}`);
}

beforeAll(async () => {
  [bus, redisServer, database] = await Promise.all([startTestBroker([{ name: "small", slots: 1 }]), startTestServer("redis"), makeTestDatabase(inject("adminDatabaseUrl"), "erasure")]);
  pool = new Pool({ connectionString: database.url, max: 8 });
  redis = connectRedis(redisServer.url, "test", log, { meanwhile: "test", mostWaitMs: 500 });
  await vi.waitFor(() => { expect(redis.status).toBe("ready"); }, { timeout: 10_000, interval: 10 });
  const { created } = await bus.broker.jsm.streams.info("COMPLETIONS");
  ledger = makeLedger({
    redis, prefix: "infer", quietS: 0, endOf: async () => null, outcomeAt: async () => null, observeUnloaded: (error) => { throw error; },
    historiesOf: async (claimed) => claimed.map(() => ({ spentNanoUsd: nanoUsd(0), open: [] })),
    stream: async () => ({ created, lastSeq: (await bus.broker.jsm.streams.info("COMPLETIONS")).state.last_seq }),
  });
  await ledger.begin();
  const config = { natsUrl: bus.url, databaseUrl: database.url, tracing: undefined, prefix: "infer", host: "127.0.0.1", port: 0, retentionDays: 90, ledgerRetentionDays: 400, batchSize: 200, batchDelayMs: 10, reconcileEveryS: 0 };
  for (const tenant of TENANTS) await fillTenant(tenant);
  sink = auditSink.start(config, { log, signal: stopping.signal, onClose: (_name, close) => void closers.push(close), drainMs: 1_000, natsSeed: () => undefined });
  for (const tenant of TENANTS) for (const [i, user] of USERS.entries()) await fillUser(tenant, user, i + 1);
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

/** Tables whose text holds it anywhere, and keys of Redis that do, in their name or value. */
async function found(mark: string): Promise<string[]> {
  const tables = (await pool.query<{ name: string }>("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")).rows.map(({ name }) => name);
  const inTables = await Promise.all(tables.map(async (table) => ((await pool.query(`SELECT 1 FROM "${table}" AS one WHERE one::text LIKE $1 LIMIT 1`, [`%${mark.replaceAll("_", "\\_")}%`])).rowCount === 1 ? [table] : [])));
  const keys = await redis.keys("*");
  const inKeys = await Promise.all(keys.map(async (key) => (`${key} ${JSON.stringify(await valueOf(key))}`.includes(mark) ? [key.replace(/\d{10,}.*/, "")] : [])));
  return [...inTables.flat(), ...inKeys.flat()];
}
async function valueOf(key: string): Promise<unknown> {
  switch (await redis.type(key)) {
    case "string": return redis.get(key);
    case "hash": return redis.hgetall(key);
    case "list": return redis.lrange(key, 0, -1);
    case "set": return redis.smembers(key);
    case "zset": return redis.zrange(key, "0", "-1");
    default: throw new Error(`what is ${key}?`);
  }
}
/** Everything that a tenant has, or that is of one of its users, but for sums. */
async function all(tenant: string, user: string | null = null): Promise<Record<string, unknown>> {
  const ofUser = user === null ? "true" : `one::text LIKE '%${markOf(tenant, user).replaceAll("_", "\\_")}%' OR to_jsonb(one) ->> 'request_id' = '${idOf(tenant, user)}'`;
  const tables = Object.entries(TABLES).filter(([table, { hasTenant }]) => hasTenant && !["erasures", "admin_audit", "reconcile_differences"].includes(table));
  const rows = await Promise.all(tables.map(async ([table]) => [table, (await pool.query<{ row: unknown }>(`SELECT to_jsonb(one) AS row FROM "${table}" AS one WHERE tenant_id = $1 AND (${ofUser}) ORDER BY one::text`, [tenant])).rows]));
  return Object.fromEntries(rows) as Record<string, unknown>;
}
const money = async () => (await pool.query<object>("SELECT tenant_id, tier, kind, sum(cost_nano_usd)::text AS cost, count(*) FROM ledger GROUP BY 1, 2, 3 ORDER BY 1, 2, 3")).rows;
const sums = async () => [(await pool.query<object>("SELECT to_jsonb(one) FROM request_hours AS one ORDER BY one::text")).rows, (await pool.query<object>("SELECT to_jsonb(one) FROM line_hours AS one ORDER BY one::text")).rows];
async function differences(): Promise<Difference[]> {
  const differing: Difference[] = [];
  await reconcile({ jsm: bus.broker.jsm, streams: bus.broker.streams, pool, prefix: "infer", now: () => Date.now() + 600_000 }, {
    days: { auditDays: 90, ledgerDays: 400 }, promised: { defaultDeadlineMs: 30_000, maxDeadlineMs: 300_000, sweepGraceMs: 5_000 }, redis, onDifference: (one) => differing.push(one), onProgress: () => undefined,
  });
  return differing;
}
const erasureOf = async (tenant: string, isWhole: boolean) => {
  const asked = (await listErasures(rights(), tenant)).find(({ reply }) => (reply.subject === null) === isWhole);
  if (asked === undefined) throw new Error("it was not asked for");
  return asked;
};

it("before, every table that is erased has something of each tenant, and every user is found in tables and keys", async () => {
  for (const tenant of TENANTS) {
    const rows = await all(tenant);
    expect(ERASED_TABLES.filter((table) => table in rows && (rows[table] as unknown[]).length === 0)).toEqual([]);
    for (const user of USERS) expect(await found(markOf(tenant, user))).toEqual(expect.arrayContaining(["attempts", "batch_items", "batches", "feedback", "ledger", "ledger_requests", "reconcile_differences", "requests", "webhook_deliveries", `infer:cache:{${tenant}}:${user}`]));
    expect(await found(markOf(tenant))).toEqual(expect.arrayContaining(["admin_audit", "api_keys", "batches", "tenants", "webhook_endpoints"]));
  }
  expect(await differences()).toEqual([]);
});

it("a dry run counts and changes nothing, and nothing is erased without --yes", async () => {
  const before = [await all("acme"), await all("other"), (await redis.keys("*")).sort()];
  const dry = JSON.parse((await inferctl("tenants", "erase", "acme", "--user", userOf("acme", "ann"), "--dry-run", "--json")).printed) as { counts: object };
  expect(dry.counts).toEqual({
    ledger_requests: 1, ledger: 2, feedback: 1, shadows: 1, shadow_tiers: 1, cache_audits: 1, webhook_deliveries: 1, batch_items: 2, batches: 1, reconcile_differences: 1, requests: 1,
    "redis cache": 2, "redis limit": 1, "redis ledger": 1,
  });
  expect((await inferctl("tenants", "erase", "acme")).code).toBe(64);
  expect((await inferctl("tenants", "erase", "acme", "--user", "")).code).toBe(64);
  expect([await all("acme"), await all("other"), (await redis.keys("*")).sort()]).toEqual(before);
  expect(await listErasures(rights())).toEqual([]);
});

describe("of a user who was erased", () => {
  it("no byte is left in Postgres and Redis; all others keep theirs, and the books add up", async () => {
    const [bob, other, paid, hours] = [await all("acme", "bob"), await all("other"), await money(), await sums()];
    expect(await inferctl("tenants", "erase", "acme", "--user", userOf("acme", "ann"), "--yes")).toMatchObject({ code: 0, printed: expect.stringContaining("Keys in Redis are gone.") as string });
    expect(await found(markOf("acme", "ann"))).toEqual([]);
    expect([await all("acme", "bob"), await all("other"), await money(), await sums()]).toEqual([bob, other, paid, hours]);
    expect(await found(markOf("acme", "bob"))).toContain("infer:limit:{acme}:user:requests:u:MARK_acme_bob_");
    expect(await differences()).toEqual([]);
    const { reply, erasure } = await erasureOf("acme", false);
    expect((await pool.query("SELECT DISTINCT user_id FROM ledger_requests WHERE request_id = $1", [idOf("acme", "ann")])).rows).toEqual([{ user_id: reply.subject }]);
    expect([await countRows(pool, erasure), await countKeys(redis, "infer", erasure, never)]).toEqual([{}, {}]);
    const { changes } = JSON.parse((await inferctl("tenants", "history", "acme", "--json")).printed) as { changes: { action: string; object: string }[] };
    expect(changes[0]).toMatchObject({ action: "erasure.ask", object: reply.subject });
  });

  it("an event that is read again is booked and written nowhere else, and late feedback is not kept", async () => {
    const id = idOf("acme", "ann");
    const stored = await bus.broker.streams.last("COMPLETIONS", `infer.completion.acme.${id}`);
    expect(await makeAuditWriter(pool).write([toRows(Completion.parse(stored?.json()), stored?.seq ?? 0)])).toEqual([{ ok: true }]);
    await comment("acme", "ann", id);
    await drained();
    expect(await found(markOf("acme", "ann"))).toEqual([]);
    expect(await differences()).toEqual([]);
  });

  it("what was accepted after it is served and kept", async () => {
    await runRequest("acme", "ann", idOf("acme", "ann", 2));
    await drained();
    await settle();
    expect((await pool.query<{ output: string }>("SELECT output FROM requests WHERE request_id = $1", [idOf("acme", "ann", 2)])).rows).toEqual([{ output: `answer ${markOf("acme", "ann")}` }]);
    expect(await differences()).toEqual([]);
  });

  it("erasing again takes what came since, under the same name", async () => {
    const { reply: before } = await erasureOf("acme", false);
    expect((await inferctl("tenants", "erase", "acme", "--user", userOf("acme", "ann"), "--yes")).code).toBe(0);
    expect(await found(markOf("acme", "ann"))).toEqual([]);
    const { reply } = await erasureOf("acme", false);
    expect([reply.subject, Date.parse(reply.asked_at) > Date.parse(before.asked_at), reply.counts["requests"]]).toEqual([before.subject, true, 2]);
    expect(await differences()).toEqual([]);
  });

  it("an erasure that was interrupted goes on where it was", async () => {
    const { erasure } = await askErasure(rights(), ACTOR, { tenantId: "other", userId: userOf("other", "bob"), streamsMaxAgeMs: 1_000 });
    const stop = new AbortController();
    const first = await eraseRows(pool, erasure, { signal: stop.signal, onProgress: () => { stop.abort(); } });
    expect(Object.keys(first).length).toBeLessThanOrEqual(1);
    await eraseRows(pool, erasure, { signal: never });
    await eraseKeys(redis, "infer", erasure, never);
    expect([await countRows(pool, erasure), await found(markOf("other", "bob"))]).toEqual([{}, []]);
    expect(await found(markOf("other", "ann"))).toContain("requests");
  });
});

describe("of a tenant that was erased", () => {
  it("no byte is left in Postgres and Redis; it is suspended, all others keep theirs, and the books add up", async () => {
    const [other, paid, hours] = [await all("other"), await money(), await sums()];
    expect((await inferctl("tenants", "erase", "acme", "--yes")).code).toBe(0);
    expect(await found("MARK_acme_")).toEqual([]);
    expect([await all("other"), await money(), await sums()]).toEqual([other, paid, hours]);
    expect(await readTenant(rights(), "acme")).toMatchObject({ status: "suspended", name: "acme", settings: { retention: { prompts: "hashed" } } });
    expect(await differences()).toEqual([]);
    const { erasure } = await erasureOf("acme", true);
    expect([await countRows(pool, erasure), await countKeys(redis, "infer", erasure, never)]).toEqual([{}, {}]);
  });

  it("what was under way is booked, under a name of its own, and written nowhere else", async () => {
    await runRequest("acme", "bob", idOf("acme", "bob", 2));
    await drained();
    await settle();
    expect(await found("MARK_acme_")).toEqual([]);
    expect((await pool.query<{ user_id: string }>("SELECT user_id FROM ledger_requests WHERE tenant_id = 'acme' AND request_id IN ($1, $2)", [idOf("acme", "bob"), idOf("acme", "bob", 2)])).rows.map(({ user_id }) => user_id)).toEqual([expect.stringMatching(/^erased-[0-9a-f]{32}$/), expect.stringMatching(/^erased-[0-9a-f]{32}$/)]);
    expect(await differences()).toEqual([]);
  });

  it("the list says when the streams are clear, and the doctor proves it: 0 rows, 0 keys, and then 0 messages", async () => {
    const { erasures } = JSON.parse((await inferctl("tenants", "erasures", "acme", "--json")).printed) as { erasures: ErasureReply[] };
    const [whole] = erasures.filter(({ subject }) => subject === null);
    if (whole === undefined) throw new Error("it is not in the list");
    const DAY_MS = 86_400_000;
    expect(Date.parse(whole.streams_clear_at) - Date.parse(whole.covers_until)).toBeGreaterThanOrEqual(30 * DAY_MS); // FEEDBACK, which keeps its messages for the longest
    expect([whole.rows_done_at, whole.keys_done_at]).toEqual([expect.any(String), expect.any(String)]);
    const { state } = await bus.broker.jsm.streams.info("COMPLETIONS");
    const oldest = new Map([["COMPLETIONS", Date.parse(state.first_ts)]]);
    const judged = (over: object, nowMs: number, left = {}) => judgeErasures({ erasures: [{ reply: { ...whole, ...over }, left }], oldest, nowMs }).map(({ level }) => level);
    const clearAt = Date.parse(whole.streams_clear_at);
    expect([judged({}, clearAt - 1), judged({}, clearAt + 1), judged({ covers_until: new Date(0).toISOString() }, clearAt + 1)]).toEqual([["ok"], ["problem"], ["ok"]]);
    expect([judged({}, Date.now(), { requests: 1 }), judged({}, clearAt - 1, { requests: 1 }), judged({ rows_done_at: null }, Date.now()), judged({ rows_done_at: null }, clearAt - 1)]).toEqual([["warning"], ["problem"], ["warning"], ["problem"]]);
  });
});

it("what is only asked for, as a gateway does, is done by an audit sink and then a router, with their own rights", async () => {
  eraseKeysAsked({ databaseUrl: database.url, redisUrl: redisServer.url, prefix: "infer" }, { log, signal: stopping.signal, onClose: (_name, close) => void closers.push(close) });
  await askErasure(rights(), ACTOR, { tenantId: "other", userId: userOf("other", "ann"), streamsMaxAgeMs: 1_000 });
  await vi.waitFor(async () => {
    const all = await listErasures(rights(), "other");
    expect(all.map(({ reply: { rows_done_at, keys_done_at } }) => rows_done_at !== null && keys_done_at !== null)).toEqual([true, true]);
  }, { timeout: 60_000, interval: 100 });
  expect(await found(markOf("other", "ann"))).toEqual([]);
  expect(await found(markOf("other"))).toContain("tenants");
  expect(await differences()).toEqual([]);
});

it("the doctor looks at all of it, and sees a row that is left", async () => {
  const place = openPlace(environment());
  try {
    expect(await erasuresCheck.run(place)).toMatchObject([{ level: "ok", what: expect.stringMatching(/^4 done: no row and no key is left/) as string }]);
    const { erasure } = await erasureOf("other", false);
    await pool.query("INSERT INTO feedback (tenant_id, request_id, source, score, stream_seq, at) VALUES ('other', $1, 'late', 1, 1000, now())", [idOf("other", "ann")]);
    expect(await erasuresCheck.run(place)).toMatchObject([{ level: "warning", what: expect.stringContaining("feedback (1)") as string }]);
    await eraseRows(pool, erasure, { signal: never });
    expect(await erasuresCheck.run(place)).toMatchObject([{ level: "ok" }]);
  } finally {
    await place.close();
  }
});

it("of a tenant that has answers hashed, rows keep the hash alone, and all else", async () => {
  await changeTenant(rights(), ACTOR, "other", () => ({ settings: { retention: { prompts: "hashed", outputs: "hashed", days: null } } }));
  const id = idOf("other", "ann", 2);
  await runRequest("other", "ann", id);
  await drained();
  expect((await pool.query("SELECT outcome, output, output_sha256 FROM requests WHERE request_id = $1", [id])).rows).toEqual([{ outcome: "completed", output: null, output_sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string }]);
});
