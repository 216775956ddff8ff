import type { NatsConnection } from "@nats-io/transport-node";
import type { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, beforeAll, expect, inject, it, vi } from "vitest";

import { isDrained } from "#infra/embedded/isDrained.ts";
import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import { makeTestDatabase, pastTriggers } from "#infra/testDatabase.ts";
import { CacheAudit } from "#shared/contracts/cacheAudit.ts";
import { DeadLetter } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/shadow_tier.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import auditFixture from "#shared/contracts/fixtures/cache_audit.v1.json" with { type: "json" };
import { Shadow, type ShadowTier, ShadowTierEvent } from "#shared/contracts/shadow.ts";
import { makePool } from "#shared/db/pool.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { drain } from "./drain.ts";
import { deleteOld } from "./retention.ts";
import { shadowFeed, type ShadowRow, type ShadowTierRow, toShadowItem } from "./shadowFeed.ts";

const COMPARED = Shadow.parse(fixture);
const ATTEMPT = COMPARED.reference.attempt;
if (ATTEMPT === null) throw new Error("the fixture has an attempt");
const shadow = (request_id: string, over: Partial<Shadow> = {}): Shadow => ({ ...COMPARED, request_id, ...over });
const [SMALL, LARGE] = COMPARED.tiers as [ShadowTier, ShadowTier];
/** With a cheap tier that was asked all the same. */
const OWN = { kept: { ...COMPARED.kept, tier: "large" }, reference: { tier: "large", attempt: null }, agreement: 1, tiers: [{ ...LARGE, is_kept: true, is_shadow: false }, { ...SMALL, is_kept: false, is_shadow: true }] };
const FAILED = { reference: { tier: "large", attempt: { ...ATTEMPT, usage: null, cost_nano_usd: nanoUsd(1_000), cost_is_partial: true, outcome: { kind: "failed" as const, code: "backend_unavailable" as const, message: "busy" } } }, agreement: null, tiers: [SMALL, { ...LARGE, cost_nano_usd: nanoUsd(1_000), cost_is_partial: true }] };
const UNSOUND = { reference: { tier: "large", attempt: { ...ATTEMPT, outcome: { kind: "answered" as const, is_sound: false, confidence: 0.5, confidence_source: "prior" } } }, agreement: null, tiers: [SMALL, LARGE] };
const auditOf = (request_id: string, over: Partial<CacheAudit> = {}): CacheAudit => ({ ...CacheAudit.parse(auditFixture), request_id, ...over });
const TIER = ShadowTierEvent.parse(tierFixture);
const tierOf = (request_id: string, over: Partial<ShadowTierEvent> = {}): ShadowTierEvent => ({ ...TIER, request_id, ...over });
const WAIT = { timeout: 10_000, interval: 20 };
let server: Awaited<ReturnType<typeof startTestServer>>;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let nats: NatsConnection;
let broker: Awaited<ReturnType<typeof brokerOver>>;
let pool: Pool;
let loop: Promise<void>;
const registry = new Registry();
/** Tenants that were told of one. */
const falseHits: string[] = [];
const shutdown = new AbortController();
beforeAll(async () => {
  [server, database] = await Promise.all([startTestServer("nats"), makeTestDatabase(inject("adminDatabaseUrl"), "shadows")]);
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
  broker = await brokerOver(nats, "infer");
  pool = makePool(database.url, "test", () => undefined);
  const { tracer } = startTracing(undefined, "test");
  loop = drain(shadowFeed(pool, registry, "infer", (tenantId) => void falseHits.push(tenantId)), { ...broker, prefix: "infer", batchSize: 100, batchDelayMs: 20, tracer, log: pino({ level: "silent" }), signal: shutdown.signal, drainMs: 1_000 });
});
afterAll(async () => {
  shutdown.abort();
  await loop;
  await nats.close();
  await pool.end();
  await Promise.all([server.remove(), database.drop()]);
});

const rowOf = async (request_id: string) => (await pool.query<ShadowRow>("SELECT *, cost_nano_usd::int, stream_seq::int FROM shadows WHERE request_id = $1", [request_id])).rows;
const tierRowsOf = async (request_id: string) => (await pool.query<ShadowTierRow>("SELECT *, cost_nano_usd::int, stream_seq::int FROM shadow_tiers WHERE request_id = $1 ORDER BY tier", [request_id])).rows;
/** In nano-dollars. */
const costs = async () => Math.round(Number(/^infer_shadow_cost_usd_total (\S+)$/m.exec(await registry.metrics())?.[1]) * 1e9);
const settled = () => vi.waitFor(async () => {
  expect(await isDrained(broker.jsm, "SHADOWS", "sink-audit-shadows")).toBe(true);
}, WAIT);

it("writes each event as one row, with the cost of its call and of no request, and counts what came of it", async () => {
  for (const [i, over] of [{}, OWN, FAILED, UNSOUND].entries()) await broker.publisher.emit(shadow(`s-${i}`, over), newTraceparent());
  await settled();
  expect(await rowOf("s-0")).toMatchObject([{
    tenant_id: "t1", policy: "cascade", kept_tier: "small", kept_model: "s-1", kept_confidence: 0.97, reference_tier: "large", reference_model: "l-2026", reference_confidence: 0.99,
    reference_confidence_source: "token_logprobs", agreement: 0.5, cost_nano_usd: 265_000, cost_is_partial: true, outcome: "answered", is_sound: true, error_code: null, tries: 1,
    input_tokens: 42, output_tokens: 6, usage_source: "reported", latency_ms: 480, task: "mail", query: COMPARED.query, tiers: COMPARED.tiers, model_version: null, stream_seq: 1,
  }]);
  expect(await rowOf("s-1")).toMatchObject([{ agreement: 1, cost_nano_usd: 1_400, cost_is_partial: false, outcome: null, reference_model: null, tries: null, started_at: null }]);
  expect(await rowOf("s-2")).toMatchObject([{ agreement: null, cost_nano_usd: 1_000, cost_is_partial: true, outcome: "failed", error_code: "backend_unavailable", error_message: "busy", is_sound: null, input_tokens: null }]);
  expect(await rowOf("s-3")).toMatchObject([{ agreement: null, cost_nano_usd: 265_000, outcome: "answered", is_sound: false }]);
  expect((await pool.query("SELECT 1 FROM requests UNION ALL SELECT 1 FROM attempts")).rowCount).toBe(0);
  const lines = (await registry.metrics()).split("\n").filter((line) => line.startsWith("infer_shadow_total"));
  expect(lines).toEqual([
    'infer_shadow_total{tier="small",outcome="compared"} 1', 'infer_shadow_total{tier="large",outcome="own"} 1', 'infer_shadow_total{tier="small",outcome="failed"} 1', 'infer_shadow_total{tier="small",outcome="unsound"} 1',
  ]);
  expect(await costs()).toBe(532_400);
});

it("writes how each tier did that was asked later, with its cost, whether or not its request's row is there", async () => {
  const before = await costs();
  for (const event of [tierOf("early"), tierOf("early", { tier: "tiny", cost_nano_usd: nanoUsd(7), error_code: "backend_unavailable", is_sound: false, confidence: null, confidence_source: null, agreement_with_baseline: null, agreement_with_kept: null, usage: null })]) {
    await broker.publisher.emit(event, newTraceparent());
    expect(await broker.publisher.emit({ ...event, at_ms: event.at_ms + 1 }, newTraceparent())).toMatchObject({ isDuplicate: true });
  }
  await settled();
  expect(await rowOf("early")).toEqual([]);
  expect(await tierRowsOf("early")).toMatchObject([
    { tenant_id: "t1", tier: "medium", model: "m-2026", error_code: null, is_sound: true, confidence: 0.8, confidence_source: "token_logprobs", agreement_with_baseline: 0.5, agreement_with_kept: 1, cost_nano_usd: 21_000, cost_is_partial: false, latency_ms: 90, usage: TIER.usage },
    { tier: "tiny", error_code: "backend_unavailable", is_sound: false, confidence: null, agreement_with_baseline: null, cost_nano_usd: 7, usage: null },
  ]);
  expect((await costs()) - before).toBe(21_007);
  await broker.publisher.emit(shadow("early", { tiers: [SMALL, LARGE] }), newTraceparent());
  await settled();
  expect([(await rowOf("early")).length, (await costs()) - before]).toEqual([1, 21_007 + 265_000]);
});

it("keeps what it cannot read as a dead letter, and goes on", async () => {
  await broker.acks.publish("infer.shadow.t1.unreadable", new TextEncoder().encode('{"type":"shadow.v1"}'));
  await broker.publisher.emit(shadow("after"), newTraceparent());
  await settled();
  expect(await rowOf("after")).toHaveLength(1);
  expect(DeadLetter.parse((await broker.streams.last("DEAD_LETTERS", "infer.deadletter.SHADOWS.t1"))?.json())).toMatchObject({ reason: "invalid_request", request_id: "unreadable" });
});

it("writes an event that is delivered again once, and no other one over it", async () => {
  const { writer } = shadowFeed(pool, new Registry(), "infer");
  const first = toShadowItem(shadow("again"), 50);
  expect(await writer.write([first])).toEqual([{ ok: true }]);
  expect(await writer.write([first, toShadowItem(shadow("again", { agreement: 0 }), 51), toShadowItem(shadow("again", { tenant_id: "t2" }), 52)])).toMatchObject([{ ok: true }, { ok: false }, { ok: true }]);
  expect((await pool.query("SELECT tenant_id, agreement FROM shadows WHERE request_id = 'again' ORDER BY tenant_id")).rows).toEqual([{ tenant_id: "t1", agreement: 0.5 }, { tenant_id: "t2", agreement: 0.5 }]);
});

it("tells a tier's record from another one's of a used id, in a batch of both kinds", async () => {
  const { writer } = shadowFeed(pool, new Registry(), "infer");
  const batch = [toShadowItem(tierOf("mixed"), 60), toShadowItem(shadow("mixed"), 61), toShadowItem(tierOf("mixed", { model: "other" }), 62), toShadowItem(tierOf("mixed", { tier: "tiny" }), 63), toShadowItem(shadow("mixed", { agreement: 0 }), 64)];
  for (let deliveries = 0; deliveries < 2; deliveries++) expect((await writer.write(batch)).map(({ ok }) => ok)).toEqual([true, true, false, true, false]);
  expect((await tierRowsOf("mixed")).map(({ tier, model }) => [tier, model])).toEqual([["medium", "m-2026"], ["tiny", "m-2026"]]);
});

it("writes what audits of the semantic cache say, counts it, and tells of a false hit once it is written", async () => {
  const before = await costs();
  await broker.publisher.emit(auditOf("a-1"), newTraceparent());
  await broker.publisher.emit(auditOf("a-2", { tenant_id: "t9", verdict: "different", agreement: 0 }), newTraceparent());
  await broker.publisher.emit(auditOf("a-3", { verdict: "unknown", agreement: null, error_code: "backend_unavailable" }), newTraceparent());
  await settled();
  const { rows } = await pool.query("SELECT tenant_id, request_id, source_request_id, guard_version, tier, model, verdict, agreement, error_code, cost_nano_usd::int FROM cache_audits ORDER BY request_id");
  const row = { tenant_id: "t1", request_id: "a-1", source_request_id: "r-0", guard_version: 1, tier: "large", model: "l-2026", verdict: "same", agreement: 1, error_code: null, cost_nano_usd: 125_000 };
  expect(rows).toEqual([row, { ...row, tenant_id: "t9", request_id: "a-2", verdict: "different", agreement: 0 }, { ...row, request_id: "a-3", verdict: "unknown", agreement: null, error_code: "backend_unavailable" }]);
  const metrics = await registry.metrics();
  for (const result of ["same", "different", "unknown"]) expect(metrics).toContain(`infer_cache_audits_total{result="${result}"} 1`);
  expect([falseHits, metrics.includes("infer_cache_audit_cost_usd_total 0.000375"), await costs()]).toEqual([["t9"], true, before]);
});

it("is deleted by its age", async () => {
  const { writer } = shadowFeed(pool, new Registry(), "infer");
  await pastTriggers(pool, "TRUNCATE shadows, shadow_tiers, cache_audits");
  await writer.write([91, 89].flatMap((days) => {
    const at_ms = Date.now() - days * 86_400_000;
    return [toShadowItem(shadow(`d-${days}`, { at_ms }), days), toShadowItem(tierOf(`d-${days}`, { at_ms }), 100 + days), toShadowItem(auditOf(`d-${days}`, { at_ms }), 200 + days)];
  }));
  expect(await deleteOld(pool, 90, new AbortController().signal)).toBe(3);
  expect((await pool.query("SELECT request_id FROM cache_audits")).rows).toEqual([{ request_id: "d-89" }]);
  expect([await rowOf("d-91"), await tierRowsOf("d-91"), (await rowOf("d-89")).length, (await tierRowsOf("d-89")).length]).toEqual([[], [], 1, 1]);
});
