/** Shadow labels from the completion to the row, on real servers, with the loops that the roles run. */
import type { NatsConnection } from "@nats-io/transport-node";
import type { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, beforeAll, expect, inject, it, vi } from "vitest";

import { runShadows } from "#router/runShadows.ts";
import { makeShadow, type ShadowDeps } from "#router/shadow.ts";
import { Completion } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
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
import { makeBreaker } from "#workers/resilience/breaker.ts";
import { makeRunShadow } from "#workers/runShadow.ts";

import { startTestServer, TEST_SERVER_NAME } from "./embedded/testServers.ts";
import { makeTestDatabase } from "./testDatabase.ts";

const FILE = TierFile.parse(tierFixture);
const LARGE = FILE.tiers.find(({ name }) => name === "large") as Tier;
/** Of the router's durable, and of one more that stands for a second delivery of everything. */
const SECOND = { ...shadowSource("infer"), durable: "second-delivery" };
const COUNT = 40;
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
const called: string[] = [];

beforeAll(async () => {
  [server, database] = await Promise.all([startTestServer("nats"), makeTestDatabase(inject("adminDatabaseUrl"), "labels")]);
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: FILE.tiers, completionsMaxAgeMs: 86_400_000 });
  broker = await brokerOver(nats, "infer");
  pool = makePool(database.url, "test", () => undefined);
  await Promise.all([shadowSource("infer"), SECOND].map((source) => ensureConsumer(broker.jsm, source)));
  const giveUp = keepDeadLetter(broker.publisher, "infer", Date.now);
  const sampling: ShadowDeps = { ...broker, prefix: "infer", share: 1, tierFile: FILE, tracer, observeGone: () => undefined, now: Date.now };
  const call = async (input: string) => {
    called.push(input);
    return { output: "Spam!", model: "l-1", usage: { input_tokens: 10, output_tokens: 2, source: "reported" as const }, is_sound: true, confidence: 0.9, confidence_source: "prior" as const };
  };
  const runShadow = makeRunShadow({
    ...broker, prefix: "infer", tier: LARGE, tracer, now: Date.now, random: () => 0, observe: () => undefined,
    backend: { call, close: async () => undefined }, breaker: makeBreaker(LARGE.breaker, () => undefined, Date.now),
  });
  const worker = () => consumePerSlot({ js: broker.js, log, source: shadowWorkerSource("infer", LARGE), concurrency: 1, signal, giveUp, handle: runShadow });
  loops = [
    runShadows(sampling, { js: broker.js, jsm: broker.jsm, log, signal, drainMs: 1_000 }),
    consume({ js: broker.js, log, source: SECOND, concurrency: 16, signal, giveUp, handle: makeShadow(sampling) }),
    worker(), worker(), // of two processes
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

it("an accepted cheap answer is run once on the baseline tier and recorded once, though its completion is delivered twice", async () => {
  for (let i = 0; i < COUNT; i++) {
    const id = { tenant_id: "t1", request_id: `r-${i}` };
    const request = { user_id: "u", input: `input ${i}`, budget: 1 };
    await broker.acks.publish(requestSubject("infer", id), new TextEncoder().encode(JSON.stringify(request)));
    const tier = i % 4 === 0 ? "large" : "small"; // every fourth is the baseline's own
    await broker.publisher.emit(Completion.parse({ ...completionFixture, ...id, fingerprint: fingerprintOf(request), tier, model: "m", confidence: 0.97, output: "spam", policy: "cascade" }), newTraceparent());
  }
  const rows = async () => (await pool.query<{ request_id: string; agreement: number; cost: number }>("SELECT request_id, agreement, cost_nano_usd::int AS cost FROM shadows")).rows;
  const unread = async () => Promise.all([["COMPLETIONS", "router-shadow"], ["COMPLETIONS", SECOND.durable], ["SHADOW_JOBS", "shadow-worker-large"], ["SHADOWS", "sink-audit-shadows"]].map(async ([stream = "", durable = ""]) => {
    const { num_pending, num_ack_pending } = await broker.jsm.consumers.info(stream, durable);
    return num_pending + num_ack_pending;
  }));
  await vi.waitFor(async () => { expect([(await rows()).length, await unread()]).toEqual([COUNT, [0, 0, 0, 0]]); }, { timeout: 20_000, interval: 50 });
  expect([called.length, new Set(called).size]).toEqual([0.75 * COUNT, 0.75 * COUNT]);
  const cost = 10 * 2_500 + 2 * 10_000 + 100_000;
  expect((await rows()).map((row) => [row.agreement, row.cost]).sort()).toEqual(Array.from({ length: COUNT }, (_, i) => [1, i % 4 === 0 ? 0 : cost]).sort());
  expect((await broker.jsm.streams.info("SHADOWS")).state.messages).toBe(COUNT);
  expect((await broker.jsm.streams.info("DEAD_LETTERS")).state.messages).toBe(0);
});
