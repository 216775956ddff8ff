import { Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";

import { isDrained } from "#infra/embedded/isDrained.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { Completion, Job } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import shadowFixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import shadowTierFixture from "#shared/contracts/fixtures/shadow_tier.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import type { LearnedFacts } from "#shared/contracts/decision.ts";
import type { FeedbackBody } from "#shared/contracts/feedback.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { Shadow, ShadowTierEvent } from "#shared/contracts/shadow.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { ADMITTED_HEADER } from "#shared/messaging/ackInbox.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { makeJudgedProof } from "#shared/messaging/judgedProof.ts";
import { type ModelStore, openModelStore } from "#shared/messaging/modelStore.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { makeSubmitFeedback } from "#shared/messaging/submitFeedback.ts";
import { feedbackSubject, modelBucket, shadowSubject } from "#shared/messaging/topology.ts";
import { modelVersion } from "#shared/runtime/readModel.ts";
import { baselineOf } from "#shared/saga/closings.ts";
import { newSaga } from "#shared/saga/inferenceMachine.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { decide } from "./decide.ts";
import { followModel, type Routing } from "./followModel.ts";
import { newGuard } from "./learning/floorGuard.ts";
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
  metrics: { cascade_routing: { rows: 400, quality_ratio: 0.98, saving: 0.5, margin_low: 0, agreement_low: 0.9, quality_low: 0.8 }, predictive: null, cascade: null },
});
const WAIT = { timeout: 10_000, interval: 20 };
const log = pino({ level: "silent" });
const ending = new AbortController();
let test: TestBroker;
let nats: NatsConnection;
let broker: TestBroker["broker"];
let store: ModelStore;
let followed: () => Routing;
let version = "", activatedAt = "", n = 0, request = 0;
let stops: (() => Promise<void>)[] = [];

beforeAll(async () => {
  test = await startTestBroker(FILE.tiers);
  ({ nats, broker } = test);
  store = await openModelStore(nats, "infer");
  followed = await followModel({ nats, prefix: "infer", tierFile: FILE, log, observe: () => undefined }, { signal: ending.signal, onClose: () => undefined });
});
afterAll(async () => {
  ending.abort();
  await test.remove();
});
/** Each test has a model of its own, and what it published is read before the next. */
beforeEach(async () => {
  const own = model(String(++n));
  version = own.version;
  await store.put(own);
  activatedAt = (await store.activate(version)).activated_at;
});
afterEach(async () => {
  await settled();
  await Promise.all(stops.map((stop) => stop()));
  stops = [];
});

/** A router's loop, over a connection of its own. */
async function start(): Promise<void> {
  const own = await connectNats({ url: test.url, name: "router" });
  const { js, wire, acks, streams } = await brokerOver(own, "infer");
  const shutdown = new AbortController();
  const loop = runFloorWatch({ nats: own, js, wire, streams, prefix: "infer", used, log, now: Date.now, isGenuine: PROOF.isGenuine, signal: shutdown.signal, drainMs: 1_000 });
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
  for (const [stream, durable] of [["SHADOWS", "router-floor"], ["FEEDBACK", "router-floor-feedback"]] as const) {
    expect(await isDrained(broker.jsm, stream, durable)).toBe(true);
  }
}, { ...WAIT, timeout: 20_000 }); // what a stopped router held comes after `ack_wait`
const guard = async () => {
  const { watched } = await store.floor(version);
  return watched === "unreadable" ? undefined : watched?.guard;
};
const samples = async (source: "shadow" | "feedback" = "shadow") => (await guard())?.tests[source]?.state.samples;
/** What cascade-routing by the active model kept, as a completion that is stored. Gives its id. */
async function kept(over: Partial<Completion> = {}, learnedOver: Partial<LearnedFacts> = {}): Promise<string> {
  const request_id = `f-${++request}`;
  const [first, ...later] = Completion.parse(completionFixture).decisions;
  if (first === undefined) throw new Error("the fixture has no decision");
  const learned = { model_version: version, features: { log_length: 1, digits: 0, negation: 0, classes: {} }, floor_steps: 0, lambda_per_usd: 1, stop_value: null, candidates: [], ...learnedOver };
  const { exploration: _none, ...certain } = first;
  const completion = Completion.parse({ ...completionFixture, request_id, policy: "cascade-routing", decisions: [{ ...certain, facts: { ...first.facts, at_ms: Date.now() }, learned }, ...later], ...over });
  await broker.publisher.emit(completion, newTraceparent());
  return request_id;
}
const PROOF = makeJudgedProof("s".repeat(32), "infer");
const say = (request_id: string, over: Partial<FeedbackBody> = {}, sign = PROOF.sign) => makeSubmitFeedback({ acks: broker.acks, prefix: "infer", sign })({ tenant_id: "t1", request_id }, { score: 1, source: "judge", ...over }, newTraceparent());
const judge = async (count: number, over: Partial<FeedbackBody>, learned: Partial<LearnedFacts> = {}) => { for (let i = 0; i < count; i++) await say(await kept({}, learned), over); };
const delivery = (event: Shadow, seq: number, over: Partial<Delivery> = {}): Delivery => ({
  subject: shadowSubject("infer", event), data: new TextEncoder().encode(JSON.stringify(event)), stream: "SHADOWS", seq, storedAtMs: Date.now(), deliveries: 1,
  traceparent: null, mayBeRepeat: false, lease: new AbortController().signal, ...over,
});
const handle = (over: Partial<ModelStore> = {}) => makeWatchFloor({ store: { ...store, ...over }, streams: broker.streams, prefix: "infer", used, log, now: Date.now, isGenuine: PROOF.isGenuine });
const used = () => followed().activation;
/** As any router does. */
const decision = () => {
  const { model: active, guard: floor } = followed();
  return decide(REQUEST, newSaga(baselineOf(FILE)).context, { file: FILE, live: LIVE, model: active, floorSteps: floor?.steps ?? 0, exploration: { share: 0, maxExtraCostNanoUsd: nanoUsd(0) }, nowMs: REQUEST.accepted_at_ms });
};
const gauge = async (name: string) => {
  const registry = new Registry();
  makeRouterMetrics(registry, { fold: () => null, routing: followed, now: Date.now });
  const lines = (await registry.getSingleMetricAsString(name)).split("\n").filter((line) => !line.startsWith("#"));
  return Object.fromEntries(lines.map((line) => [/source="(.*?)"/.exec(line)?.[1] ?? "", line.split(" ").at(-1)]));
};

it("when answers stop agreeing, decisions become more careful, then the baseline answers alone, until the model is activated again", async () => {
  await start();
  await publish(20);
  await vi.waitFor(() => { expect([followed().model?.version, followed().guard?.tests.shadow?.state.samples]).toEqual([version, 20]); }, WAIT);
  expect(decision()).toMatchObject({ step: { tier: "small" }, learned: { model_version: version, floor_steps: 0, lambda_per_usd: 3 } });
  expect(await gauge("infer_floor_margins")).toEqual({ shadow: "20", feedback: "0" });
  expect(Number((await gauge("infer_floor_mean_low"))["shadow"])).toBeGreaterThan(0.5);

  await publish(20, { agreement: 0 });
  await vi.waitFor(() => { expect(decision()).toMatchObject({ step: { tier: "small" }, learned: { floor_steps: 1, lambda_per_usd: 2 } }); }, WAIT);
  expect([await gauge("infer_floor_in_doubt"), await gauge("infer_floor_steps_tightened")]).toEqual([{ "": "0" }, { "": "1" }]);
  await settled();
  expect(await samples()).toBe(0); // those after the alarm were decided before it

  await publish(20, { agreement: 0, floor_steps: 1 });
  await vi.waitFor(() => { expect(decision()).toMatchObject({ policy: "cascade-routing", step: { tier: "large", acceptance: { min_confidence: 0 } }, learned: { floor_steps: "all", lambda_per_usd: null } }); }, WAIT);
  expect([await gauge("infer_floor_in_doubt"), await gauge("infer_floor_steps_tightened")]).toEqual([{ "": "1" }, { "": "+Inf" }]);

  await store.activate(version);
  await vi.waitFor(() => { expect(decision()).toMatchObject({ step: { tier: "small" }, learned: { floor_steps: 0, lambda_per_usd: 3 } }); }, WAIT);
  await publish(3);
  await settled();
  expect(await guard()).toMatchObject({ steps: 0, tightenings: 0, tests: { shadow: { state: { samples: 3 } } } });
});

it("two routers share the labels, and count each once", async () => {
  await Promise.all([start(), start()]);
  await publish(200);
  await settled();
  expect(await samples()).toBe(200);
});

it("a router that stops leaves what it had not counted to another", async () => {
  await start();
  await publish(20);
  await stops.pop()?.();
  await publish(20);
  await start();
  await settled();
  expect(await samples()).toBe(40);
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
  expect(await samples()).toBe(2);
});

it("is shown labels alone, not how other tiers did", async () => {
  await start();
  await publish(1);
  await settled();
  const delivered = async () => (await broker.jsm.consumers.info("SHADOWS", "router-floor")).delivered.consumer_seq;
  const [before, event] = [await delivered(), shadow()];
  for (const tier of ["medium", "tiny"]) await broker.publisher.emit(ShadowTierEvent.parse({ ...shadowTierFixture, request_id: event.request_id, tier }), newTraceparent());
  await broker.publisher.emit(event, newTraceparent());
  await settled();
  expect([await samples(), await delivered()]).toEqual([2, before + 1]);
});

it("goes on for a model whose successor cannot be used, and does not begin it anew", async () => {
  await start();
  await publish(3);
  await vi.waitFor(() => { expect([followed().model?.version, followed().guard?.tests.shadow?.state.samples]).toEqual([version, 3]); }, WAIT);
  await store.activate("absent");
  await publish(3);
  await settled();
  expect(await samples()).toBe(6);
  await publish(20, { agreement: 0 });
  await vi.waitFor(() => { expect(decision()).toMatchObject({ learned: { model_version: version, floor_steps: 1 } }); }, WAIT);
  await publish(20, { agreement: 0, floor_steps: 1 });
  await vi.waitFor(() => { expect(decision()).toMatchObject({ step: { tier: "large" }, learned: { model_version: version, floor_steps: "all" } }); }, WAIT);
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
  await handle().shadow(first);
  await handle().shadow({ ...first, deliveries: 2, mayBeRepeat: true });
  await handle().shadow(delivery(shadow(), 8));
  await handle().shadow(first);
  expect(await samples()).toBe(2);
});

it("loses no label to a race: who comes second reads again", async () => {
  await handle().shadow(delivery(shadow(), 1));
  let races = 2;
  const putFloor: ModelStore["putFloor"] = async (watched, revision) => {
    if (races-- > 0) await store.putFloor({ ...watched, guard: { ...watched.guard, since_at_ms: races } }, revision); // another is first
    return store.putFloor(watched, revision);
  };
  const late = delivery(shadow({ agreement: 0.5 }), 2);
  await handle({ putFloor }).shadow(late);
  expect(await guard()).toMatchObject({ since_at_ms: 1, tests: { shadow: { state: { samples: 2 } } } }); // the first of the others had counted it
  races = Infinity;
  const contested: ModelStore["putFloor"] = async () => false;
  await expect(handle({ putFloor: contested }).shadow(delivery(shadow(), 3))).rejects.toMatchObject({ isOutage: true });
});

it("holds a label while the bucket is away", async () => {
  const away = () => Promise.reject(new Error("no responders"));
  for (const broken of [{ active: away }, { get: away }, { floor: away }, { putFloor: away }]) {
    const failure = await handle(broken).shadow(delivery(shadow(), 1)).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(AppError);
    expect(failure).toMatchObject({ code: "broker_unavailable", isOutage: true });
  }
  expect(await guard()).toBeUndefined();
});

describe("a stored guard that cannot be read", () => {
  const putGuard = async (value: object) => { await (await new Kvm(nats).open(modelBucket("infer").name)).put(`floor.${version}`, JSON.stringify(value)); };

  it.each([
    ["of another shape", () => ({ version, guard: { steps: "all" } })],
    ["of another version", () => ({ version: "another", activated_at: activatedAt, counted: {}, guard: newGuard({}, 1) })],
  ])("%s leaves the baseline alone, and is said once, until the model is activated again", async (_name, value) => {
    const errors: string[] = [];
    const ownEnding = new AbortController();
    const own = await followModel({ nats, prefix: "infer", tierFile: FILE, log: pino({ level: "error" }, { write: (line: string) => void errors.push(line) }), observe: () => undefined }, { signal: ownEnding.signal, onClose: () => undefined });
    await vi.waitFor(() => { expect(decision()).toMatchObject({ step: { tier: "small" }, learned: { model_version: version, floor_steps: 0 } }); }, WAIT);
    await putGuard(value());
    await vi.waitFor(() => { expect(decision()).toMatchObject({ policy: "cascade-routing", step: { tier: "large" }, learned: { model_version: version, floor_steps: "all" } }); }, WAIT);
    expect([await gauge("infer_floor_in_doubt"), await gauge("infer_floor_steps_tightened")]).toEqual([{ "": "1" }, { "": "+Inf" }]);
    await handle().shadow(delivery(shadow(), 1)); // of before
    expect((await store.floor(version)).watched).toBe("unreadable");
    await vi.waitFor(() => { expect(errors).toHaveLength(1); }, WAIT); // the two routers look each in its own time

    activatedAt = (await store.activate(version)).activated_at;
    expect((await store.floor(version)).watched).toBeNull();
    await vi.waitFor(() => { expect([decision().learned?.floor_steps, own().guard]).toEqual([0, null]); }, WAIT);
    expect(errors.map((line) => /cannot read the guard/.test(line))).toEqual([true]);
    await handle().shadow(delivery(shadow(), 2));
    expect(await samples()).toBe(1);
    ownEnding.abort();
  });

  it("is taken away by a rollback too, and by no activation of another version", async () => {
    await putGuard({});
    const other = model("other");
    await store.put(other);
    await store.activate(other.version);
    expect((await store.floor(version)).watched).toBe("unreadable");
    expect(await store.rollback()).toMatchObject({ version });
    expect((await store.floor(version)).watched).toBeNull();
  });

  it("leaves the baseline alone in a router that starts", async () => {
    await putGuard({});
    const started = await followModel({ nats, prefix: "infer", tierFile: FILE, log, observe: () => undefined }, { signal: AbortSignal.abort(), onClose: () => undefined });
    expect(started()).toMatchObject({ model: { version }, guard: { steps: "all" } });
  });
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
  expect(await samples()).toBe(20);
});

describe("feedback", () => {
  it("of a bad stretch makes decisions more careful, then leaves the baseline alone, though answers agree", async () => {
    await start();
    await publish(20);
    await judge(20, { score: 1, source: "label" });
    await vi.waitFor(() => { expect(followed().guard?.tests).toMatchObject({ shadow: { state: { samples: 20 } }, feedback: { state: { samples: 20 }, target: 0.8 } }); }, WAIT);
    expect(await gauge("infer_floor_margins")).toEqual({ shadow: "20", feedback: "20" });

    await judge(25, { score: 0 });
    await vi.waitFor(() => { expect(decision()).toMatchObject({ learned: { floor_steps: 1, lambda_per_usd: 2 } }); }, WAIT);
    await settled();
    expect([await samples("shadow"), await samples("feedback")]).toEqual([0, 0]); // of the labels after the alarm, all were decided before it

    await judge(25, { score: 0 }, { floor_steps: 1 });
    await vi.waitFor(() => { expect(decision()).toMatchObject({ step: { tier: "large" }, learned: { floor_steps: "all" } }); }, WAIT);
  });

  it("counts the first of a request, from who judges any answer, on what the active model kept", async () => {
    const judged = await kept();
    const complained = await kept();
    await say(await kept(), { source: "user", score: 0 });
    await say(await kept(), { source: "thumbs", score: 0 });
    await say(complained, { source: "user", score: 0 });
    await say(complained, { score: 0 }); // asked because of the complaint, perhaps
    await say(judged);
    await say(judged, { score: 0 }); // a change of mind
    await say(judged, { source: "label", score: 0 }); // a second opinion
    await say("never-completed", { score: 0 });
    await say(await kept({ outcome: "degraded" }), { score: 0 });
    await say(await kept({ policy: "predictive" }), { score: 0 });
    await say(await kept({}, { model_version: "another" }), { score: 0 });
    await say(await kept({}, { floor_steps: 1 }), { score: 0 });
    for (const sign of [() => undefined, makeJudgedProof("t".repeat(32), "infer").sign]) await say(await kept(), { score: 0 }, sign); // no gateway let them judge
    await broker.acks.publish(feedbackSubject("infer", { tenant_id: "t1", request_id: "junk" }), new TextEncoder().encode("{}"), newTraceparent());
    await say(await kept(), { source: "label" });
    await start();
    await settled();
    expect((await guard())?.tests.feedback?.state).toMatchObject({ samples: 2, bound: { sum: 2 } });
    expect(await samples("shadow")).toBe(0);
  });

  it("on an answer of before the activation says nothing, however late it comes", async () => {
    const before = await kept();
    await vi.waitFor(() => { expect(Date.now()).toBeGreaterThan(Date.parse(activatedAt)); }, WAIT);
    activatedAt = (await store.activate(version)).activated_at;
    await say(before, { score: 0 });
    await say(await kept());
    await start();
    await settled();
    expect((await guard())?.tests.feedback?.state).toMatchObject({ samples: 1, bound: { sum: 1 } });
  });

  it("that is delivered again is counted once, whatever shadows were counted meanwhile", async () => {
    const seqs: number[] = [];
    for (const score of [1, 0.5]) {
      await say(await kept(), { score });
      seqs.push((await broker.jsm.streams.info("FEEDBACK")).state.last_seq);
    }
    const agreed = delivery(shadow(), 1);
    for (const seq of [...seqs, ...seqs]) {
      const stored = await broker.streams.bySequence("FEEDBACK", seq);
      if (stored === null) throw new Error("not stored");
      await handle().feedback(delivery(shadow(), seq, { subject: stored.subject, data: stored.data, stream: "FEEDBACK", storedAtMs: stored.time.getTime(), admitted: stored.header.get(ADMITTED_HEADER) }));
      await handle().shadow(agreed);
    }
    expect([await samples("feedback"), await samples("shadow")]).toEqual([2, 1]);
  });

  it("and shadows at once: none is lost in the race for the guard", async () => {
    await Promise.all([start(), start()]);
    await Promise.all([publish(60), judge(60, { score: 1 })]);
    await settled();
    expect([await samples("shadow"), await samples("feedback")]).toEqual([60, 60]);
  });

  it("says nothing of a model that does not know how good its answers are", async () => {
    const { version: _version, metrics, ...rest } = model("by agreement");
    const own = versioned({ ...rest, metrics: { ...metrics, cascade_routing: { rows: 1, quality_ratio: 1, saving: 0, margin_low: 0, agreement_low: 0.9 } } });
    await store.put(own);
    version = own.version;
    await store.activate(version);
    await start();
    await judge(3, { score: 0 });
    await publish(2);
    await settled();
    expect((await guard())?.tests).toMatchObject({ shadow: { state: { samples: 2 } } });
    expect((await guard())?.tests).not.toHaveProperty("feedback");
  });

  it("is held while what it is about cannot be read", async () => {
    await say(await kept());
    const seq = (await broker.jsm.streams.info("FEEDBACK")).state.last_seq;
    const stored = await broker.streams.bySequence("FEEDBACK", seq);
    if (stored === null) throw new Error("not stored");
    const away = () => Promise.reject(new AppError("broker_unavailable", "cannot read"));
    for (const broken of [{ last: away }, { first: away }]) {
      const failing = makeWatchFloor({ store, streams: { ...broker.streams, ...broken }, prefix: "infer", used, log, now: Date.now, isGenuine: PROOF.isGenuine });
      await expect(failing.feedback(delivery(shadow(), seq, { subject: stored.subject, data: stored.data, stream: "FEEDBACK", admitted: stored.header.get(ADMITTED_HEADER) }))).rejects.toMatchObject({ isOutage: true });
    }
    expect(await guard()).toBeUndefined();
  });
});

it("ends with the signal, and never rejects", async () => {
  const shutdown = new AbortController();
  const loop = runFloorWatch({ nats, js: broker.js, wire: broker.wire, streams: broker.streams, prefix: "nowhere", used, log, now: Date.now, isGenuine: PROOF.isGenuine, signal: shutdown.signal, drainMs: 1_000 });
  shutdown.abort();
  await loop;
});
