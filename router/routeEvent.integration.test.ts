import type { NatsConnection } from "@nats-io/transport-node";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it, vi } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeAnswerCache } from "#shared/cache/answerCache.ts";
import type { Decision, Facts } from "#shared/contracts/decision.ts";
import { type Attempt, Completion, DeadLetter, type EventError, Job, Result } from "#shared/contracts/events.ts";
import { Experiment } from "#shared/contracts/experiment.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import requestFixture from "#shared/contracts/fixtures/request.v1.json" with { type: "json" };
import resultFixture from "#shared/contracts/fixtures/result.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { DEFAULT_SETTINGS, type TenantStatus } from "#shared/contracts/tenant.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";
import { consume, type Delivery } from "#shared/messaging/consume.ts";
import { makeGiveUp } from "#shared/messaging/giveUp.ts";
import { completionSubject, requestSubject, sourcesOf } from "#shared/messaging/topology.ts";
import type { SagaContext } from "#shared/saga/inferenceMachine.ts";
import { messagesAfter, readSaga } from "#shared/saga/messagesAfter.ts";

import { drawsFor } from "#shared/runtime/drawsFor.ts";
import type { LiveTier } from "./policy/quoteTiers.ts";
import { makeRouteEvent, type RouterDeps } from "./routeEvent.ts";
import { makeSnapshots } from "./snapshots.ts";

const FILE = TierFile.parse(tierFixture);
const LIMITS = { defaultDeadlineMs: 30_000, maxDeadlineMs: 300_000, tierFile: FILE };
const TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const AT = resultFixture.request.accepted_at_ms;
let test: TestBroker;
let nats: NatsConnection;
let broker: TestBroker["broker"];
let route: ReturnType<typeof makeRouteEvent>;
let breakers: Record<string, LiveTier["breaker"]> = {};
const decisions: Decision[] = [];
const SHARE = 0.2;
/** The small tier first; its answer is kept above log-odds 0. */
const MODEL: RoutingModelFile = {
  type: "routing_model.v1", version: "v1", created_at: "2026-11-24T00:00:00Z", tiers: ["small", "medium", "large"], baseline_tier: "large", target: 0.97, risk: 0.05, latency_slo_ms: null,
  classes: { names: [], centroids: [] }, calibration: Array.from({ length: 3 }, () => ({ intercept: 0, slope: 5, class_intercepts: [], class_slopes: [] })),
  levels: [{ lambda_per_usd: 1, states: {
    "": { stop: null, blind: [[0.7, 0, 0], [0.6, 0, 0], [0.5, 0, 0]], read: [[0.8, 0, 0], [0.6, 0, 0], null] },
    "0": { stop: [0.5, 0, 0, 0, 0.3], blind: [null, [0.5, 0, 0, 0, 0], [0.4, 0, 0, 0, 0]], read: [null, null, null] },
    "1": { stop: [0.5, 0, 0, 0, 0.3], blind: [null, null, [0.5, 0, 0, 0, 0]], read: [null, null, null] },
  } }],
  operating: { cascade_routing_level: 0, predictive_level: null, cascade_keep_from: null }, data: { fingerprint: "f", rows: 1, sources: [] }, metrics: { cascade_routing: null, predictive: null, cascade: null },
};
let model: RoutingModelFile | null = null;
let status: TenantStatus = "active";
let settings = DEFAULT_SETTINGS;
/** What the limits say of requests that no gateway admitted, and of which they were asked. */
let limited: EventError | null = null;
const asked: string[] = [];
/** Prompts whose tokens were counted. */
const counted: unknown[] = [];
/** Requests that were counted as those of a tenant whose semantic cache is outdated. */
let outdated = 0;
let nowMs = AT + 10;
let paced: Facts["pacing"];
let n = 0;
const redis = connectRedis(inject("redisUrl"), "route-test", pino({ level: "silent" }));
const cache = makeAnswerCache({ redis, prefix: `routetest${process.pid}`, sealKey: Buffer.alloc(0), now: () => nowMs, observe: { kept: () => undefined, notKept: () => undefined, forged: () => undefined, unavailable: () => undefined } });
beforeAll(async () => {
  test = await startTestBroker(FILE.tiers);
  ({ nats, broker } = test);
  route = makeRouteEvent(deps());
});
const deps = (): RouterDeps => ({
    snapshots: makeSnapshots({ keys: [], streams: broker.streams, prefix: "infer" }),
    budgets: { decide: async ({ decide }) => ({ decision: decide(undefined) }) }, pacing: { factsFor: async () => paced },
    ...broker, cached: { cache, observe: () => undefined, observeOutdated: () => { outdated++; }, auditHit: () => undefined }, prefix: "infer", limits: LIMITS, standingOf: async () => ({ status, settings }), isAdmitted: (_id, origin, proof) => origin !== "direct" && proof !== "forged", admit: async ({ request_id }) => { asked.push(request_id); return limited; }, observe: (decision) => void decisions.push(decision), now: () => nowMs, routing: () => ({ model, floorSteps: 0 }), exploration: { share: SHARE, maxExtraCostNanoUsd: nanoUsd(10_000_000) },
    countTokens: (_file, input) => { counted.push(input); return new Map([["small", 3]]); },
    live: () => new Map(FILE.tiers.map(({ name }) => [name, { latency: null, queueDepth: 0, breaker: breakers[name] ?? "closed", workers: 1, slots: 1 }])),
    tracer: { span: (_name, { parent }, run) => run(parent ?? TRACE, () => undefined) },
});
afterAll(async () => {
  redis.disconnect();
  await test.remove();
});
beforeEach(() => { n++; breakers = {}; model = null; paced = undefined; status = "active"; settings = DEFAULT_SETTINGS; limited = null; nowMs = AT + 10; asked.length = 0; decisions.length = 0; });

const id = () => ({ tenant_id: "t1", request_id: `r-${n}` });
const renamed = <T extends object>(event: T): T => JSON.parse(JSON.stringify(event).replaceAll('"r-1"', `"r-${n}"`)) as T;
const delivery = (subject: string, body: unknown, over: Partial<Delivery> = {}): Delivery => ({
  subject, data: new TextEncoder().encode(JSON.stringify(body)), stream: "REQUESTS", seq: 1, storedAtMs: AT, deliveries: 1, traceparent: TRACE, mayBeRepeat: false, lease: new AbortController().signal, ...over,
});
const request = (over: Partial<Delivery> = {}, body: object = {}) => delivery(requestSubject("infer", id()), { ...renamed(requestFixture), ...body }, over);
const result = (over: Partial<Delivery> = {}) => delivery(`infer.result.t1.r-${n}.2`, renamed(resultFixture), over);
const attemptsOf = ({ saga }: Pick<typeof resultFixture, "saga">) => saga.context.finished;
const jobs = () => broker.streams.subjects("JOBS", `infer.job.*.t1.r-${n}.*`);
const completion = async () => (await broker.streams.last("COMPLETIONS", completionSubject("infer", id())))?.json<Completion>() ?? null;

describe("a request", () => {
  it("of a paced tenant is decided by the λ that its budget allows, which its record says", async () => {
    paced = { lambda_per_usd: 7, window: "month", may_go_below_floor: true };
    await route.request(request());
    expect(decisions).toMatchObject([{ facts: { pacing: paced } }]);
  });

  it("becomes a job for the tier that was chosen, with request, saga and trace", async () => {
    await route.request(request());
    const stored = await broker.streams.last("JOBS", `infer.job.small.t1.r-${n}.1`);
    expect(Job.parse(stored?.json())).toMatchObject({ tier: "small", attempt: 1, request: { ...id(), accepted_at_ms: AT, origin: requestFixture.origin }, saga: { state: "awaitingResult" } });
    expect([stored?.header.get("traceparent"), decisions]).toMatchObject([TRACE, [{ after_attempt: 0, step: { kind: "run", tier: "small" } }]]);
  });

  it("of the running experiment is decided by its arm's policy and model, which its job and each later decision go by, also once it is over", async () => {
    const at = new Date(0).toISOString();
    const arms = [{ name: "control", policy: "cascade-routing", model_version: "v1", share: 0.999_999 }, { name: "canary", policy: "static", share: 0.000_001 }];
    let running: Experiment | null = Experiment.parse({ experiment_id: "e1", kind: "ab", arms, scope: {}, unit: "request", metric: { quality: "feedback", max_loss: 0.02, risk: 0.05 }, max_requests: 10, ends_at: null, started_at: at, status: "running", history: [{ at, status: "running", why: "test" }] });
    const arm = { experiment_id: "e1", arm: "control", share: 0.999_999, model_version: "v1" };
    const experimenting = makeRouteEvent({ ...deps(), limits: { ...LIMITS, experiment: () => running }, routing: (given) => ({ model: given?.model_version === "v1" ? MODEL : null, floorSteps: 0 }) });
    await experimenting.request(request({}, { policy: undefined }));
    const stored = Job.parse((await broker.streams.last("JOBS", `infer.job.small.t1.r-${n}.1`))?.json());
    expect(stored.request).toMatchObject({ policy: "cascade-routing", experiment: arm });
    running = null;
    await experimenting.result(delivery(`infer.result.t1.r-${n}.2`, { ...renamed(resultFixture), request: stored.request }));
    expect(decisions).toMatchObject([{ policy: "cascade-routing", learned: { model_version: "v1" } }, { policy: "cascade-routing", learned: { model_version: "v1" } }]);
    const [ended] = messagesAfter(stored.request, readSaga(stored.saga), { type: "CLOSED", error: { code: "poison", message: "given up" } }, { nowMs, traceId: "t" });
    expect(ended).toMatchObject({ type: "completion.v1", experiment: { experiment_id: "e1", arm: "control", share: 0.999_999 } });
    expect(ended).not.toHaveProperty("experiment.model_version");
  });

  it("has its prompt counted once, for all of its decisions, which record it", async () => {
    counted.length = 0;
    await route.request(request());
    await route.result(result());
    expect(counted).toEqual([requestFixture.input]);
    expect(decisions.map(({ facts }) => facts.quotes[0])).toMatchObject([{ tier: "small", tokens_source: "counted", input_tokens: 3 }, { tokens_source: "estimated" }]); // the fixture's earlier decision had counted nothing
  });

  it("that is delivered again does not become a second job, though the tier would be another one now", async () => {
    await route.request(request());
    breakers = { small: "open" };
    await route.request(request({ mayBeRepeat: true, deliveries: 2 }));
    expect(await jobs()).toEqual([`infer.job.small.t1.r-${n}.1`]);
  });

  it("that was held long, by a router that was blocked meanwhile, does not become a second job where another router was quicker", async () => {
    await route.request(request());
    breakers = { small: "open" };
    await route.request(request({ isHeldLong: () => true }));
    expect(await jobs()).toEqual([`infer.job.small.t1.r-${n}.1`]);
  });

  it("that ended while its router was blocked gets no job, and what was reserved for it is freed", async () => {
    const endedAt: (number | null)[] = [];
    const budgeted = makeRouteEvent({ ...deps(), budgets: { decide: async ({ endedAtSeq, decide }) => {
      const endSeq = await endedAtSeq();
      endedAt.push(endSeq);
      return endSeq === null ? { decision: decide(undefined) } : { hasEnded: true };
    } } });
    const ended = { ...renamed(resultFixture), type: "completion.v1" };
    await broker.acks.publish(completionSubject("infer", id()), new TextEncoder().encode(JSON.stringify(ended)));
    await budgeted.request(request({ isHeldLong: () => true }));
    const stored = await broker.streams.last("COMPLETIONS", completionSubject("infer", id()));
    expect([endedAt, await jobs()]).toEqual([[stored?.seq], []]);
    await budgeted.request(request()); // one that was not held asks nothing more
    expect(endedAt).toEqual([stored?.seq, null]);
  });

  it("of a batch becomes a job of the batch lane, which a redelivery finds", async () => {
    await route.request(request({}, { priority: "batch" }));
    breakers = { small: "open" };
    await route.request(request({ mayBeRepeat: true, deliveries: 2 }, { priority: "batch" }));
    expect([await jobs(), await broker.streams.subjects("JOBS", `infer.batchjob.*.t1.r-${n}.*`)]).toEqual([[], [`infer.batchjob.small.t1.r-${n}.1`]]);
  });

  it("that is delivered again before anything came of it becomes its job", async () => {
    await route.request(request({ mayBeRepeat: true, deliveries: 2 }));
    expect(await jobs()).toEqual([`infer.job.small.t1.r-${n}.1`]);
  });

  it("that nothing can be tried for is rejected, durably", async () => {
    await route.request(request({}, { budget: 0 }));
    expect([await jobs(), await completion()]).toMatchObject([[], { outcome: "rejected", error: { code: "budget_exceeded" }, cost_nano_usd: 0 }]);
  });

  it("of a suspended tenant is rejected, durably, without a decision", async () => {
    status = "suspended";
    await route.request(request());
    expect([await jobs(), await completion(), decisions]).toMatchObject([[], { outcome: "rejected", error: { code: "tenant_suspended" }, cost_nano_usd: 0 }, []]);
  });

  it("that no gateway admitted is held to the limits, whatever name it has, and its origin becomes its publisher's", async () => {
    limited = { code: "rate_limited", message: "tenant t1 may ask for no more" };
    await route.request(request({ admitted: "forged" }));
    expect([await jobs(), await completion(), asked]).toMatchObject([[], { outcome: "rejected", error: limited, origin: "direct", cost_nano_usd: 0 }, [`r-${n}`]]);
    limited = null;
    n++;
    await route.request(request({}, { origin: undefined }));
    expect([await jobs(), asked.length]).toEqual([[`infer.job.small.t1.r-${n}.1`], 2]);
  });

  it("that a gateway admitted is not asked for again", async () => {
    limited = { code: "rate_limited", message: "m" };
    await route.request(request({ admitted: "genuine" }));
    expect([await jobs(), asked]).toEqual([[`infer.job.small.t1.r-${n}.1`], []]);
  });

  it("that has its job goes on when it is delivered again, whatever the limits say now", async () => {
    await route.request(request({}, { origin: undefined }));
    limited = { code: "rate_limited", message: "m" };
    await route.request(request({ mayBeRepeat: true, deliveries: 2 }, { origin: undefined }));
    expect([await jobs(), await completion()]).toEqual([[`infer.job.small.t1.r-${n}.1`], null]);
  });

  it("runs on tiers that its tenant allows, and the record says which were not", async () => {
    settings = { ...DEFAULT_SETTINGS, allowed_tiers: ["large"] };
    await route.request(request());
    expect([await jobs(), decisions]).toMatchObject([[`infer.job.large.t1.r-${n}.1`], [{ step: { tier: "large", excluded: { small: "not_allowed", medium: "not_allowed" } } }]]);
  });

  it("that names no policy has its tenant's, and what was asked goes into the record only where that is kept", async () => {
    settings = { ...DEFAULT_SETTINGS, policy: "always-medium", retention: { prompts: "stored", days: null } };
    await route.request(request({}, { policy: undefined, budget: 0 }));
    const { policy, input, input_sha256 } = (await completion()) ?? {};
    expect([policy, input, input_sha256]).toEqual(["always-medium", requestFixture.input, expect.stringMatching(/^[0-9a-f]{64}$/)]);
    n++;
    settings = DEFAULT_SETTINGS;
    await route.request(request({}, { budget: 0 }));
    expect(await completion()).toMatchObject({ input_sha256 });
    expect(await completion()).not.toHaveProperty("input");
  });

  it("past its deadline ends without a call", async () => {
    nowMs = AT + 20_000;
    await route.request(request());
    expect([await jobs(), await completion(), decisions]).toMatchObject([[], { outcome: "failed", error: { code: "deadline_exceeded" } }, []]);
  });

  it("that no tier can answer in what is left until its deadline is rejected without a call", async () => {
    nowMs = AT + 19_999;
    await route.request(request());
    expect([await jobs(), await completion(), decisions]).toMatchObject([[], { outcome: "rejected", error: { code: "deadline_exceeded" } }, [{ step: { kind: "stop" } }]]);
  });

  it.each([
    ["a direct publisher's", { origin: undefined }, {}],
    ["one that is delivered again", {}, { mayBeRepeat: true }],
  ])("that has its outcome already is answered again and not run: %s", async (_name, body, over) => {
    const stored = Completion.parse({ ...renamed(completionFixture), origin: "gw-1" });
    await broker.publisher.emit(stored, TRACE);
    const replies: unknown[] = [];
    const subscription = nats.subscribe("infer.reply.>", { callback: (_error, message) => void replies.push(message.json()) });
    await nats.flush();
    await route.request(request(over, body));
    await vi.waitFor(() => { expect(replies).toEqual([stored]); });
    expect(await jobs()).toEqual([]);
    subscription.unsubscribe();
  });

  it("that has an outcome of a version not known here has ended: it is not run, and nobody is answered", async () => {
    await broker.acks.publish(completionSubject("infer", id()), new TextEncoder().encode('{"type":"completion.v2"}'));
    await route.request(request({ mayBeRepeat: true }));
    expect(await jobs()).toEqual([]);
  });

  it.each([["infer.request.t1.*", "bad_subject"], ["infer.request.t2.r-1", "invalid_request"], ["infer.request.t1.other", "invalid_request"]])("under %s is refused for good as %s", async (subject, code) => {
    await expect(route.request(delivery(subject, requestFixture))).rejects.toMatchObject({ code, retryable: false });
  });
});

describe("a request of a tenant that has answers kept", () => {
  const asked = { origin: undefined, metadata: undefined };
  beforeAll(() => waitUntil(() => Promise.resolve(redis.status === "ready" ? true : undefined), { deadlineMs: 10_000, describe: () => redis.status }));
  beforeEach(() => { settings = { ...DEFAULT_SETTINGS, cache: { mode: "all", ttl_s: 60 } }; });
  const jobOf = async () => Job.parse((await broker.streams.last("JOBS", `infer.job.*.t1.r-${n}.1`))?.json()).request;

  it("carries where its answer is kept; a direct publisher's gets that one when it comes again under another id", async () => {
    await route.request(request({}, { ...asked, input: `kept ${n}` }));
    const first = await jobOf();
    expect(first.cache).toEqual({ key: expect.stringMatching(/^[\w-]{43}$/) as string, ttl_s: 60 });
    await cache.keep(first, { ...Completion.parse(completionFixture), ...id(), completed_at_ms: nowMs });
    const input = `kept ${n}`, source_request_id = `r-${n}`;
    n++;
    await route.request(request({}, { ...asked, input }));
    expect([await jobs(), await completion()]).toMatchObject([[], { outcome: "completed", cost_nano_usd: 0, output: completionFixture.output, cache: { kind: "exact", source_request_id } }]);
    n++;
    await route.request(request({}, { ...asked, input, cache_control: "no-cache" }));
    expect(await jobOf()).toMatchObject({ cache: first.cache });
    n++;
    await route.request(request({}, { input })); // a gateway's: that has looked
    expect(await jobs()).toHaveLength(1);
  });

  it("is answered with the kept answer though the queue is too long, and rejected without one", async () => {
    const error = { code: "overloaded", message: "m", retry_after_ms: 1_000 } as const;
    const shedding = makeRouteEvent({ ...deps(), shed: async (_request, _seq, isKept) => ((await isKept()) ? null : error) });
    await route.request(request({}, { ...asked, input: `busy ${n}` }));
    await cache.keep(await jobOf(), { ...Completion.parse(completionFixture), ...id(), completed_at_ms: nowMs });
    const input = `busy ${n}`;
    n++;
    await shedding.request(request({}, { ...asked, input }));
    expect([await jobs(), await completion()]).toMatchObject([[], { outcome: "completed", cache: { kind: "exact" } }]);
    n++;
    await shedding.request(request({}, { ...asked, input: `never ${n}` }));
    expect([await jobs(), await completion()]).toMatchObject([[], { outcome: "rejected", error }]);
  });

  it.each([["wants nothing stored", { cache_control: "no-store" }], ["may come out otherwise, where only what is deterministic is kept", { input: "hi" }]])("carries nothing when it %s", async (_name, body) => {
    if (!("cache_control" in body)) settings = { ...DEFAULT_SETTINGS, cache: { mode: "deterministic", ttl_s: 60 } };
    await route.request(request({}, { ...asked, max_tier: "large", ...body }));
    expect(await jobOf()).not.toHaveProperty("cache");
  });

  it("is counted where the tenant's semantic cache waits for an evaluation, unless a gateway has counted it", async () => {
    settings = { ...DEFAULT_SETTINGS, cache: { mode: "all", ttl_s: 60, semantic: { max_false_hit_rate: 0.01, audit_share: 0, guard_version: 99 } } };
    const before = outdated;
    await route.request(request({}, { input: `outdated ${n}` })); // a gateway's
    const ofGateway = outdated - before;
    n++;
    await route.request(request({}, { ...asked, input: `outdated ${n}` }));
    expect([ofGateway, outdated - before]).toEqual([0, 1]);
  });

  it("is rejected when it wants a kept answer or none and there is none, also of a tenant that has none kept", async () => {
    for (const mode of ["all", "off"] as const) {
      n++;
      settings = { ...DEFAULT_SETTINGS, cache: { mode, ttl_s: 60 } };
      await route.request(request({ mayBeRepeat: mode === "all" }, { ...asked, input: `none ${n}`, cache_control: "only-if-cached" }));
      expect([await jobs(), await completion()]).toMatchObject([[], { outcome: "rejected", error: { code: "not_cached" }, cost_nano_usd: 0 }]);
    }
  });
});

describe("a request that explores", () => {
  /** The next ids that draw what is wanted. */
  const seek = (isWanted: (whether: number, which: number) => boolean) => { while (!isWanted(...drawsFor("explore", id()))) n++; };
  const job = async () => Job.parse((await broker.streams.last("JOBS", `infer.job.*.t1.r-${n}.1`))?.json());
  const free = { policy: "cascade-routing", latency_slo_ms: undefined, min_quality: undefined, min_tier: undefined, max_tier: undefined, budget: 1 };
  beforeEach(() => { model = MODEL; });

  it("begins with the tier that its id draws, and carries how probable that was and from when on the answer is kept", async () => {
    seek((whether, which) => whether < SHARE && which >= 1 / 3 && which < 2 / 3);
    await route.request(request({}, free));
    const { tier, saga } = await job();
    expect([tier, decisions]).toMatchObject(["medium", [{ step: { tier: "medium" }, exploration: { greedy: "small", eligible: ["small", "medium", "large"], is_explored: true, propensity: SHARE / 3 } }]]);
    const { acceptance, decisions: carried } = readSaga(saga).context;
    expect(carried).toEqual(decisions);
    expect(acceptance?.min_confidence).toBeGreaterThan(0.5);
  });

  it("is decided alike by whoever gets it again", async () => {
    seek((whether, which) => whether < SHARE && which >= 2 / 3);
    await route.request(request({}, free));
    await route.request(request({}, free)); // by a router that does not know of the first
    expect(decisions[1]).toEqual(decisions[0]);
    expect(await jobs()).toEqual([`infer.job.large.t1.r-${n}.1`]);
  });

  it.each([["whose id draws nothing", (whether: number) => whether >= SHARE, {}], ["that has a latency SLO", (whether: number, which: number) => whether < SHARE && which > 0.5, { latency_slo_ms: 60_000 }]])("is not one %s", async (_name, isWanted, over) => {
    seek(isWanted);
    await route.request(request({}, { ...free, ...over }));
    expect([await jobs(), decisions]).toMatchObject([[`infer.job.small.t1.r-${n}.1`], [{ exploration: { is_explored: false } }]]);
  });

  it("escalates as usual when its answer is not good enough, and draws no second time", async () => {
    seek((whether, which) => whether < SHARE && which >= 1 / 3 && which < 2 / 3);
    await route.request(request({}, free));
    const { request: accepted, saga } = await job();
    const answer = { ...attemptsOf(resultFixture)[1], attempt: 1, tier: "medium", outcome: { kind: "answered", is_sound: true, confidence: 0.2, confidence_source: "prior" } } as Completion["attempts"][number];
    const [unsure] = messagesAfter(accepted, readSaga(saga), { type: "RESULT", result: answer, output: "maybe" }, { nowMs, traceId: "0".repeat(32) });
    expect(unsure?.type).toBe("result.v1");
    await route.result(delivery(`infer.result.t1.r-${n}.1`, unsure));
    expect(decisions[1]).toMatchObject({ after_attempt: 1, step: { kind: "run", tier: "large" } });
    expect(decisions[1]?.exploration).toBeUndefined();
  });
});

describe("a result", () => {
  it("leads to a job for the next tier", async () => {
    await route.result(result());
    expect([await jobs(), await completion()]).toEqual([[`infer.job.large.t1.r-${n}.3`], null]);
  });

  it("that is delivered again is not decided again: the request does not end while the job runs that the first decision led to", async () => {
    await route.result(result());
    breakers = { large: "open" };
    await route.result(result({ mayBeRepeat: true, deliveries: 2 }));
    expect([await jobs(), await completion()]).toEqual([[`infer.job.large.t1.r-${n}.3`], null]);
  });

  it("leads to the best answer so far when no tier is left", async () => {
    breakers = { large: "open" };
    await route.result(result());
    expect([await jobs(), await completion()]).toMatchObject([[], { outcome: "degraded", degraded_reason: "unavailable", output: "maybe", cost_nano_usd: 30_000 }]);
  });

  it("past the deadline is closed with the best answer so far", async () => {
    nowMs = AT + 20_000;
    await route.result(result());
    expect([await jobs(), await completion()]).toMatchObject([[], { outcome: "degraded", degraded_reason: "deadline", output: "maybe" }]);
  });

  it("whose worker saw the deadline pass is closed, though this router's clock is a little behind", async () => {
    nowMs = AT + 19_998;
    const { saga } = resultFixture, [first] = saga.context.finished;
    const cutOff = { ...first, attempt: 3, tier: "large", outcome: { kind: "failed", code: "deadline_exceeded", message: "the deadline passed during the call" } };
    await route.result(delivery(`infer.result.t1.r-${n}.3`, { ...renamed(resultFixture), attempt: 3, saga: { ...saga, context: { ...saga.context, attempt: 3, tier: "large", finished: [...saga.context.finished, cutOff] } } }));
    expect([await jobs(), await completion(), decisions]).toMatchObject([[], { outcome: "degraded", degraded_reason: "deadline", output: "maybe" }, []]);
  });

  it.each([
    ["all of them when it cannot be read", () => ({ type: "completion.v2" }), [1, 2]],
    ["those that are not in it", (own: Completion) => ({ ...own, attempts: own.attempts.slice(0, 1) }), [2]],
    ["none when it has them all: that is this router's own, from before a crash", (own: Completion) => ({ ...own, completed_at_ms: own.completed_at_ms + 1 }), []],
  ])("that comes after another outcome keeps its paid attempts as dead letters: %s", async (_name, firstOf, kept) => {
    const own = Completion.parse({ ...renamed(completionFixture), attempts: attemptsOf(resultFixture) });
    await broker.acks.publish(completionSubject("infer", id()), new TextEncoder().encode(JSON.stringify(firstOf(own))));
    const from = (await broker.jsm.streams.info("DEAD_LETTERS")).state.last_seq;
    nowMs = AT + 20_000;
    await route.result(result({ stream: "RESULTS", seq: 9 }));
    const letters: DeadLetter[] = [];
    for (let seq = from + 1; seq <= (await broker.jsm.streams.info("DEAD_LETTERS")).state.last_seq; seq++) letters.push(DeadLetter.parse((await broker.streams.bySequence("DEAD_LETTERS", seq))?.json()));
    expect(letters.map(({ late_attempt }) => late_attempt?.attempt)).toEqual(kept);
    for (const letter of letters) expect(letter).toMatchObject({ ...id(), stream: "RESULTS", stream_seq: 9, subject: `infer.result.t1.r-${n}.2`, reason: "late_result" });
  });
});

it("in its loop, answers for what a publisher sent wrongly, by the subject, and goes on", async () => {
  const shutdown = new AbortController();
  const now = () => Date.now();
  const loop = consume({
    js: broker.js, wire: broker.wire, log: pino({ level: "silent" }), source: sourcesOf("infer").routerRequests, concurrency: 8, signal: shutdown.signal,
    giveUp: makeGiveUp({ publisher: broker.publisher, prefix: "infer", limits: LIMITS, now }), handle: (one) => route.request(one),
  });
  const bodies: Record<string, string> = { "infer.request.t1.text": "not json", "infer.request.t1.v99": '{"type":"request.v99"}', "infer.request.t1.nul": JSON.stringify({ user_id: "u", input: "a\0", budget: 1 }), "infer.request.t1.>": "{}", "infer.request.t1.good": JSON.stringify({ user_id: "u", input: "hi", budget: 1 }) };
  for (const [subject, body] of Object.entries(bodies)) await broker.acks.publish(subject, new TextEncoder().encode(body));
  const codeOf = async (request_id: string) => Completion.safeParse((await broker.streams.last("COMPLETIONS", completionSubject("infer", { tenant_id: "t1", request_id })))?.json()).data?.error?.code;
  await vi.waitFor(async () => {
    expect([await codeOf("text"), await codeOf("v99"), await codeOf("nul")]).toEqual(["invalid_json", "unsupported_version", "invalid_unicode"]);
    expect(await broker.streams.subjects("JOBS", "infer.job.*.t1.good.*")).toEqual(["infer.job.small.t1.good.1"]);
    expect(DeadLetter.parse((await broker.streams.last("DEAD_LETTERS", "infer.deadletter.REQUESTS.unknown"))?.json())).toMatchObject({ subject: "infer.request.t1.>", reason: "bad_subject" });
  }, { timeout: 10_000, interval: 50 });
  shutdown.abort();
  await loop;
});

it("in its loop, a result whose spent, tier or tenant was changed on its way is kept as bad_snapshot, and its request ends with the best answer that its job knew", async () => {
  const shutdown = new AbortController();
  const snapshots = makeSnapshots({ keys: ["k".repeat(32)], streams: broker.streams, prefix: "infer" });
  const signing = makeRouteEvent({ ...deps(), snapshots });
  const changes: Record<string, (result: Result) => void> = {
    spent: ({ saga }) => { Object.assign((saga["context"] as SagaContext).finished[1] ?? {}, { cost_nano_usd: 0 }); },
    tier: ({ saga }) => { Object.assign(saga["context"] as object, { tier: "medium" }); },
    tenant: ({ request: changed }) => { changed.tenant_id = "t2"; },
    nothing: () => undefined,
  };
  const answer = { ...(attemptsOf(resultFixture)[1] as unknown as Attempt), attempt: 3, tier: "large", cost_nano_usd: nanoUsd(1_000) };
  for (const [name, change] of Object.entries(changes)) {
    const job = snapshots.sign(Job.parse(JSON.parse(JSON.stringify(jobFixture).replaceAll('"r-1"', `"${name}"`))));
    await broker.publisher.emit(job, TRACE);
    const [made] = messagesAfter(job.request, readSaga(job.saga), { type: "RESULT", result: { ...answer, outcome: { kind: "answered", is_sound: true, confidence: 0, confidence_source: "c" } }, output: "perhaps" }, { nowMs: AT, traceId: "t" });
    const result = Result.parse({ ...JSON.parse(JSON.stringify(made)) as object, routed: { saga: job.saga, signature: job.signature } });
    change(result);
    await broker.publisher.emit(result, TRACE);
  }
  const loop = consume({
    js: broker.js, wire: broker.wire, log: pino({ level: "silent" }), source: sourcesOf("infer").routerResults, concurrency: 8, signal: shutdown.signal, handle: (one) => signing.result(one),
    giveUp: makeGiveUp({ publisher: broker.publisher, prefix: "infer", limits: LIMITS, now: () => nowMs, readResult: snapshots.openOrJob }),
  });
  const endOf = async (request_id: string) => Completion.safeParse((await broker.streams.last("COMPLETIONS", completionSubject("infer", { tenant_id: "t1", request_id })))?.json()).data;
  await vi.waitFor(async () => {
    const ends = await Promise.all(Object.keys(changes).map(endOf));
    for (const end of ends.slice(0, 3)) expect(end).toMatchObject({ outcome: "degraded", tenant_id: "t1", output: "maybe", tier: "medium", cost_nano_usd: 30_000 });
    expect(ends[3]).toMatchObject({ cost_nano_usd: 31_000, attempts: [{ attempt: 1 }, { attempt: 2 }, { attempt: 3 }] });
  }, { timeout: 10_000, interval: 50 });
  shutdown.abort();
  await loop;
  const letters = [];
  const { state } = await broker.jsm.streams.info("DEAD_LETTERS");
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) letters.push(DeadLetter.parse((await broker.streams.bySequence("DEAD_LETTERS", seq))?.json()));
  expect(letters.filter(({ reason }) => reason === "bad_snapshot").map(({ stream, request_id }) => [stream, request_id]).sort()).toEqual([["RESULTS", "spent"], ["RESULTS", "tenant"], ["RESULTS", "tier"]]);
}, 20_000);
