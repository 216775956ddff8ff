import type { NatsConnection } from "@nats-io/transport-node";
import { pino } from "pino";
import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { isDrained } from "#infra/embedded/isDrained.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { ofOneBackend } from "#infra/ofOneBackend.ts";
import { followCancellations, publishAnswer } from "#shared/messaging/answerStream.ts";
import type { Input } from "#shared/contracts/chat.ts";
import { Completion, DeadLetter, Job, Result } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { type Tier, TierFile } from "#shared/contracts/tiers.ts";
import { consumePerSlot } from "#shared/messaging/consume.ts";
import { completionSubject, resultSubject, workerSource } from "#shared/messaging/topology.ts";
import type { SagaContext } from "#shared/saga/inferenceMachine.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import type { BackendAnswer } from "./backends/backend.ts";
import { makeRunJob } from "./runJob.ts";

const FILE = TierFile.parse(tierFixture);
const LARGE = FILE.tiers.find(({ name }) => name === "large") as Tier;
const TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const SURE: BackendAnswer = { output: "spam", model: "l-1", usage: { input_tokens: 10, output_tokens: 2, source: "reported" }, is_sound: true, confidence: 0.9, confidence_source: "token_logprobs" };
const WAIT = { timeout: 10_000, interval: 20 };
let test: TestBroker;
let nats: NatsConnection;
let broker: TestBroker["broker"];
const shutdown = new AbortController();
let loop: Promise<void>;
/** What the model says to a request, and who asked. */
const answers = new Map<Input, BackendAnswer | (() => Promise<BackendAnswer>)>();
const called: [input: Input, traceparent: string][] = [];
const givenUp: [subject: string, code: string][] = [];
let n = 0;

beforeAll(async () => {
  test = await startTestBroker(FILE.tiers);
  ({ nats, broker } = test);
  const runJob = makeRunJob({
    ...broker, cancellations: followCancellations(nats, "infer"), show: (options) => publishAnswer(nats, "infer", options), tier: LARGE, prefix: "infer", now: () => jobFixture.request.accepted_at_ms + 1_500, random: () => 0, observe: () => undefined,
    tracer: { span: (_name, { parent }, run) => run(parent ?? newTraceparent(), () => undefined) },
    replicas: ofOneBackend(LARGE, {
      call: async (input, { traceparent }) => {
        called.push([input, traceparent]);
        const answer = answers.get(input) ?? SURE;
        return typeof answer === "function" ? answer() : answer;
      },
      close: async () => undefined,
    }),
  });
  const source = workerSource("infer", LARGE);
  loop = consumePerSlot({ js: broker.js, wire: broker.wire, log: pino({ level: "silent" }), source, concurrency: 2, signal: shutdown.signal, giveUp: async ({ subject }, { code }) => void givenUp.push([subject, code]), handle: runJob });
});
afterAll(async () => {
  shutdown.abort();
  await loop;
  await test.remove();
});

/** A job of a request of its own, whose input is its id. */
function newJob(): Job {
  const job = Job.parse(JSON.parse(JSON.stringify(jobFixture).replaceAll('"r-1"', `"r-${++n}"`)));
  return { ...job, request: { ...job.request, input: job.request_id, origin: "gw-1" } };
}
const runs = (job: Job) => called.filter(([input]) => input === job.request_id).length;
const completionOf = async (job: Job) => Completion.safeParse((await broker.streams.last("COMPLETIONS", completionSubject("infer", job)))?.json()).data ?? null;
const resultOf = async (job: Job) => Result.safeParse((await broker.streams.last("RESULTS", resultSubject("infer", job, job.attempt)))?.json()).data ?? null;
const settled = () => vi.waitFor(async () => {
  expect(await isDrained(broker.jsm, "JOBS", "worker-large")).toBe(true);
}, WAIT);
const replies: Completion[] = [];
const listen = async () => {
  replies.length = 0;
  const subscription = nats.subscribe("infer.reply.gw-1.>", { callback: (_error, message) => void replies.push(message.json<Completion>()) });
  await nats.flush();
  return subscription;
};

it("ends a request whose answer is sure enough, durably, and tells whoever waits", async () => {
  const job = newJob();
  const subscription = await listen();
  await broker.publisher.emit(job, TRACE);
  await vi.waitFor(() => { expect(replies).toHaveLength(1); }, WAIT);
  const completion = await completionOf(job);
  expect(completion).toMatchObject({ outcome: "completed", output: "spam", tier: "large", trace_id: "4bf92f3577b34da6a3ce929d0e0e4736", cost_nano_usd: 30_000 + 145_000 });
  expect([replies, await resultOf(job), called.at(-1)]).toEqual([[completion], null, [job.request_id, TRACE]]);
  subscription.unsubscribe();
});

it("hands an unsure answer to the router, with the saga, and ends nothing", async () => {
  const job = newJob();
  answers.set(job.request_id, { ...SURE, confidence: 0.1 });
  await broker.publisher.emit(job, TRACE);
  await vi.waitFor(async () => { expect(await resultOf(job)).toMatchObject({ attempt: 3, saga: { context: { best: { output: "spam", confidence: 0.1 } } } }); }, WAIT);
  expect(await completionOf(job)).toBeNull();
});

it("brings back the saga that was signed as it was in the job, unless that does not fit into a message", async () => {
  const [job, large] = [newJob(), newJob()];
  answers.set(job.request_id, { ...SURE, confidence: 0.1 });
  const context = large.saga["context"] as SagaContext;
  const best = context.best === null ? null : { ...context.best, output: "x".repeat(600_000) };
  answers.set(large.request_id, { ...SURE, confidence: 0.1, output: "y".repeat(600_000) });
  await broker.publisher.emit({ ...job, signature: "signed" }, TRACE);
  await broker.publisher.emit({ ...large, saga: { ...large.saga, context: { ...context, best } }, signature: "signed" }, TRACE);
  await vi.waitFor(async () => { expect(await resultOf(job)).toMatchObject({ routed: { saga: job.saga, signature: "signed" } }); }, WAIT);
  await vi.waitFor(async () => { expect((await resultOf(large))?.saga).toMatchObject({ context: { attempt: 3 } }); }, WAIT);
  expect(await resultOf(large)).not.toHaveProperty("routed");
});

it("keeps what came too late, with its usage, and replies with what was first", async () => {
  const job = newJob();
  const first = Completion.parse({ ...completionFixture, request_id: job.request_id, origin: "gw-1", output: "first" });
  answers.set(job.request_id, async () => {
    await broker.publisher.emit(first, TRACE); // the sweeper was faster
    return SURE;
  });
  const subscription = await listen();
  await broker.publisher.emit(job, TRACE);
  await settled();
  const letter = DeadLetter.parse((await broker.streams.last("DEAD_LETTERS", "infer.deadletter.JOBS.t1"))?.json());
  expect(letter).toMatchObject({ reason: "late_result", request_id: job.request_id, stream: "JOBS", subject: `infer.job.large.t1.${job.request_id}.3`, late_attempt: { attempt: 3, cost_nano_usd: 145_000, usage: SURE.usage } });
  expect([await completionOf(job), replies]).toEqual([first, [first, first]]);
  subscription.unsubscribe();
});

it("does not call the model for a job that is delivered again after its outcome was stored", async () => {
  const job = newJob();
  answers.set(job.request_id, async () => {
    if (runs(job) > 1) return SURE;
    await broker.publisher.emit(Completion.parse({ ...completionFixture, request_id: job.request_id, origin: "gw-1", output: "first" }), TRACE);
    throw new TypeError("the process dies between its publish and its ack");
  });
  const subscription = await listen();
  await broker.publisher.emit(job, TRACE);
  await vi.waitFor(() => { expect(replies.map(({ output }) => output)).toEqual(["first", "first"]); }, WAIT); // told again: the first reply may be lost
  await settled();
  expect(runs(job)).toBe(1);
  subscription.unsubscribe();
});

it("runs a job again whose first delivery failed before it published anything", async () => {
  const job = newJob();
  let tries = 0;
  answers.set(job.request_id, async () => {
    if (++tries === 1) throw new TypeError("a bug that a deploy fixes");
    return SURE;
  });
  await broker.publisher.emit(job, TRACE);
  await vi.waitFor(async () => { expect(await completionOf(job)).toMatchObject({ outcome: "completed", output: "spam" }); }, WAIT);
  expect(runs(job)).toBe(2);
});

it("ends a job whose outcome does not fit into a message, with one call", async () => {
  const job = newJob();
  answers.set(job.request_id, { ...SURE, output: "x".repeat(1_200_000) });
  await broker.publisher.emit(job, TRACE);
  await vi.waitFor(() => { expect(givenUp).toContainEqual([`infer.job.large.t1.${job.request_id}.3`, "payload_too_large"]); }, WAIT);
  expect(runs(job)).toBe(1);
});
