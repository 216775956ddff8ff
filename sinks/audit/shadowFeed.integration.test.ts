import type { NatsConnection } from "@nats-io/transport-node";
import type { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, beforeAll, expect, inject, it, vi } from "vitest";

import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { DeadLetter } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { Shadow, type ShadowTier } from "#shared/contracts/shadow.ts";
import { makePool } from "#shared/db/pool.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { drain } from "./drain.ts";
import { deleteOld } from "./retention.ts";
import { shadowFeed, type ShadowRow, toShadowRow } from "./shadowFeed.ts";

const COMPARED = Shadow.parse(fixture);
const ATTEMPT = COMPARED.reference.attempt;
if (ATTEMPT === null) throw new Error("the fixture has an attempt");
const shadow = (request_id: string, over: Partial<Shadow> = {}): Shadow => ({ ...COMPARED, request_id, ...over });
const [SMALL, LARGE] = COMPARED.tiers as [ShadowTier, ShadowTier];
/** With a cheap tier that was asked all the same. */
const OWN = { kept: { ...COMPARED.kept, tier: "large" }, reference: { tier: "large", attempt: null }, agreement: 1, tiers: [{ ...LARGE, is_kept: true, is_shadow: false }, { ...SMALL, is_kept: false, is_shadow: true }] };
const FAILED = { reference: { tier: "large", attempt: { ...ATTEMPT, usage: null, cost_nano_usd: nanoUsd(1_000), cost_is_partial: true, outcome: { kind: "failed" as const, code: "backend_unavailable" as const, message: "busy" } } }, agreement: null, tiers: [SMALL, { ...LARGE, cost_nano_usd: nanoUsd(1_000), cost_is_partial: true }] };
const UNSOUND = { reference: { tier: "large", attempt: { ...ATTEMPT, outcome: { kind: "answered" as const, is_sound: false, confidence: 0.5, confidence_source: "prior" } } }, agreement: null, tiers: [SMALL, LARGE] };
const WAIT = { timeout: 10_000, interval: 20 };
let server: Awaited<ReturnType<typeof startTestServer>>;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let nats: NatsConnection;
let broker: Awaited<ReturnType<typeof brokerOver>>;
let pool: Pool;
let loop: Promise<void>;
const registry = new Registry();
const shutdown = new AbortController();
beforeAll(async () => {
  [server, database] = await Promise.all([startTestServer("nats"), makeTestDatabase(inject("adminDatabaseUrl"), "shadows")]);
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
  broker = await brokerOver(nats, "infer");
  pool = makePool(database.url, "test", () => undefined);
  const { tracer } = startTracing(undefined, "test");
  loop = drain(shadowFeed(pool, registry, "infer"), { ...broker, prefix: "infer", batchSize: 100, batchDelayMs: 20, tracer, log: pino({ level: "silent" }), signal: shutdown.signal, drainMs: 1_000 });
});
afterAll(async () => {
  shutdown.abort();
  await loop;
  await nats.close();
  await pool.end();
  await Promise.all([server.remove(), database.drop()]);
});

const rowOf = async (request_id: string) => (await pool.query<ShadowRow>("SELECT *, cost_nano_usd::int, stream_seq::int FROM shadows WHERE request_id = $1", [request_id])).rows;
const settled = () => vi.waitFor(async () => {
  const { num_pending, num_ack_pending } = await broker.jsm.consumers.info("SHADOWS", "sink-audit-shadows");
  expect([num_pending, num_ack_pending]).toEqual([0, 0]);
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
  const lines = (await registry.metrics()).split("\n").filter((line) => /^infer_shadow/.test(line));
  expect(lines).toEqual([
    'infer_shadow_total{tier="small",outcome="compared"} 1', 'infer_shadow_total{tier="large",outcome="own"} 1', 'infer_shadow_total{tier="small",outcome="failed"} 1', 'infer_shadow_total{tier="small",outcome="unsound"} 1',
    "infer_shadow_cost_nano_usd_total 532400",
  ]);
});

it("keeps what it cannot read as a dead letter, and goes on", async () => {
  await broker.acks.publish("infer.shadow.t1.unreadable", new TextEncoder().encode('{"type":"shadow.v2"}'));
  await broker.publisher.emit(shadow("after"), newTraceparent());
  await settled();
  expect(await rowOf("after")).toHaveLength(1);
  expect(DeadLetter.parse((await broker.streams.last("DEAD_LETTERS", "infer.deadletter.SHADOWS.t1"))?.json())).toMatchObject({ reason: "invalid_request", request_id: "unreadable" });
});

it("writes an event that is delivered again once, and no other one over it", async () => {
  const { writer } = shadowFeed(pool, new Registry(), "infer");
  const first = toShadowRow(shadow("again"), 50);
  expect(await writer.write([first])).toEqual([{ ok: true }]);
  expect(await writer.write([first, toShadowRow(shadow("again", { agreement: 0 }), 51), toShadowRow(shadow("again", { tenant_id: "t2" }), 52)])).toMatchObject([{ ok: true }, { ok: false }, { ok: true }]);
  expect((await pool.query("SELECT tenant_id, agreement FROM shadows WHERE request_id = 'again' ORDER BY tenant_id")).rows).toEqual([{ tenant_id: "t1", agreement: 0.5 }, { tenant_id: "t2", agreement: 0.5 }]);
});

it("is deleted by its age", async () => {
  const { writer } = shadowFeed(pool, new Registry(), "infer");
  await pool.query("DELETE FROM shadows");
  await writer.write([91, 89].map((days) => toShadowRow(shadow(`d-${days}`, { at_ms: Date.now() - days * 86_400_000 }), days)));
  expect(await deleteOld(pool, 90, new AbortController().signal)).toBe(1);
  expect([await rowOf("d-91"), (await rowOf("d-89")).length]).toEqual([[], 1]);
});
