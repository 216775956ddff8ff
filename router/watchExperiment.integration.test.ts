/** Against real streams and a real database: labels of an experiment's requests are counted once, and an arm that is worse is rolled back by whoever finds it, once. */
import type { NatsConnection } from "@nats-io/transport-node";
import { pino } from "pino";
import type { Pool } from "pg";
import { Registry } from "prom-client";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it, vi } from "vitest";
import type { z } from "zod";

import { isDrained } from "#infra/embedded/isDrained.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { Completion } from "#shared/contracts/events.ts";
import { Experiment } from "#shared/contracts/experiment.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import shadowFixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { Shadow } from "#shared/contracts/shadow.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { makeBatchInsert } from "#shared/db/batchInsert.ts";
import { makePool } from "#shared/db/pool.ts";
import { requests } from "#shared/db/schema/audit.ts";
import { inTransaction } from "#shared/db/transaction.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { type ExperimentStore, makeExperimentStore } from "#shared/messaging/experimentStore.ts";
import { makeJudgedProof } from "#shared/messaging/judgedProof.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { makeSubmitFeedback } from "#shared/messaging/submitFeedback.ts";
import { keyIn, modelBucket, streamOfBucket } from "#shared/messaging/topology.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { followArms, type RunningExperiment } from "./followArms.ts";
import { makeExperimentGuard } from "./guardExperiment.ts";
import { makeExperimentMetrics, makeJudgedArms } from "./watchExperiment.ts";
import { runFloorWatch } from "./watchFloor.ts";

const FILE = TierFile.parse(tierFixture);
const WAIT = { timeout: 20_000, interval: 20 };
const log = pino({ level: "silent" });
const PROOF = makeJudgedProof("s".repeat(32), "infer");
const ending = new AbortController();
let test: TestBroker;
let nats: NatsConnection;
let broker: TestBroker["broker"];
let store: ExperimentStore;
let followed: RunningExperiment;
let pool: Pool;
let dropDatabase: () => Promise<void>;
let n = 0, request = 0, rollbacks = 0;
let stops: (() => Promise<void>)[] = [];
let running: Experiment;

beforeAll(async () => {
  test = await startTestBroker(FILE.tiers);
  ({ nats, broker } = test);
  store = makeExperimentStore(nats, "infer");
  followed = await followArms({ nats, prefix: "infer", tierFile: FILE, log }, { signal: ending.signal, onClose: () => undefined });
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "watch_experiment");
  dropDatabase = database.drop;
  pool = makePool(database.url, "test", () => undefined);
});
afterAll(async () => {
  ending.abort();
  await pool.end();
  await dropDatabase();
  await test.remove();
});
const METRIC = { quality: "feedback" as const, max_loss: 0.02, risk: 0.05 };
const experiment = (over: Partial<z.input<typeof Experiment>> = {}) => Experiment.parse({
  experiment_id: `e${++n}`, kind: "canary", unit: "request", scope: {}, metric: METRIC, max_requests: 1_000, started_at: new Date().toISOString(), ends_at: null,
  arms: [{ name: "control", policy: "cascade", share: 0.5 }, { name: "canary", policy: "predictive", share: 0.5 }],
  status: "running", history: [{ at: new Date().toISOString(), status: "running", why: "test" }], ...over,
});
async function begin(over: Partial<z.input<typeof Experiment>> = {}): Promise<void> {
  running = experiment(over);
  expect(await store.start(running)).toBe("started");
  await vi.waitFor(() => { expect(followed.running()?.experiment_id).toBe(running.experiment_id); }, WAIT);
}
beforeEach(() => { rollbacks = 0; });
afterEach(async () => {
  await settled();
  await Promise.all(stops.map((stop) => stop()));
  stops = [];
  await store.end(running.experiment_id, "stopped", "the test is over");
});

/** A router's loop, over a connection of its own. */
async function start(): Promise<void> {
  const own = await connectNats({ url: test.url, name: "router" });
  const { js, wire, acks, streams } = await brokerOver(own, "infer");
  const shutdown = new AbortController();
  const judgedArms = makeJudgedArms({ store: makeExperimentStore(own, "infer"), streams, prefix: "infer", running: followed.running, log, observeRollback: () => { rollbacks++; } });
  const loop = runFloorWatch({ nats: own, js, wire, streams, prefix: "infer", used: () => null, log, now: Date.now, isGenuine: PROOF.isGenuine, judgedArms, signal: shutdown.signal, drainMs: 1_000 });
  stops.push(async () => {
    shutdown.abort();
    await loop;
    await acks.close();
    await own.close();
  });
}
const settled = () => vi.waitFor(async () => {
  if (stops.length === 0) return;
  for (const [stream, durable] of [["SHADOWS", "router-floor"], ["FEEDBACK", "router-floor-feedback"]] as const) expect(await isDrained(broker.jsm, stream, durable)).toBe(true);
}, WAIT);
const completionOf = (arm: string, over: Partial<Completion> = {}) => Completion.parse({ ...completionFixture, request_id: `x-${++request}`, experiment: { experiment_id: running.experiment_id, arm, share: 0.5 }, ...over });
async function completed(arm: string, over: Partial<Completion> = {}): Promise<string> {
  const completion = completionOf(arm, over);
  await broker.publisher.emit(completion, newTraceparent());
  return completion.request_id;
}
const say = (request_id: string, score: number, source = "judge", sign = PROOF.sign) => makeSubmitFeedback({ acks: broker.acks, prefix: "infer", sign })({ tenant_id: "t1", request_id }, { score, source }, newTraceparent());
const judge = async (arm: string, score: number, over: Partial<Completion> = {}) => say(await completed(arm, over), score);
const watched = async () => (await store.watch(running.experiment_id)).watch;

describe("labels", () => {
  it("of both arms are counted, the first of each request alone, and only those that a gateway let somebody give", async () => {
    await begin();
    await start();
    await judge("control", 1);
    const again = await completed("canary");
    await say(again, 0.5);
    await say(again, 0);
    await say(await completed("canary"), 0, "user");
    await say(await completed("canary"), 0, "judge", makeJudgedProof("t".repeat(32), "infer").sign);
    await judge("canary", 0, { output: null, outcome: "failed", error: { code: "poison", message: "given up" } });
    await settled();
    expect((await watched())?.arms).toEqual({ control: { labels: 1, sum: 1, squares: 1 }, canary: { labels: 1, sum: 0.5, squares: 0.25 } });
  });

  it("of an arm that is worse roll it back, once, however many routers look, and what comes later counts no more", async () => {
    await begin();
    await Promise.all([start(), start()]);
    for (let i = 0; i < 30; i++) {
      await judge("control", 1);
      await judge("canary", 0);
    }
    await vi.waitFor(async () => { expect((await store.get(running.experiment_id))?.status).toBe("rolled_back"); }, WAIT);
    await settled();
    const ended = await store.get(running.experiment_id);
    expect(ended?.history).toMatchObject([{ status: "running" }, { status: "rolled_back", why: expect.stringContaining("canary loses more than 2 points of quality against control") as string }]);
    expect(rollbacks).toBe(1);
    await vi.waitFor(() => { expect(followed.running()).toBeNull(); }, WAIT);
    const before = await watched();
    await judge("canary", 1);
    await settled();
    expect(await watched()).toEqual(before);
  });

  it("of an arm that is as good leave it running", async () => {
    await begin();
    await start();
    for (let i = 0; i < 20; i++) await Promise.all([judge("control", 1), judge("canary", 1)]);
    await settled();
    expect((await store.get(running.experiment_id))?.status).toBe("running");
    const registry = new Registry();
    await makeExperimentMetrics(registry).show(running, store, []);
    expect(await registry.metrics()).toMatch(/infer_experiment_evidence\{arm="canary",test="quality"\} [^]*infer_experiment_labels\{arm="canary"\} 20|infer_experiment_labels\{arm="canary"\} 20[^]*infer_experiment_evidence\{arm="canary",test="quality"\} /);
  });

  it("are of the first request of each user alone, where users are the unit", async () => {
    await begin({ unit: "user" });
    await start();
    for (const user_id of ["u1", "u1", "u2"]) await judge("control", 1, { user_id });
    await settled();
    expect((await watched())?.arms["control"]?.labels).toBe(2);
    const units = () => broker.streams.subjects(streamOfBucket(modelBucket("infer").name), keyIn(modelBucket("infer").name, "experiment.*.unit.*"));
    expect(await units()).toHaveLength(2);
    await store.end(running.experiment_id, "stopped", "test");
    await begin();
    expect(await units()).toEqual([]);
  });

  it("are agreement with the baseline where that is what quality is", async () => {
    await begin({ metric: { ...METRIC, quality: "shadow" } });
    await start();
    await judge("canary", 0);
    const request_id = await completed("canary");
    await broker.publisher.emit(Shadow.parse({ ...shadowFixture, request_id, agreement: 0.75 }), newTraceparent());
    await settled();
    expect((await watched())?.arms).toEqual({ canary: { labels: 1, sum: 0.75, squares: 0.5625 } });
  });
});

it("there is one experiment at a time, and a name is used once", async () => {
  await begin();
  expect(await store.start(experiment())).toBe("another");
  await store.end(running.experiment_id, "stopped", "test");
  expect(await store.end(running.experiment_id, "rolled_back", "too late")).toBeNull();
  expect(await store.start({ ...running, status: "running" })).toBe("exists");
  const both = await Promise.all([store.start(experiment()), store.start(experiment())]);
  expect(both.sort()).toEqual(["another", "started"]);
  running = (await store.latest()) ?? running;
  expect((await store.list()).filter(({ status }) => status === "running")).toHaveLength(1);
});

it("an experiment that a router cannot take part in is none for it", async () => {
  running = experiment({ arms: [{ name: "control", policy: "cascade", share: 0.5 }, { name: "canary", policy: "predictive", model_version: "not-there", share: 0.5 }] });
  expect(await store.start(running)).toBe("started");
  const other = experiment();
  const problems: string[] = [];
  const loud = pino({ level: "error" }, { write: (line: string) => void problems.push(line) });
  const { running: taken } = await followArms({ nats, prefix: "infer", tierFile: FILE, log: loud }, { signal: ending.signal, onClose: () => undefined });
  expect([taken(), problems.length, problems[0]]).toEqual([null, 1, expect.stringContaining("there is no such version")]);
  await store.end(running.experiment_id, "stopped", "test");
  running = other;
  expect(await store.start(other)).toBe("started");
  await vi.waitFor(() => { expect(taken()?.experiment_id).toBe(other.experiment_id); }, WAIT);
});

describe("the guard over requests", () => {
  const insert = makeBatchInsert(requests);
  /** As the audit has them, the arms by turns. */
  const booked = (arm: string, count: number, over: Partial<typeof requests.$inferInsert> = {}) => inTransaction(pool, (client) => insert(client, Array.from({ length: count }, () => ({
    tenant_id: "t1", request_id: `g-${++request}`, user_id: "u1", outcome: "completed" as const, cost_nano_usd: nanoUsd(10), attempt_count: 1, latency_ms: 5, accepted_at: new Date().toISOString(), completed_at: new Date().toISOString(),
    origin: "direct", decisions: [], trace_id: "t", stream_seq: request, experiment: { experiment_id: running.experiment_id, arm, share: 0.5 }, ...over,
  }))));
  const both = async (rounds: number, canary: Partial<typeof requests.$inferInsert>, control: Partial<typeof requests.$inferInsert> = {}) => {
    for (let i = 0; i < rounds; i++) {
      await booked("control", 1, control);
      await booked("canary", 1, canary);
    }
  };
  const guardOf = (nowMs: () => number = Date.now) => makeExperimentGuard({ store, pool, running: () => running, log, observeRollback: () => { rollbacks++; }, now: nowMs });
  const look = async (nowMs = Date.now()) => { await guardOf(() => nowMs)(); };
  const whyEnded = async () => {
    const { status, history } = (await store.get(running.experiment_id)) ?? running;
    return `${status}: ${history.at(-1)?.why ?? ""}`;
  };

  it.each<[string, Partial<typeof requests.$inferInsert>, Partial<typeof requests.$inferInsert>, RegExp]>([
    ["fails more", { outcome: "failed" }, {}, /^rolled_back: canary fails more than 2 points of requests more than control \(40 of 40 against 0 of 40; evidence above 10000 of 600\.0 needed\)$/],
    ["is late more often", { latency_slo_ms: 100, latency_ms: 101 }, { latency_slo_ms: 100, latency_ms: 100 }, /^rolled_back: canary is late with more than 5 points of requests more than control \(40 of 40 against 0 of 40; /],
    ["costs more", { cost_nano_usd: nanoUsd(30) }, {}, /^rolled_back: canary costs more than 20 % more per request than control \(0\.000000030 USD over \d+ against 0\.000000010 USD over \d+; /],
  ])("rolls back an arm that %s, once, also where another router looks", async (_name, canary, control, why) => {
    await begin();
    await both(2, canary, control);
    const [guard, another] = [guardOf(), guardOf()];
    await guard();
    expect((await store.get(running.experiment_id))?.status).toBe("running");
    await both(canary.cost_nano_usd === undefined ? 38 : 200, canary, control);
    await Promise.all([guard(), another()]);
    expect(await whyEnded()).toMatch(why);
    expect(rollbacks).toBe(1);
  });

  it("has what it needs to know of latency limits from the experiment where requests name none, and leaves a guard out that is not wanted", async () => {
    await begin({ metric: { ...METRIC, max_extra_cost: null } });
    await both(200, { cost_nano_usd: nanoUsd(30), latency_ms: 1_000 });
    await look();
    expect(await whyEnded()).toBe("running: test");
    await store.end(running.experiment_id, "stopped", "test");
    await begin({ metric: { ...METRIC, late_after_ms: 999 } });
    await both(40, { latency_ms: 1_000 });
    expect((await guardOf()()).map(({ arm, guard }) => `${arm} ${guard}`)).toEqual(["canary failures", "canary late", "canary cost"]);
    expect(await whyEnded()).toContain("rolled_back: canary is late");
  });

  it("counts an outcome once, however often it looks", async () => {
    await begin();
    const guard = guardOf();
    await both(3, { outcome: "failed" });
    const first = await guard();
    expect(await guard()).toEqual(first);
    await both(1, { outcome: "failed" });
    expect(await guard()).not.toEqual(first);
  });

  it("ends it when it has had its requests or its time", async () => {
    await begin({ max_requests: 5 });
    await booked("control", 5);
    await look();
    expect(await store.get(running.experiment_id)).toMatchObject({ status: "stopped", history: [{}, { why: "it has had its 5 requests" }] });
    await begin({ ends_at: new Date(Date.now() + 3_600_000).toISOString() });
    await look();
    expect((await store.get(running.experiment_id))?.status).toBe("running");
    await look(Date.now() + 3_600_001);
    expect(await store.get(running.experiment_id)).toMatchObject({ status: "stopped", history: [{}, { why: "its time is over" }] });
  });

  it("counts one request of each user where users are the unit", async () => {
    await begin({ unit: "user" });
    await both(50, { outcome: "failed" }, { user_id: "u2" });
    await look();
    expect((await store.get(running.experiment_id))?.status).toBe("running");
  });
});
