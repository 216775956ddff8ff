/** The books against a real Postgres, and late runs from a real NATS: every paid attempt has one line, whatever is redelivered. */
import { readFileSync } from "node:fs";

import type { NatsConnection } from "@nats-io/transport-node";
import type { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it, vi } from "vitest";

import { isDrained } from "#infra/embedded/isDrained.ts";
import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import { makeTestDatabase, pastTriggers } from "#infra/testDatabase.ts";
import { CacheAudit } from "#shared/contracts/cacheAudit.ts";
import { type Attempt, Completion, DeadLetter } from "#shared/contracts/events.ts";
import auditFixture from "#shared/contracts/fixtures/cache_audit.v1.json" with { type: "json" };
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import letterFixture from "#shared/contracts/fixtures/dead_letter.v1.json" with { type: "json" };
import shadowFixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/shadow_tier.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { Shadow, type ShadowEvent, ShadowTierEvent } from "#shared/contracts/shadow.ts";
import { makePool } from "#shared/db/pool.ts";
import { inTransactionOf } from "#shared/db/transaction.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";

import { drain } from "./drain.ts";
import { lateFeed } from "./lateFeed.ts";
import { deleteOldLines } from "./retention.ts";
import { shadowFeed, toShadowItem } from "./shadowFeed.ts";
import { toRows } from "./toRows.ts";
import { makeCountWaste } from "./wasteMetric.ts";
import { makeAuditWriter } from "./writeBatch.ts";

const COMPLETION = Completion.parse(completionFixture);
const LETTER = DeadLetter.parse(letterFixture);
const LATE = LETTER.late_attempt as Attempt;
const event = (request_id: string, over: Partial<Completion> = {}): Completion => ({ ...COMPLETION, request_id, ...over });
let database: { url: string; drop: () => Promise<void> };
let pool: Pool;

beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "books");
  pool = makePool(database.url, "test", () => undefined);
});
afterEach(async () => { await pastTriggers(pool, "TRUNCATE requests, attempts, shadows, shadow_tiers, cache_audits, ledger, ledger_requests"); });
afterAll(async () => {
  await pool.end();
  await database.drop();
});

interface Booked { readonly kind: string; readonly part: string; readonly cost: number }
const lines = async (request_id: string, tenant = "t1") => (await pool.query<Booked>("SELECT kind, part, cost_nano_usd::float8 AS cost FROM ledger WHERE request_id = $1 AND tenant_id = $2 ORDER BY at, kind, part", [request_id, tenant])).rows;
const booked = async (request_id: string) => (await pool.query("SELECT 1 FROM ledger_requests WHERE request_id = $1", [request_id])).rowCount;
const sum = (of: readonly Booked[]) => of.reduce((total, { cost }) => total + cost, 0);
const check = { kind: "self_verification" as const, usage: null, cost_nano_usd: nanoUsd(4_000), latency_ms: 1, error_code: null };
/** Explored, and verified. */
const RICH = event("rich", {
  attempts: COMPLETION.attempts.map((attempt) => ({ ...attempt, checks: attempt.cost_nano_usd > 4_000 ? [check] : [] })),
  decisions: [{
    after_attempt: 1, policy: "cascade-routing", facts: { at_ms: 0, quotes: [], min_on_time: 0 }, step: { kind: "run", tier: "small", acceptance: null, excluded: {} },
    exploration: { share: 0.1, max_extra_cost_nano_usd: nanoUsd(1), withheld_by: null, greedy: "large", eligible: ["small", "large"], is_explored: true, propensity: 0.05, extra_cost_nano_usd: nanoUsd(0) },
  }],
});
const RICH_LINES = [{ kind: "attempt", part: "3", cost: 261_000 }, { kind: "exploration", part: "2", cost: 26_000 }, { kind: "verification", part: "2", cost: 4_000 }, { kind: "verification", part: "3", cost: 4_000 }];

describe("completions", () => {
  it("are booked with their rows, once, however often and in whatever company they are delivered", async () => {
    const writer = makeAuditWriter(pool);
    await writer.write([toRows(RICH, 1), toRows(event("b"), 2)]);
    await Promise.all([writer.write([toRows(event("c"), 3), toRows(RICH, 1)]), makeAuditWriter(pool).write([toRows(event("b"), 2), toRows(event("d"), 4)])]);
    expect(await lines("rich")).toEqual(RICH_LINES);
    for (const id of ["rich", "b", "c", "d"]) expect([sum(await lines(id)), await booked(id)]).toEqual([COMPLETION.cost_nano_usd, 1]);
  });

  it("are not booked where their rows are refused, and the others of the batch are", async () => {
    await makeAuditWriter(pool).write([toRows(event("a"), 1), toRows(event("bad", { latency_ms: 2 ** 40 }), 2)]);
    expect([sum(await lines("a")), await lines("bad"), await booked("bad")]).toEqual([COMPLETION.cost_nano_usd, [], 0]);
  });

  it("of an id that is used again are booked too: both were paid", async () => {
    const again = event("again", { accepted_at_ms: COMPLETION.accepted_at_ms + 86_400_000, completed_at_ms: COMPLETION.completed_at_ms + 86_400_000 });
    const writer = makeAuditWriter(pool);
    await writer.write([toRows(event("again"), 1)]);
    expect(await writer.write([toRows(again, 2)])).toMatchObject([{ ok: false }]);
    await writer.write([toRows(again, 2)]);
    expect([sum(await lines("again")), await booked("again")]).toEqual([2 * COMPLETION.cost_nano_usd, 2]);
  });

  it("are seen by their tenant alone, and changed by none", async () => {
    await makeAuditWriter(pool).write([toRows(event("mine"), 1), toRows(event("theirs", { tenant_id: "t2" }), 2)]);
    for (const table of ["ledger", "ledger_requests"]) {
      const seen = await inTransactionOf(pool, "t2", async (client) => (await client.query<{ tenant_id: string }>(`SELECT DISTINCT tenant_id FROM ${table}`)).rows);
      expect(seen).toEqual([{ tenant_id: "t2" }]);
      await expect(inTransactionOf(pool, "t2", (client) => client.query(`DELETE FROM ${table}`))).rejects.toThrow(/permission denied/);
    }
  });
});

describe("shadows and audits", () => {
  it("are booked on lines of their own, once", async () => {
    const events: ShadowEvent[] = [{ ...Shadow.parse(shadowFixture), request_id: "s" }, { ...ShadowTierEvent.parse(tierFixture), request_id: "s" }, { ...CacheAudit.parse(auditFixture), request_id: "s" }];
    const { writer } = shadowFeed(pool, new Registry(), "infer");
    const items = events.map((one, i) => toShadowItem(one, i + 1));
    await writer.write(items);
    await writer.write(items);
    const written = await lines("s", items[0]?.row.tenant_id);
    expect(written.map(({ kind }) => kind).sort()).toEqual(["cache_audit", "shadow", "shadow"]);
    expect(sum(written)).toBe(items.reduce((total, { row }) => total + row.cost_nano_usd, 0));
  });
});

it("the migrations book what the audit has as the sink would have", async () => {
  const shadows = [{ ...Shadow.parse(shadowFixture), request_id: "rich" }, { ...ShadowTierEvent.parse(tierFixture), request_id: "rich" }, { ...CacheAudit.parse(auditFixture), request_id: "rich" }];
  await makeAuditWriter(pool).write([toRows(RICH, 1), toRows(event("b"), 2), toRows(event("c", { attempts: [], cost_nano_usd: nanoUsd(0), cache: { kind: "exact", stored_at_ms: 1, age_ms: 1, source_request_id: "b" } }), 3)]);
  await shadowFeed(pool, new Registry(), "infer").writer.write(shadows.map((one, i) => toShadowItem(one, i + 1)));
  const books = async () => [(await pool.query("SELECT * FROM ledger ORDER BY request_id, kind, part")).rows, (await pool.query("SELECT * FROM ledger_requests ORDER BY request_id")).rows];
  const before = await books();
  await pastTriggers(pool, "TRUNCATE ledger, ledger_requests");
  const statementsOf = (migration: string) => readFileSync(new URL(`../../shared/db/migrations/${migration}.sql`, import.meta.url), "utf8").split("--> statement-breakpoint");
  const bookings = statementsOf("0016_books").filter((statement) => /^INSERT INTO/m.test(statement));
  expect(bookings).toHaveLength(6);
  await pool.query("ALTER TABLE ledger DROP COLUMN is_to_answer_tier, DROP COLUMN is_to_answer_model; ALTER TABLE ledger_requests DROP COLUMN paid_nano_usd, DROP COLUMN paid_to_answer_tier_nano_usd, DROP COLUMN paid_to_answer_model_nano_usd; DROP TRIGGER append_only ON ledger; DROP TRIGGER append_only ON ledger_requests; DROP TRIGGER roll_up ON ledger; DROP TRIGGER roll_up ON ledger_requests"); // of later ones
  for (const statement of [...bookings, ...bookings, ...statementsOf("0019_paid_in_requests"), ...statementsOf("0021_console").filter((statement) => /^UPDATE/m.test(statement))]) await pool.query(statement); // to book a second time changes nothing
  expect(await books()).toEqual(before);
});

it("lines are kept for a time of their own, and no tenant's audit retention shortens it", async () => {
  const aged = (request_id: string, days: number) => event(request_id, { accepted_at_ms: Date.now() - days * 86_400_000, completed_at_ms: Date.now() - days * 86_400_000 });
  await makeAuditWriter(pool).write([toRows(aged("old", 401), 1), toRows(aged("kept", 399), 2)]);
  expect(await deleteOldLines(pool, 400, new AbortController().signal)).toBe(2);
  expect([await lines("old"), await booked("old"), sum(await lines("kept")), await booked("kept")]).toEqual([[], 0, COMPLETION.cost_nano_usd, 1]);
});

describe("late runs", () => {
  let server: Awaited<ReturnType<typeof startTestServer>>;
  let nats: NatsConnection;
  let broker: Awaited<ReturnType<typeof brokerOver>>;
  let loop: Promise<void>;
  const registry = new Registry();
  const shutdown = new AbortController();
  beforeAll(async () => {
    server = await startTestServer("nats");
    nats = await connectNats({ url: server.url, name: "test" });
    expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
    await ensureTopology(nats, { prefix: "infer", tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
    broker = await brokerOver(nats, "infer");
    const { tracer } = startTracing(undefined, "test");
    loop = drain(lateFeed(pool, registry, "infer", makeCountWaste(registry)), { ...broker, prefix: "infer", batchSize: 100, batchDelayMs: 20, tracer, log: pino({ level: "silent" }), signal: shutdown.signal, drainMs: 1_000 });
  });
  afterAll(async () => {
    shutdown.abort();
    await loop;
    await nats.close();
    await server.remove();
  });
  const settled = () => vi.waitFor(async () => { expect(await isDrained(broker.jsm, "DEAD_LETTERS", "sink-audit-dead-letters")).toBe(true); }, { timeout: 10_000, interval: 20 });

  it("are booked as waste: each run once, however often it is written about", async () => {
    const letter = (over: Partial<DeadLetter> = {}) => broker.publisher.deadLetter({ ...LETTER, request_id: "late", ...over });
    await letter();
    await letter({ at_ms: LETTER.at_ms + 5, deliveries: 3 }); // the same run: its first letter was acknowledged too late
    await letter({ late_attempt: { ...LATE, started_at_ms: LATE.started_at_ms + 900, cost_nano_usd: nanoUsd(100) } }); // another worker's run of the same job
    await letter({ late_attempt: null, reason: "poison" });
    await settled();
    expect(await lines("late")).toEqual([{ kind: "waste", part: "3 large 480", cost: 265_000 }, { kind: "waste", part: "3 large 480", cost: 100 }]);
    expect((await pool.query("SELECT 1 FROM ledger WHERE is_charged")).rowCount).toBe(0);
    expect(Number(/^infer_waste_cost_usd_total (\S+)$/m.exec(await registry.metrics())?.[1])).toBeCloseTo(0.0005301, 12); // as all of the sink's counters, it counts what is said again
    expect((await registry.metrics()).match(/^infer_dead_letters_total.*$/gm)).toEqual(['infer_dead_letters_total{stream="JOBS",reason="late_result"} 3', 'infer_dead_letters_total{stream="JOBS",reason="poison"} 1']);
  });

  it("of a letter that cannot be read are a dead letter themselves, which ends it", async () => {
    await broker.acks.publish("infer.deadletter.JOBS.t1", new TextEncoder().encode("{}"));
    await broker.acks.publish("infer.deadletter.JOBS.t2", new TextEncoder().encode(JSON.stringify({ ...LETTER, request_id: "forged" })));
    await settled();
    const last = (await broker.jsm.streams.info("DEAD_LETTERS")).state.last_seq;
    const letters = await Promise.all([last - 1, last].map(async (seq) => DeadLetter.parse((await broker.streams.bySequence("DEAD_LETTERS", seq))?.json())));
    expect(letters.map(({ stream, reason }) => [stream, reason]).sort()).toEqual([["DEAD_LETTERS", "bad_subject"], ["DEAD_LETTERS", "invalid_request"]]);
    expect(await lines("forged")).toEqual([]);
  });
});
