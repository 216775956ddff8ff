import type { NatsConnection } from "@nats-io/transport-node";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";

import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { Job } from "#shared/contracts/events.ts";
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import shadowFixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { Shadow } from "#shared/contracts/shadow.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { type ModelStore, openModelStore } from "#shared/messaging/modelStore.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { shadowSubject } from "#shared/messaging/topology.ts";
import { modelVersion } from "#shared/runtime/readModel.ts";
import { baselineOf } from "#shared/saga/closings.ts";
import { newSaga } from "#shared/saga/inferenceMachine.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { decide } from "./decide.ts";
import { followModel, type Routing } from "./followModel.ts";
import { makeRouterMetrics } from "./metrics.ts";
import { makeWatchFloor, runFloorWatch } from "./watchFloor.ts";

const FILE = TierFile.parse(tierFixture);
const TIERS = FILE.tiers.map(({ name }) => name);
const LIVE = new Map(TIERS.map((name) => [name, { latency: null, queueDepth: 0, breaker: "closed", workers: 1, slots: 1 } as const]));
const REQUEST = { ...Job.parse(jobFixture).request, policy: "cascade-routing", min_quality: null, min_tier: null, max_tier: null, latency_slo_ms: null };
/** At each level the small tier is best, and any answer of it is kept; only λ tells the levels apart. */
const level = (lambda_per_usd: number) => ({ lambda_per_usd, states: { "": { stop: null, read: [null, null, null], blind: [[0.9, 0, 0], [0.8, 0, 0], [0.7, 0, 0]] } } });
const versioned = (content: Omit<RoutingModelFile, "version">): RoutingModelFile => ({ ...content, version: modelVersion({ ...content, version: "" }) });
/** A model of its own for each fingerprint. */
const model = (fingerprint: string): RoutingModelFile => versioned({
  type: "routing_model.v1", created_at: "2026-11-24T00:00:00Z", tiers: TIERS, baseline_tier: "large", target: 0.97, risk: 0.05, latency_slo_ms: null,
  classes: { names: [], centroids: [] }, calibration: [null, null, null], levels: [level(1), level(2), level(3)], operating: { cascade_routing_level: 2, predictive_level: null, cascade_keep_from: null },
  data: { fingerprint, rows: 1, sources: [] },
  metrics: { cascade_routing: { rows: 400, quality_ratio: 0.98, saving: 0.5, margin_low: 0, agreement_low: 0.9 }, predictive: null, cascade: null },
});
const WAIT = { timeout: 10_000, interval: 20 };
const log = pino({ level: "silent" });
const ending = new AbortController();
let server: Awaited<ReturnType<typeof startTestServer>>;
let nats: NatsConnection;
let broker: Awaited<ReturnType<typeof brokerOver>>;
let store: ModelStore;
let followed: () => Routing;
let version = "", n = 0, request = 0;
let stops: (() => Promise<void>)[] = [];

beforeAll(async () => {
  server = await startTestServer("nats");
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: FILE.tiers, completionsMaxAgeMs: 86_400_000 });
  broker = await brokerOver(nats, "infer");
  store = await openModelStore(nats, "infer");
  followed = await followModel({ nats, prefix: "infer", tiers: FILE.tiers, log, observe: () => undefined }, { signal: ending.signal, onClose: () => undefined });
});
afterAll(async () => {
  ending.abort();
  await nats.close();
  await server.remove();
});
/** Each test has a model of its own, and what it published is read before the next. */
beforeEach(async () => {
  const own = model(String(++n));
  version = own.version;
  await store.put(own);
  await store.activate(version);
});
afterEach(async () => {
  await settled();
  await Promise.all(stops.map((stop) => stop()));
  stops = [];
});

/** A router's loop, over a connection of its own. */
async function start(): Promise<void> {
  const own = await connectNats({ url: server.url, name: "router" });
  const { js, acks } = await brokerOver(own, "infer");
  const shutdown = new AbortController();
  const loop = runFloorWatch({ nats: own, js, prefix: "infer", log, now: Date.now, signal: shutdown.signal, drainMs: 1_000 });
  stops.push(async () => {
    shutdown.abort();
    await loop;
    await acks.close();
    await own.close();
  });
}
const shadow = (over: Partial<Shadow> = {}) => Shadow.parse({ ...shadowFixture, request_id: `s-${++request}`, policy: "cascade-routing", agreement: 1, at_ms: Date.now(), model_version: version, floor_steps: 0, ...over });
const publish = async (count: number, over: Partial<Shadow> = {}) => { for (let i = 0; i < count; i++) await broker.publisher.emit(shadow(over), newTraceparent()); };
const settled = () => vi.waitFor(async () => {
  if (stops.length === 0) return;
  const { num_pending, num_ack_pending } = await broker.jsm.consumers.info("SHADOWS", "router-floor");
  expect([num_pending, num_ack_pending]).toEqual([0, 0]);
}, WAIT);
const guard = async () => (await store.floor(version)).watched?.guard;
const delivery = (event: Shadow, seq: number, over: Partial<Delivery> = {}): Delivery => ({
  subject: shadowSubject("infer", event), data: new TextEncoder().encode(JSON.stringify(event)), stream: "SHADOWS", seq, storedAtMs: Date.now(), deliveries: 1,
  traceparent: null, mayBeRepeat: false, lease: new AbortController().signal, ...over,
});
const handle = (over: Partial<ModelStore> = {}) => makeWatchFloor({ store: { ...store, ...over }, prefix: "infer", log, now: Date.now });
/** As any router does. */
const decision = () => {
  const { model: active, guard: floor } = followed();
  return decide(REQUEST, newSaga(baselineOf(FILE)).context, { file: FILE, live: LIVE, model: active, floorSteps: floor?.steps ?? 0, exploration: { share: 0, maxExtraCostNanoUsd: nanoUsd(0) }, nowMs: REQUEST.accepted_at_ms });
};
const gauge = async (name: string) => {
  const registry = new Registry();
  makeRouterMetrics(registry, { fold: () => null, routing: followed });
  return (await registry.getSingleMetricAsString(name)).split("\n").at(-1)?.split(" ").at(-1);
};

it("when answers stop agreeing, decisions become more careful, then the baseline answers alone, until the model is activated again", async () => {
  await start();
  await publish(20);
  await vi.waitFor(() => { expect([followed().model?.version, followed().guard?.test.samples]).toEqual([version, 20]); }, WAIT);
  expect(decision()).toMatchObject({ step: { tier: "small" }, learned: { model_version: version, floor_steps: 0, lambda_per_usd: 3 } });
  expect(await gauge("infer_floor_margins")).toBe("20");
  expect(Number(await gauge("infer_floor_agreement_low"))).toBeGreaterThan(0.5);

  await publish(20, { agreement: 0 });
  await vi.waitFor(() => { expect(decision()).toMatchObject({ step: { tier: "small" }, learned: { floor_steps: 1, lambda_per_usd: 2 } }); }, WAIT);
  expect([await gauge("infer_floor_in_doubt"), await gauge("infer_floor_steps_tightened")]).toEqual(["0", "1"]);
  await settled();
  expect((await guard())?.test.samples).toBe(0); // those after the alarm were decided before it

  await publish(20, { agreement: 0, floor_steps: 1 });
  await vi.waitFor(() => { expect(decision()).toMatchObject({ policy: "cascade-routing", step: { tier: "large", acceptance: { min_confidence: 0 } }, learned: { floor_steps: "all", lambda_per_usd: null } }); }, WAIT);
  expect([await gauge("infer_floor_in_doubt"), await gauge("infer_floor_steps_tightened")]).toEqual(["1", "+Inf"]);

  await store.activate(version);
  await vi.waitFor(() => { expect(decision()).toMatchObject({ step: { tier: "small" }, learned: { floor_steps: 0, lambda_per_usd: 3 } }); }, WAIT);
  await publish(3);
  await settled();
  expect(await guard()).toMatchObject({ steps: 0, tightenings: 0, test: { samples: 3 } });
});

it("two routers share the labels, and count each once", async () => {
  await Promise.all([start(), start()]);
  await publish(200);
  await settled();
  expect((await guard())?.test.samples).toBe(200);
});

it("a router that stops leaves what it had not counted to another", async () => {
  await start();
  await publish(20);
  await stops.pop()?.();
  await publish(20);
  await start();
  await settled();
  expect((await guard())?.test.samples).toBe(40);
});

it("counts only labels of cascade-routing by the active model, with something to compare", async () => {
  await start();
  await publish(1, { policy: "predictive" });
  await publish(1, { model_version: "another" });
  await publish(1, { agreement: null });
  await publish(1, { floor_steps: 1 });
  await publish(1, { reference: { tier: "medium", attempt: null } });
  await publish(1, { at_ms: 1 }); // before the activation
  await broker.acks.publish(shadowSubject("infer", { tenant_id: "t1", request_id: "junk" }), new TextEncoder().encode("{}"), newTraceparent());
  await publish(2);
  await settled();
  expect((await guard())?.test.samples).toBe(2);
});

it("does nothing for a model that does not say how often its answers agree", async () => {
  const { version: _version, metrics, ...rest } = model("old");
  const old = versioned({ ...rest, metrics: { ...metrics, cascade_routing: { rows: 1, quality_ratio: 1, saving: 0, margin_low: 0 } } });
  await store.put(old);
  version = old.version;
  await store.activate(version);
  await start();
  await publish(3, { agreement: 0 });
  await settled();
  expect(await store.floor(version)).toEqual({ watched: null, revision: 0 });
});

it("counts once what is delivered again: after a crash before the ack, and to a router that was paused meanwhile", async () => {
  const first = delivery(shadow(), 7);
  await handle()(first);
  await handle()({ ...first, deliveries: 2, mayBeRepeat: true });
  await handle()(delivery(shadow(), 8));
  await handle()(first);
  expect((await guard())?.test.samples).toBe(2);
});

it("loses no label to a race: who comes second reads again", async () => {
  await handle()(delivery(shadow(), 1));
  let races = 2;
  const putFloor: ModelStore["putFloor"] = async (watched, revision) => {
    if (races-- > 0) await store.putFloor({ ...watched, guard: { ...watched.guard, since_at_ms: races } }, revision); // another is first
    return store.putFloor(watched, revision);
  };
  const late = delivery(shadow({ agreement: 0.5 }), 2);
  await handle({ putFloor })(late);
  expect(await guard()).toMatchObject({ since_at_ms: 1, test: { samples: 2 } }); // the first of the others had counted it
  races = Infinity;
  const contested: ModelStore["putFloor"] = async () => false;
  await expect(handle({ putFloor: contested })(delivery(shadow(), 3))).rejects.toMatchObject({ isOutage: true });
});

it("holds a label while the bucket is away", async () => {
  const away = () => Promise.reject(new Error("no responders"));
  for (const broken of [{ active: away }, { get: away }, { floor: away }, { putFloor: away }]) {
    const failure = await handle(broken)(delivery(shadow(), 1)).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(AppError);
    expect(failure).toMatchObject({ code: "broker_unavailable", isOutage: true });
  }
  expect(await guard()).toBeUndefined();
});

it("begins anew where the stored guard cannot be read", async () => {
  await store.putFloor({ version } as Parameters<ModelStore["putFloor"]>[0], 0);
  await handle()(delivery(shadow(), 1));
  expect((await guard())?.test.samples).toBe(1);
});

it("counts nothing twice when its consumer was lost and the one made anew delivers everything again", async () => {
  await start();
  await publish(10);
  await settled();
  await stops.pop()?.();
  await broker.jsm.consumers.delete("SHADOWS", "router-floor");
  await ensureTopology(nats, { prefix: "infer", tiers: FILE.tiers, completionsMaxAgeMs: 86_400_000 });
  await publish(10);
  await start();
  await settled();
  expect((await guard())?.test.samples).toBe(20);
});

it("ends with the signal, and never rejects", async () => {
  const shutdown = new AbortController();
  const loop = runFloorWatch({ nats, js: broker.js, prefix: "nowhere", log, now: Date.now, signal: shutdown.signal, drainMs: 1_000 });
  shutdown.abort();
  await loop;
});
