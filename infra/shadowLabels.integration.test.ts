/** Shadow labels from the completion to the row, on real servers, with the loops that the roles run. */
import type { NatsConnection } from "@nats-io/transport-node";
import type { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, beforeAll, expect, inject, it, vi } from "vitest";

import { isDrained } from "#infra/embedded/isDrained.ts";
import { runShadows } from "#router/runShadows.ts";
import { makeShadow, type ShadowDeps } from "#router/shadow.ts";
import { askedIn } from "#shared/contracts/chat.ts";
import { Completion } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import type { ShadowTier } from "#shared/contracts/shadow.ts";
import { DEFAULT_SETTINGS } from "#shared/contracts/tenant.ts";
import { costOf } from "#shared/contracts/rates.ts";
import { type Tier, TierFile } from "#shared/contracts/tiers.ts";
import { makePool } from "#shared/db/pool.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { consume, consumePerSlot } from "#shared/messaging/consume.ts";
import { ensureConsumer, ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { keepDeadLetter } from "#shared/messaging/keepDeadLetter.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { fingerprintOf } from "#shared/messaging/readRequest.ts";
import { requestSubject, shadowSource, shadowWorkerSource } from "#shared/messaging/topology.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";
import { drain } from "#sinks/audit/drain.ts";
import { shadowFeed } from "#sinks/audit/shadowFeed.ts";
import { BackendError } from "#workers/backends/backendError.ts";
import { makeRunShadow } from "#workers/runShadow.ts";

import { startTestServer, TEST_SERVER_NAME } from "./embedded/testServers.ts";
import { ofOneBackend } from "./ofOneBackend.ts";
import { makeTestDatabase } from "./testDatabase.ts";

const FILE = TierFile.parse(tierFixture);
/** Of the router's durable, and of one more that stands for a second delivery of everything. */
const SECOND = { ...shadowSource("infer"), durable: "second-delivery" };
const COUNT = 40;
/** Calls after the baseline: one of each request, and one more of every fourth, whose kept answer is the baseline's. */
const LATER = COUNT + COUNT / 4;
const log = pino({ level: "silent" });
const { tracer } = startTracing(undefined, "test");
const shutdown = new AbortController();
const { signal } = shutdown;
let server: Awaited<ReturnType<typeof startTestServer>>;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let nats: NatsConnection;
let broker: Awaited<ReturnType<typeof brokerOver>>;
let pool: Pool;
let loops: Promise<void>[];
/** Who was asked what. */
const called: string[] = [];
/** Inputs that a tier fails on. */
const failing = new Set<string>();

beforeAll(async () => {
  [server, database] = await Promise.all([startTestServer("nats"), makeTestDatabase(inject("adminDatabaseUrl"), "labels")]);
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: FILE.tiers, completionsMaxAgeMs: 86_400_000 });
  broker = await brokerOver(nats, "infer");
  pool = makePool(database.url, "test", () => undefined);
  await Promise.all([shadowSource("infer"), SECOND].map((source) => ensureConsumer(broker.jsm, source)));
  const giveUp = keepDeadLetter(broker.publisher, "infer", Date.now);
  const sampling: ShadowDeps = { ...broker, prefix: "infer", standingOf: async () => ({ status: "active", settings: DEFAULT_SETTINGS }), share: 1, shadowTiers: "all", tierFile: FILE, tracer, observeGone: () => undefined, now: Date.now };
  const runShadowOf = (tier: Tier) => makeRunShadow({
    ...broker, prefix: "infer", tier, tracer, now: Date.now, random: () => 0, observe: () => undefined, observeAudit: () => undefined,
    replicas: ofOneBackend({ ...tier, breaker: { failures_in_a_row: 100, open_for_ms: 100 } }, {
      call: async (input) => {
        called.push(`${tier.name} ${askedIn(input)}`);
        if (failing.has(`${tier.name} ${askedIn(input)}`)) throw new BackendError("backend_refused", "401");
        return { output: tier.name === "small" ? "ham" : "Spam!", model: `${tier.name}-1`, usage: { input_tokens: 10, output_tokens: 1, source: "reported" as const }, is_sound: true, confidence: 0.9, confidence_source: "prior" as const };
      },
      close: async () => undefined,
    }),
  });
  const worker = (tier: Tier) => consumePerSlot({ js: broker.js, wire: broker.wire, log, source: shadowWorkerSource("infer", tier), concurrency: 1, signal, giveUp, handle: runShadowOf(tier) });
  loops = [
    runShadows(sampling, { js: broker.js, wire: broker.wire, jsm: broker.jsm, log, signal, drainMs: 1_000 }),
    consume({ js: broker.js, wire: broker.wire, log, source: SECOND, concurrency: 16, signal, giveUp, handle: makeShadow(sampling) }),
    ...FILE.tiers.flatMap((tier) => [worker(tier), worker(tier)]), // of two processes
    drain(shadowFeed(pool, new Registry(), "infer"), { ...broker, prefix: "infer", batchSize: 10, batchDelayMs: 20, tracer, log, signal, drainMs: 1_000 }),
  ];
});
afterAll(async () => {
  shutdown.abort();
  await Promise.all(loops);
  await nats.close();
  await pool.end();
  await Promise.all([server.remove(), database.drop()]);
});

interface Row { readonly request_id: string; readonly agreement: number | null; readonly cost: number; readonly tiers: readonly ShadowTier[]; readonly query: unknown; readonly task: string | null }
/** Labels, each with what tiers that were asked later said and cost. */
const rows = async () => (await pool.query<Row>(`
  SELECT request_id, agreement, (shadows.cost_nano_usd + coalesce(sum(asked.cost_nano_usd), 0))::int AS cost, tiers || coalesce(jsonb_agg(to_jsonb(asked) ORDER BY asked.stream_seq) FILTER (WHERE asked.tier IS NOT NULL), '[]') AS tiers, query, task
  FROM shadows LEFT JOIN shadow_tiers AS asked USING (tenant_id, request_id) GROUP BY tenant_id, request_id`)).rows;
const askedLater = async () => (await pool.query("SELECT 1 FROM shadow_tiers")).rowCount;
const rowOf = async (request_id: string) => (await rows()).find((row) => row.request_id === request_id);
const areDrained = () => Promise.all([["COMPLETIONS", "router-shadow"], ["COMPLETIONS", SECOND.durable], ...FILE.tiers.map(({ name }) => ["SHADOW_JOBS", `shadow-worker-${name}`]), ["SHADOWS", "sink-audit-shadows"]].map(([stream = "", durable = ""]) => isDrained(broker.jsm, stream, durable)));
const settled = (labels: number, tiers: number) => vi.waitFor(async () => { expect([(await rows()).length, await askedLater(), (await areDrained()).every(Boolean)]).toEqual([labels, tiers, true]); }, { timeout: 20_000, interval: 50 });
/** Accepts a request, and gives it the answer of this tier. */
async function complete(request_id: string, tier: string, content: object = {}): Promise<void> {
  const id = { tenant_id: "t1", request_id };
  const request = { user_id: "u", input: `input ${request_id}`, budget: 1, ...content };
  await broker.acks.publish(requestSubject("infer", id), new TextEncoder().encode(JSON.stringify(request)));
  const attempts = [{ ...completionFixture.attempts[2], attempt: 1, tier, model: "m" }];
  await broker.publisher.emit(Completion.parse({ ...completionFixture, ...id, fingerprint: fingerprintOf(request), tier, model: "m", confidence: 0.97, output: "spam", policy: "cascade", attempts }), newTraceparent());
}
const costOfCall = (name: string) => FILE.tiers.filter((tier) => tier.name === name).reduce((sum, { price }) => sum + costOf(price, { input_tokens: 10, output_tokens: 1 }), 0);

it("each sampled request is asked of every tier that did not answer it, once, though its completion is delivered twice, and becomes one label, and one record of each tier", async () => {
  for (let i = 0; i < COUNT; i++) await complete(`r-${i}`, i % 4 === 0 ? "large" : "medium"); // every fourth is the baseline's own
  await settled(COUNT, LATER);
  expect([called.length, new Set(called).size]).toEqual([2 * COUNT, 2 * COUNT]);
  for (const [i, { tiers, ...row }] of (await rows()).entries()) {
    const kept = tiers.find(({ is_kept }) => is_kept)?.tier;
    expect([i, tiers.map(({ tier, agreement_with_baseline }) => [tier, agreement_with_baseline]).sort()]).toEqual([i, [["large", 1], ["medium", 1], ["small", 0]]]);
    expect(row).toMatchObject({ agreement: 1, task: "mail", query: { digits: expect.any(Number) as number }, cost: costOfCall("small") + costOfCall(kept === "large" ? "medium" : "large") });
  }
  expect((await broker.jsm.streams.info("SHADOWS")).state.messages).toBe(COUNT + LATER);
  expect((await broker.jsm.streams.info("DEAD_LETTERS")).state.messages).toBe(0);
});

it("a tier that fails leaves its record, and the others are asked all the same; a baseline that fails ends it", async () => {
  failing.add("small input fails-small").add("large input fails-large");
  await complete("fails-small", "medium");
  await complete("fails-large", "medium");
  await settled(COUNT + 2, LATER + 1);
  expect(await rowOf("fails-small")).toMatchObject({ agreement: 1, cost: costOfCall("large"), tiers: [{ tier: "medium", is_kept: true }, { tier: "large", is_sound: true }, { tier: "small", error_code: "backend_refused", confidence: null, agreement_with_baseline: null }] });
  expect(await rowOf("fails-large")).toMatchObject({ agreement: null, cost: 0, tiers: [{ tier: "medium" }, { tier: "large", error_code: "backend_refused" }] });
  expect(called).not.toContain("small input fails-large");
});

it("a request below whose min_tier there are tiers is asked of these too", async () => {
  await complete("min-tier", "medium", { min_tier: "medium" });
  await settled(COUNT + 3, LATER + 2);
  expect((await rowOf("min-tier"))?.tiers.map(({ tier }) => tier)).toEqual(["medium", "large", "small"]);
});
