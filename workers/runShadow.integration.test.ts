import type { NatsConnection } from "@nats-io/transport-node";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";

import { isDrained } from "#infra/embedded/isDrained.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { ofOneBackend } from "#infra/ofOneBackend.ts";
import { CacheAudit, type CacheAuditJob } from "#shared/contracts/cacheAudit.ts";
import type { Input } from "#shared/contracts/chat.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { DeadLetter } from "#shared/contracts/events.ts";
import jobFixture from "#shared/contracts/fixtures/shadow_job.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import shadowFixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import { Shadow, type ShadowAnswer, ShadowJob, ShadowTierEvent } from "#shared/contracts/shadow.ts";
import { type Tier, TierFile } from "#shared/contracts/tiers.ts";
import { consumePerSlot } from "#shared/messaging/consume.ts";
import { keepDeadLetter } from "#shared/messaging/keepDeadLetter.ts";
import { shadowSubject, shadowTierSubject, shadowWorkerSource, subjectOf } from "#shared/messaging/topology.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import type { BackendAnswer } from "./backends/backend.ts";
import { BackendError } from "./backends/backendError.ts";
import { makeRunShadow, type ShadowDeps } from "./runShadow.ts";

const FILE = TierFile.parse(tierFixture);
const LARGE = { ...(FILE.tiers.find(({ name }) => name === "large") as Tier), timeout_ms: 200 };
const TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const SURE: BackendAnswer = { output: "spam", model: "l-1", usage: { input_tokens: 10, output_tokens: 2, source: "reported" }, is_sound: true, confidence: 0.9, confidence_source: "token_logprobs" };
const COST = 10 * 2_500 + 2 * 10_000 + 100_000;
const WAIT = { timeout: 10_000, interval: 20 };
const { tracer } = startTracing(undefined, "test");
let test: TestBroker;
let nats: NatsConnection;
let broker: TestBroker["broker"];
let loop: Promise<void>;
const shutdown = new AbortController();
/** What the model says to an input. */
const answers = new Map<Input, (signal: AbortSignal) => Promise<BackendAnswer>>();
const called: [input: Input, traceparent: string][] = [];
const observed: string[] = [];
const audits: CacheAudit[] = [];
/** Publishes that are stored while their publisher never hears of it. */
let unheard = 0;
/** Processes that die before they publish an event. */
let dying = 0;
let running = 0, mostRunning = 0, n = 0;

beforeAll(async () => {
  test = await startTestBroker(FILE.tiers);
  ({ nats, broker } = test);
  const publisher: ShadowDeps["publisher"] = {
    ...broker.publisher,
    async emit(event, traceparent) {
      if (event.type !== "shadow_job.v1" && dying > 0) {
        dying--;
        throw new TypeError("the process dies");
      }
      const published = await broker.publisher.emit(event, traceparent);
      if (unheard-- > 0) throw new AppError("accept_unknown", "no PubAck");
      return published;
    },
  };
  const runShadow = makeRunShadow({
    ...broker, publisher, tier: LARGE, prefix: "infer", now: Date.now, random: () => 0, tracer,
    observe: ({ request_id }) => void observed.push(request_id), observeAudit: (_run, audit) => void audits.push(audit),
    replicas: ofOneBackend({ ...LARGE, breaker: { failures_in_a_row: 100, open_for_ms: 100 } }, {
      call: async (input, { traceparent, signal }) => {
        called.push([input, traceparent]);
        mostRunning = Math.max(mostRunning, ++running);
        return (answers.get(input) ?? (async () => SURE))(signal).finally(() => { running--; });
      },
      close: async () => undefined,
    }),
  });
  loop = consumePerSlot({ js: broker.js, wire: broker.wire, log: pino({ level: "silent" }), source: shadowWorkerSource("infer", LARGE), concurrency: 1, signal: shutdown.signal, giveUp: keepDeadLetter(broker.publisher, "infer", Date.now), handle: runShadow });
});
afterAll(async () => {
  shutdown.abort();
  await loop;
  await test.remove();
});
beforeEach(() => { unheard = 0; dying = 0; });

/** A job whose input is its id. */
const newJob = (over: Partial<ShadowJob> = {}) => ShadowJob.parse({ ...jobFixture, request_id: `r-${++n}`, input: `r-${n}`, ...over });
const ANSWERS = ShadowJob.parse(jobFixture).answers as [ShadowAnswer];
/** What the request was given. */
const given = (output: string) => [{ ...ANSWERS[0], output }];
const calls = ({ input }: ShadowJob) => called.filter(([asked]) => asked === input).length;
const shadowOf = async (job: ShadowJob) => Shadow.safeParse((await broker.streams.last("SHADOWS", shadowSubject("infer", job)))?.json()).data ?? null;
const settled = () => vi.waitFor(async () => {
  expect(await isDrained(broker.jsm, "SHADOW_JOBS", "shadow-worker-large")).toBe(true);
}, WAIT);
const run = async (job: ShadowJob) => {
  await broker.publisher.emit(job, TRACE);
  await settled();
  return shadowOf(job);
};
const lastLetter = async () => DeadLetter.safeParse((await broker.streams.last("DEAD_LETTERS", "infer.deadletter.SHADOW_JOBS.t1"))?.json()).data ?? null;

it.each([["spam", "spam", 1], ["Spam.", "spam", 1], ["ham", "spam", 0], ["it is spam", "spam", 0.5]])("says how far the kept answer %j is what this tier says, %j: %d", async (output, said, agreement) => {
  const job = newJob({ answers: given(output), model_version: "v1", floor_steps: 1 });
  answers.set(job.input, async () => ({ ...SURE, output: said }));
  expect(await run(job)).toMatchObject({
    request_id: job.request_id, policy: "cascade", kept: { tier: "small", model: "s-1", confidence: 0.97 }, agreement, model_version: "v1", floor_steps: 1,
    reference: { tier: "large", attempt: { tier: "large", model: "l-1", tries: 1, cost_nano_usd: COST, usage: SURE.usage, outcome: { kind: "answered" } } },
  });
  expect([calls(job), called.at(-1)]).toEqual([1, [job.input, TRACE]]);
});

it("holds neither prompt nor answer in its event", async () => {
  const job = newJob({ input: "sk-secret-123", answers: given("sk-secret-123") });
  answers.set(job.input, async () => ({ ...SURE, output: "sk-secret-123" }));
  await run(job);
  expect((await broker.streams.last("SHADOWS", shadowSubject("infer", job)))?.string()).not.toContain("sk-secret-123");
});

it.each<[string, () => Promise<BackendAnswer>, object]>([
  ["a truncated answer", async () => ({ ...SURE, is_sound: false }), { tries: 1, cost_nano_usd: COST, outcome: { kind: "answered", is_sound: false } }],
  ["a refusal", async () => Promise.reject(new BackendError("backend_refused", "401")), { tries: 1, cost_nano_usd: 0, cost_is_partial: false, outcome: { kind: "failed", code: "backend_refused" } }],
  ["an outage", async () => Promise.reject(new BackendError("backend_unavailable", "busy", { mayHaveCost: true })), { tries: 1, cost_is_partial: true, outcome: { kind: "failed", code: "backend_unavailable" } }],
])("of %s is recorded without an agreement, and with its cost", async (_name, answer, attempt) => {
  const job = newJob();
  answers.set(job.input, answer);
  expect(await run(job)).toMatchObject({ agreement: null, reference: { tier: "large", attempt } });
  expect(calls(job)).toBe(1);
});

it("ends by the tier's own time, however long ago the request had its deadline", async () => {
  const job = newJob();
  answers.set(job.input, (signal) => new Promise((_resolve, reject) => { signal.addEventListener("abort", () => { reject(new Error("aborted")); }); }));
  expect(await run(job)).toMatchObject({ agreement: null, reference: { attempt: { outcome: { kind: "failed", code: "backend_unavailable", message: "no answer within the tier's timeout_ms" }, cost_is_partial: true } } });
});

it("runs one at a time", async () => {
  mostRunning = 0;
  const jobs = Array.from({ length: 6 }, () => newJob());
  for (const job of jobs) answers.set(job.input, async () => { await nats.flush(); return SURE; });
  await Promise.all(jobs.map((job) => broker.publisher.emit(job, TRACE)));
  await settled();
  expect([mostRunning, jobs.map(calls)]).toEqual([1, jobs.map(() => 1)]);
});

it("does not call again when its event was stored and nobody knew", async () => {
  const job = newJob();
  unheard = 1;
  const letter = await lastLetter();
  expect(await run(job)).toMatchObject({ agreement: 1 });
  expect([calls(job), await lastLetter()]).toEqual([1, letter]);
});

it("calls once more after a crash before its event, and records one", async () => {
  const job = newJob();
  answers.set(job.input, async () => {
    if (calls(job) === 1) throw new TypeError("the process dies during its call");
    return SURE;
  });
  const before = (await broker.jsm.streams.info("SHADOWS")).state.messages;
  expect(await run(job)).toMatchObject({ agreement: 1 });
  expect([calls(job), (await broker.jsm.streams.info("SHADOWS")).state.messages]).toEqual([2, before + 1]);
});

it("does not call for what was recorded before, by whomever", async () => {
  const job = newJob();
  await broker.acks.publish(shadowSubject("infer", job), new TextEncoder().encode('{"type":"shadow.v2"}'));
  await run(job);
  expect(calls(job)).toBe(0);
});

describe("in a chain", () => {
  const chained = (over: Partial<ShadowJob> = {}) => newJob({ answers: given("spam"), next_tiers: ["small", "medium"], ...over });
  const LABEL = { agreement: 1, tiers: [{ tier: "small", is_kept: true }, { tier: "large", is_shadow: true, agreement_with_baseline: 1, cost_nano_usd: COST }] };
  const nextOf = async (job: ShadowJob) => ShadowJob.safeParse((await broker.streams.last("SHADOW_JOBS", subjectOf("infer", { ...job, tier: "small" })))?.json()).data ?? null;
  /** With what another worker was told. */
  const handedOn = (job: ShadowJob, output: string): ShadowJob => ({ ...job, tier: "small", next_tiers: ["medium"], answers: [...job.answers, { ...ANSWERS[0], attempt: { ...ANSWERS[0].attempt, tier: "large" }, is_own: false, output }] });
  const timesObserved = ({ request_id }: ShadowJob) => observed.filter((one) => one === request_id).length;

  it("says at once what is known, and hands on to the next tier with its answer, which may never be there", async () => {
    const job = chained();
    expect(await run(job)).toMatchObject(LABEL);
    expect(await nextOf(job)).toEqual({
      ...job, tier: "small", next_tiers: ["medium"],
      answers: [...job.answers, { attempt: expect.objectContaining({ tier: "large", cost_nano_usd: COST }) as object, is_own: false, output: "spam" }],
    });
    expect(timesObserved(job)).toBe(1);
  });

  it.each([1, 2])("does not call again when %d of its two messages were stored and nobody knew", async (messages) => {
    const job = chained();
    unheard = messages;
    const letter = await lastLetter();
    expect(await run(job)).toMatchObject(LABEL);
    expect([calls(job), await lastLetter(), (await nextOf(job))?.answers.length]).toEqual([1, letter, 2]);
  });

  it("after a crash between its two messages makes the second of the first, and pays once", async () => {
    const job = chained();
    const [letter, before] = [await lastLetter(), (await broker.jsm.streams.info("SHADOWS")).state.messages];
    dying = 1;
    expect(await run(job)).toMatchObject(LABEL);
    expect([dying, calls(job), timesObserved(job), await lastLetter(), (await nextOf(job))?.answers.length]).toEqual([0, 1, 1, letter, 2]);
    expect((await broker.jsm.streams.info("SHADOWS")).state.messages).toBe(before + 1);
  });

  it("does not call for what another worker has handed on, whose answer is the label", async () => {
    const job = chained();
    await broker.publisher.emit(handedOn(job, "ham"), TRACE);
    expect(await run(job)).toMatchObject({ agreement: 0, reference: { attempt: { tier: "large", cost_nano_usd: 1_400 } } });
    expect(calls(job)).toBe(0);
  });

  it("keeps what it paid for after another worker had handed on, and says that one's answer", async () => {
    const job = chained();
    answers.set(job.input, async () => {
      await broker.publisher.emit(handedOn(job, "ham"), TRACE);
      return SURE;
    });
    expect(await run(job)).toMatchObject({ agreement: 0, reference: { attempt: { cost_nano_usd: 1_400 } } });
    expect(await lastLetter()).toMatchObject({ reason: "late_result", request_id: job.request_id, late_attempt: { tier: "large", cost_nano_usd: COST } });
  });

  it("calls where what was handed on cannot be read, and says so", async () => {
    const job = chained();
    await broker.acks.publish(subjectOf("infer", { ...job, tier: "small" }), new TextEncoder().encode('{"type":"shadow_job.v2"}'));
    expect(await run(job)).toMatchObject(LABEL);
    expect([calls(job), timesObserved(job)]).toEqual([1, 1]);
  });

  it("ends with what it knows, and paid, when the texts are more than the broker takes", async () => {
    const job = chained();
    answers.set(job.input, async () => ({ ...SURE, output: `spam ${"x".repeat(2 ** 20)}` }));
    const letter = await lastLetter();
    expect(await run(job)).toMatchObject({ agreement: 2 / 3, tiers: [{ tier: "small", is_kept: true }, { tier: "large", is_shadow: true, is_sound: true, cost_nano_usd: COST }] });
    expect([calls(job), await nextOf(job), await lastLetter()]).toEqual([1, null, letter]);
  });

  it("ends with what it knows, and paid, when there is no room for the next job", async () => {
    const job = chained();
    const { max_bytes } = (await broker.jsm.streams.info("SHADOW_JOBS")).config;
    answers.set(job.input, async () => {
      await broker.jsm.streams.update("SHADOW_JOBS", { max_bytes: 1 });
      return SURE;
    });
    const label = await run(job);
    await broker.jsm.streams.update("SHADOW_JOBS", { max_bytes });
    expect([label, calls(job), await nextOf(job)]).toMatchObject([LABEL, 1, null]);
  });

  it("asks nobody else when the baseline brings nothing to compare with", async () => {
    const job = chained();
    answers.set(job.input, async () => ({ ...SURE, is_sound: false }));
    expect(await run(job)).toMatchObject({ agreement: null, tiers: [{ tier: "small", is_kept: true }, { tier: "large", is_sound: false, is_shadow: true }] });
    expect(await nextOf(job)).toBeNull();
  });

  describe("after the baseline", () => {
    /** The baseline is another tier, which said so. */
    const later = (baseline: string, next_tiers = ["small", "medium"]) => {
      const answer: ShadowAnswer = { ...ANSWERS[0], attempt: { ...ANSWERS[0].attempt, tier: "huge" }, is_own: false, output: baseline };
      return chained({ baseline_tier: "huge", next_tiers, answers: [...given("spam"), answer] });
    };
    const recordOf = async (job: ShadowJob) => ShadowTierEvent.safeParse((await broker.streams.last("SHADOWS", shadowTierSubject("infer", job, "large")))?.json()).data ?? null;

    it.each([["hands on", ["small", "medium"]], ["is the last", []]])("a tier that %s says at once how it did, and leaves the label to the baseline", async (_name, next_tiers) => {
      const job = later("ham", next_tiers);
      expect(await run(job)).toBeNull();
      expect(await recordOf(job)).toEqual({
        type: "shadow_tier.v1", tenant_id: "t1", request_id: job.request_id, tier: "large", model: "l-1", is_kept: false, is_shadow: true, error_code: null, is_sound: true, confidence: 0.9, confidence_source: "token_logprobs",
        agreement_with_baseline: 0, agreement_with_kept: 1, cost_nano_usd: COST, cost_is_partial: false, checks: { cost_nano_usd: 0, latency_ms: 0 }, latency_ms: expect.any(Number) as number, usage: SURE.usage, at_ms: expect.any(Number) as number,
      });
      expect([(await nextOf(job))?.answers.length, timesObserved(job)]).toEqual([next_tiers.length === 0 ? undefined : 3, 1]);
    });

    it("a crash between its two messages costs nothing", async () => {
      const job = later("ham");
      dying = 1;
      await run(job);
      expect([dying, calls(job), timesObserved(job), (await nextOf(job))?.answers.length]).toEqual([0, 1, 1, 3]);
      expect(await recordOf(job)).toMatchObject({ agreement_with_baseline: 0, cost_nano_usd: COST });
    });

    it("a tier that fails leaves its record, and the next one is asked", async () => {
      const job = later("ham");
      answers.set(job.input, async () => Promise.reject(new BackendError("backend_refused", "401")));
      await run(job);
      expect(await recordOf(job)).toMatchObject({ error_code: "backend_refused", agreement_with_baseline: null });
      expect((await nextOf(job))?.answers.at(-1)).toMatchObject({ attempt: { tier: "large", outcome: { kind: "failed", code: "backend_refused" } }, output: null });
    });
  });
});

it("keeps what was paid for and came too late, and does not count it", async () => {
  const job = newJob();
  const first = Shadow.parse({ ...shadowFixture, request_id: job.request_id });
  answers.set(job.input, async () => {
    await broker.publisher.emit(first, newTraceparent());
    return SURE;
  });
  expect(await run(job)).toEqual(first);
  expect(await lastLetter()).toMatchObject({ reason: "late_result", request_id: job.request_id, late_attempt: { tier: "large", cost_nano_usd: COST } });
  expect(observed).not.toContain(job.request_id);
});

it("gives up on what kills it twice, with its reason, and on what it cannot read at once", async () => {
  const job = newJob();
  answers.set(job.input, async () => Promise.reject(new TypeError("a bug")));
  await run(job);
  expect([calls(job), await shadowOf(job), await lastLetter()]).toMatchObject([2, null, { reason: "poison", request_id: job.request_id }]);
  await broker.acks.publish("infer.shadowjob.large.t1.unreadable", new TextEncoder().encode("{}"));
  await settled();
  expect(await lastLetter()).toMatchObject({ reason: "invalid_request", request_id: "unreadable", deliveries: 1 });
});

describe("an audit of a hit of the semantic cache", () => {
  const newAudit = (given: string): CacheAuditJob => ({ type: "cache_audit_job.v1", tenant_id: "t1", request_id: `r-${++n}`, source_request_id: "source", guard_version: 1, tier: "large", input: `r-${n}`, given });
  const audit = async (job: CacheAuditJob) => {
    await broker.publisher.emit(job, TRACE);
    await settled();
    return CacheAudit.parse((await broker.streams.last("SHADOWS", shadowTierSubject("infer", job, "large")))?.json());
  };

  it.each<[string, string, Partial<CacheAudit>]>([
    ["the same", "spam", { verdict: "same", agreement: 1, error_code: null }],
    ["another one", "no relation whatsoever", { verdict: "different", agreement: 0 }],
    ["one word of it", "there is not much that anybody could say of it but that it is plainly spam", { verdict: "unclear" }],
    ["partly the same", "it is spam, as far as anybody can say", { verdict: "unclear" }],
  ])("asks the tier and says that its answer is %s, with what that cost and without a text", async (_name, given, expected) => {
    const job = newAudit(given);
    const event = await audit(job);
    expect(event).toMatchObject({ ...expected, tenant_id: "t1", request_id: job.request_id, source_request_id: "source", guard_version: 1, tier: "large" });
    expect(event.cost_nano_usd).toBeGreaterThan(0);
    expect([JSON.stringify(event).includes(given), audits.at(-1)]).toEqual([false, event]);
  });

  it("whose call fails or brings no sound answer says nothing about the hit", async () => {
    const refused = newAudit("spam"), cut = newAudit("spam");
    answers.set(refused.input, async () => { throw new BackendError("backend_refused", "401"); });
    answers.set(cut.input, async () => ({ ...SURE, is_sound: false }));
    expect([await audit(refused), await audit(cut)]).toMatchObject([{ verdict: "unknown", agreement: null, error_code: "backend_refused" }, { verdict: "unknown", agreement: null, error_code: null }]);
  });

  it("is made once, however often its job comes, and is no label of the floor", async () => {
    const job = newAudit("spam");
    await audit(job);
    const before = called.length;
    const { isDuplicate } = await broker.publisher.emit({ ...job, given: "other" }, TRACE);
    await settled();
    expect([isDuplicate, called.length, await broker.streams.last("SHADOWS", shadowSubject("infer", job))]).toEqual([true, before, null]);
  });
});
