import type { NatsConnection } from "@nats-io/transport-node";
import { pino } from "pino";
import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { Completion, Job, Result } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import requestFixture from "#shared/contracts/fixtures/request.v1.json" with { type: "json" };
import resultFixture from "#shared/contracts/fixtures/result.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { TierFile } from "#shared/contracts/tiers.ts";
import { openSweepMark } from "#shared/messaging/sweepMark.ts";
import { completionSubject, requestSubject } from "#shared/messaging/topology.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";

import type { OpenRequests } from "./openRequests.ts";
import { makeSnapshots } from "./snapshots.ts";
import { runSweeper, type SweeperDeps } from "./sweeper.ts";

const WAIT = { timeout: 15_000, interval: 50 };
const FILE = TierFile.parse(tierFixture);
let test: TestBroker;
let nats: NatsConnection;
let broker: TestBroker["broker"];
beforeAll(async () => {
  test = await startTestBroker(FILE.tiers);
  ({ nats, broker } = test);
});
afterAll(async () => {
  await test.remove();
});

const id = (request_id: string) => ({ tenant_id: "t1", request_id });
const renamed = <T extends object>(event: T, name: string): T => JSON.parse(JSON.stringify(event).replaceAll('"r-1"', `"${name}"`)) as T;
const accept = (name: string, body: object | string) =>
  broker.acks.publish(requestSubject("infer", id(name)), new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify({ ...renamed(requestFixture, name), ...body })), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
const outcomeOf = async (name: string) => Completion.safeParse((await broker.streams.last("COMPLETIONS", completionSubject("infer", id(name))))?.json()).data ?? null;

/** A sweeper whose clock runs `aheadMs` ahead, so that nobody has to wait for a deadline. */
function startSweeper(aheadMs: number, over: Partial<SweeperDeps> = {}) {
  const shutdown = new AbortController();
  let fold: OpenRequests | null = null;
  const done = runSweeper({
    ...broker, snapshots: makeSnapshots({ keys: [], streams: broker.streams, prefix: "infer" }), prefix: "infer", limits: { defaultDeadlineMs: 30_000, maxDeadlineMs: 300_000, tierFile: FILE }, graceMs: 5_000, tracer: startTracing(undefined, "test").tracer,
    log: pino({ level: "silent" }), now: () => Date.now() + aheadMs, signal: shutdown.signal, ...over,
  }, (made) => { fold = made; });
  return { fold: () => fold?.counts(), stop: async () => { shutdown.abort(); await done; } };
}

it("closes what is overdue with the best answer there is, and leaves alone what has ended or has time", async () => {
  await accept("never-routed", { deadline_ms: 1_000 });
  await accept("unreadable", "{not json");
  await accept("has-result", { deadline_ms: 1_000 });
  await broker.publisher.emit(Result.parse(renamed(resultFixture, "has-result")), newTraceparent());
  await accept("has-newer-job", { deadline_ms: 1_000 });
  await broker.publisher.emit({ ...Result.parse(renamed(resultFixture, "has-newer-job")), attempt: 1, saga: {} }, newTraceparent());
  await broker.publisher.emit(Job.parse(renamed(jobFixture, "has-newer-job")), newTraceparent());
  await accept("done", { deadline_ms: 1_000 });
  const done = Completion.parse(renamed(completionFixture, "done"));
  await broker.publisher.emit(done, newTraceparent());
  await accept("has-time", { deadline_ms: 120_000 });

  const sweeper = startSweeper(60_000);
  await vi.waitFor(() => { expect(sweeper.fold()).toEqual({ accepted: 6, terminal: 5, open: 1 }); }, WAIT);
  await sweeper.stop();
  const deadline = { code: "deadline_exceeded", message: "no outcome by its deadline" };
  expect(await outcomeOf("never-routed")).toMatchObject({ outcome: "failed", error: deadline, user_id: "u-1", origin: requestFixture.origin, trace_id: "4bf92f3577b34da6a3ce929d0e0e4736" });
  expect(await outcomeOf("unreadable")).toMatchObject({ outcome: "failed", error: deadline, user_id: null });
  for (const name of ["has-result", "has-newer-job"]) expect(await outcomeOf(name)).toMatchObject({ outcome: "degraded", degraded_reason: "deadline", output: "maybe", cost_nano_usd: 30_000, attempts: [{}, {}] });
  expect(await outcomeOf("done")).toEqual(done);
  expect(await outcomeOf("has-time")).toBeNull();
});

it("is not stopped by what one request left behind: it reads the next best, and goes on to the others", async () => {
  const store = (subject: string, body: unknown) => broker.acks.publish(subject, new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body)));
  await accept("bad-bodies", { deadline_ms: 1_000 });
  await store("infer.job.small.t1.bad-bodies.1", "{not json");
  await store("infer.result.t1.bad-bodies.1", "");
  await accept("bad-result", { deadline_ms: 1_000 });
  await broker.publisher.emit(Job.parse(renamed(jobFixture, "bad-result")), newTraceparent());
  await store("infer.result.t1.bad-result.3", { ...renamed(resultFixture, "bad-result"), attempt: 3, saga: {} });
  await accept("others-result", { deadline_ms: 1_000 });
  await store("infer.result.t1.others-result.2", resultFixture); // it names another request
  await accept("all-bad", '{"origin":"gw-7"}');
  await store("infer.job.small.t1.all-bad.1", { ...renamed(jobFixture, "all-bad"), tier: "small", attempt: 1, saga: {} });
  await accept("newer-outcome", { deadline_ms: 1_000 });
  await store(completionSubject("infer", id("newer-outcome")), { type: "completion.v2" });
  await accept("after-them", { deadline_ms: 1_000 });

  const sweeper = startSweeper(60_000);
  await vi.waitFor(() => { expect(sweeper.fold()).toMatchObject({ open: 1 }); }, WAIT); // `has-time` of above
  await sweeper.stop();
  for (const name of ["bad-bodies", "others-result", "after-them"]) expect(await outcomeOf(name)).toMatchObject({ outcome: "failed", error: { code: "deadline_exceeded" }, user_id: "u-1", attempts: [] });
  expect(await outcomeOf("bad-result")).toMatchObject({ outcome: "degraded", output: "maybe", attempts: [{}, {}] });
  expect(await outcomeOf("all-bad")).toMatchObject({ outcome: "failed", origin: "gw-7", user_id: null });
  expect(await outcomeOf("r-1")).toBeNull();
});

it("goes on to the others when one cannot be closed, says so once, and tries again after an outage", async () => {
  for (const name of ["too-big", "closable"]) await accept(name, { deadline_ms: 1_000 });
  const failures: Record<string, AppError[]> = { "too-big": [new AppError("payload_too_large", "does not fit")], closable: [new AppError("broker_unavailable", "away")] };
  const errors: unknown[] = [];
  const log = pino({ level: "error" }, { write: (line: string) => void errors.push(JSON.parse(line)) });
  const emit: typeof broker.publisher.emit = async (event, traceparent) => {
    const failure = failures[event.request_id]?.shift();
    if (failure) throw failure;
    return broker.publisher.emit(event, traceparent);
  };
  const sweeper = startSweeper(60_000, { log, publisher: { ...broker.publisher, emit } });
  await vi.waitFor(() => { expect(sweeper.fold()).toMatchObject({ open: 1 }); }, WAIT); // `has-time` of above
  await sweeper.stop();
  expect([await outcomeOf("too-big"), await outcomeOf("closable")]).toMatchObject([null, { outcome: "failed" }]);
  expect(errors).toMatchObject([{ tenant_id: "t1", request_id: "too-big", err: { code: "payload_too_large" } }]);
});

it("gives one terminal event when several sweep at once, with a worker that ends late", async () => {
  const names = Array.from({ length: 20 }, (_, i) => `raced-${i}`);
  for (const name of names) await accept(name, { deadline_ms: 1_000 });
  const sweepers = [startSweeper(60_000), startSweeper(60_001)];
  const late = names.map((name) => broker.publisher.emit(Completion.parse(renamed(completionFixture, name)), newTraceparent()));
  await vi.waitFor(() => { for (const { fold } of sweepers) expect(fold()).toMatchObject({ open: 1 }); }, WAIT); // `has-time` of above
  const published = await Promise.all(late);
  await Promise.all(sweepers.map(({ stop }) => stop()));
  const { subjects = {} } = (await broker.jsm.streams.info("COMPLETIONS", { subjects_filter: ">" })).state;
  const counts = Object.entries(subjects).filter(([subject]) => subject.includes(".raced-")).map(([, count]) => count);
  expect(counts).toEqual(names.map(() => 1));
  for (const [i, name] of names.entries()) expect(await outcomeOf(name)).toEqual(published[i]?.stored);
});

it("does not close a request whose end it sees in time", async () => {
  const sweeper = startSweeper(0);
  await accept("in-time", { deadline_ms: 60_000 });
  await vi.waitFor(() => { expect(sweeper.fold()?.open).toBe(2); }, WAIT);
  await broker.publisher.emit(Completion.parse(renamed(completionFixture, "in-time")), newTraceparent());
  await vi.waitFor(() => { expect(sweeper.fold()?.open).toBe(1); }, WAIT);
  await sweeper.stop();
  expect(await outcomeOf("in-time")).toMatchObject({ outcome: "completed" });
});

it("marks how far it came, so that the next one need not begin at the beginning", async () => {
  const sweeper = startSweeper(0);
  const mark = await openSweepMark(nats, "infer");
  const oldest = (await broker.streams.last("REQUESTS", requestSubject("infer", id("has-time"))))?.time.getTime() ?? 0;
  await vi.waitFor(async () => { expect(Math.abs(((await mark.read()) ?? 0) - oldest)).toBeLessThanOrEqual(1); }, WAIT); // `has-time` is open still
  await sweeper.stop();
});
