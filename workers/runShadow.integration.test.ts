import type { NatsConnection } from "@nats-io/transport-node";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { DeadLetter } from "#shared/contracts/events.ts";
import jobFixture from "#shared/contracts/fixtures/shadow_job.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import shadowFixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import { Shadow, type ShadowAnswer, ShadowJob } from "#shared/contracts/shadow.ts";
import { type Tier, TierFile } from "#shared/contracts/tiers.ts";
import { consumePerSlot } from "#shared/messaging/consume.ts";
import { keepDeadLetter } from "#shared/messaging/keepDeadLetter.ts";
import { shadowSubject, shadowWorkerSource, subjectOf } from "#shared/messaging/topology.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import type { BackendAnswer } from "./backends/backend.ts";
import { BackendError } from "./backends/backendError.ts";
import { makeBreaker } from "./resilience/breaker.ts";
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
const answers = new Map<string, (signal: AbortSignal) => Promise<BackendAnswer>>();
const called: [input: string, traceparent: string][] = [];
const observed: string[] = [];
/** Publishes of a shadow event that are stored while their publisher never hears of it. */
let unheard = 0;
let running = 0, mostRunning = 0, n = 0;

beforeAll(async () => {
  test = await startTestBroker(FILE.tiers);
  ({ nats, broker } = test);
  const publisher: ShadowDeps["publisher"] = {
    ...broker.publisher,
    async emit(event, traceparent) {
      const published = await broker.publisher.emit(event, traceparent);
      if (unheard-- > 0) throw new AppError("accept_unknown", "no PubAck");
      return published;
    },
  };
  const runShadow = makeRunShadow({
    ...broker, publisher, tier: LARGE, prefix: "infer", now: Date.now, random: () => 0, tracer,
    observe: ({ request_id }) => void observed.push(request_id),
    breaker: makeBreaker({ failures_in_a_row: 100, open_for_ms: 100 }, () => undefined, Date.now),
    backend: {
      call: async (input, { traceparent, signal }) => {
        called.push([input, traceparent]);
        mostRunning = Math.max(mostRunning, ++running);
        return (answers.get(input) ?? (async () => SURE))(signal).finally(() => { running--; });
      },
      close: async () => undefined,
    },
  });
  loop = consumePerSlot({ js: broker.js, log: pino({ level: "silent" }), source: shadowWorkerSource("infer", LARGE), concurrency: 1, signal: shutdown.signal, giveUp: keepDeadLetter(broker.publisher, "infer", Date.now), handle: runShadow });
});
afterAll(async () => {
  shutdown.abort();
  await loop;
  await test.remove();
});
beforeEach(() => { unheard = 0; });

/** A job whose input is its id. */
const newJob = (over: Partial<ShadowJob> = {}) => ShadowJob.parse({ ...jobFixture, request_id: `r-${++n}`, input: `r-${n}`, ...over });
const ANSWERS = ShadowJob.parse(jobFixture).answers as [ShadowAnswer];
/** What the request was given. */
const given = (output: string) => [{ ...ANSWERS[0], output }];
const calls = ({ input }: ShadowJob) => called.filter(([asked]) => asked === input).length;
const shadowOf = async (job: ShadowJob) => Shadow.safeParse((await broker.streams.last("SHADOWS", shadowSubject("infer", job)))?.json()).data ?? null;
const settled = () => vi.waitFor(async () => {
  const { num_pending, num_ack_pending } = await broker.jsm.consumers.info("SHADOW_JOBS", "shadow-worker-large");
  expect([num_pending, num_ack_pending]).toEqual([0, 0]);
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
  const chained = () => newJob({ answers: given("spam"), next_tiers: ["small", "medium"] });
  const nextOf = async (job: ShadowJob) => ShadowJob.safeParse((await broker.streams.last("SHADOW_JOBS", subjectOf("infer", { ...job, tier: "small" })))?.json()).data ?? null;

  it("hands on to the next tier, with its answer, and says nothing yet", async () => {
    const job = chained();
    expect(await run(job)).toBeNull();
    expect(await nextOf(job)).toEqual({
      ...job, tier: "small", next_tiers: ["medium"],
      answers: [...job.answers, { attempt: expect.objectContaining({ tier: "large", cost_nano_usd: COST }) as object, is_own: false, output: "spam" }],
    });
    expect(observed).toContain(job.request_id);
  });

  it("does not call again when the next job was stored and nobody knew", async () => {
    const job = chained();
    unheard = 1;
    const letter = await lastLetter();
    await run(job);
    expect([calls(job), await lastLetter(), (await nextOf(job))?.answers.length]).toEqual([1, letter, 2]);
  });

  it("does not call for what another worker has handed on, and keeps what it paid for too late", async () => {
    const job = chained();
    await broker.publisher.emit({ ...job, tier: "small", next_tiers: [] }, TRACE);
    await run(job);
    expect(calls(job)).toBe(0);
    const slow = chained();
    answers.set(slow.input, async () => {
      await broker.publisher.emit({ ...slow, tier: "small", next_tiers: [] }, TRACE);
      return SURE;
    });
    await run(slow);
    expect(await lastLetter()).toMatchObject({ reason: "late_result", request_id: slow.request_id, late_attempt: { tier: "large", cost_nano_usd: COST } });
  });

  it("ends with what it knows, and paid, when the texts are more than the broker takes", async () => {
    const job = chained();
    answers.set(job.input, async () => ({ ...SURE, output: `spam ${"x".repeat(2 ** 20)}` }));
    const letter = await lastLetter();
    expect(await run(job)).toMatchObject({ agreement: 2 / 3, tiers: [{ tier: "small", is_kept: true }, { tier: "large", is_shadow: true, is_sound: true, cost_nano_usd: COST }] });
    expect([calls(job), await nextOf(job), await lastLetter()]).toEqual([1, null, letter]);
  });

  it("asks nobody else when the baseline brings nothing to compare with", async () => {
    const job = chained();
    answers.set(job.input, async () => ({ ...SURE, is_sound: false }));
    expect(await run(job)).toMatchObject({ agreement: null, tiers: [{ tier: "small", is_kept: true }, { tier: "large", is_sound: false, is_shadow: true }] });
    expect(await nextOf(job)).toBeNull();
  });

  it("records a tier that fails, and goes on", async () => {
    const job = { ...chained(), baseline_tier: "huge" }; // of which this one is not asked
    answers.set(job.input, async () => Promise.reject(new BackendError("backend_refused", "401")));
    await run(job);
    expect((await nextOf(job))?.answers.at(-1)).toMatchObject({ attempt: { tier: "large", outcome: { kind: "failed", code: "backend_refused" } }, output: null });
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
