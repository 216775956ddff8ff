import { setTimeout as sleep } from "node:timers/promises";

import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import { Completion, DeadLetter, Job, Result } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import deadLetterFixture from "#shared/contracts/fixtures/dead_letter.v1.json" with { type: "json" };
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import resultFixture from "#shared/contracts/fixtures/result.v1.json" with { type: "json" };
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { connectNats } from "./connect.ts";
import { ensureTopology } from "./ensureTopology.ts";
import { brokerOver } from "./openBroker.ts";
import { anyJob, completionSubject, requestSubject, subjectOf } from "./topology.ts";

const TRACE = newTraceparent();
const job = (request_id: string, over: Partial<Job> = {}): Job => ({ ...Job.parse(jobFixture), request_id, ...over });
const completion = (request_id: string, output: string, over: Partial<Completion> = {}): Completion => ({ ...Completion.parse(completionFixture), request_id, output, ...over });
let server: Awaited<ReturnType<typeof startTestServer>>;
let nats: NatsConnection;
let broker: Awaited<ReturnType<typeof brokerOver>>;
beforeAll(async () => {
  server = await startTestServer("nats");
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  broker = await brokerOver(nats, "infer", 1_000);
});
afterAll(async () => {
  await broker.acks.close();
  await nats.close();
  await server.remove();
});

/** Runs while the broker is frozen. SIGSTOP takes effect a moment after it was sent: frozen is what answers no ping. */
async function whileFrozen<T>(run: () => Promise<T>): Promise<T> {
  const pid = server.info().process?.pid ?? NaN;
  process.kill(pid, "SIGSTOP");
  try {
    await vi.waitFor(async () => { expect(await Promise.race([nats.flush().then(() => "answers"), sleep(100, "frozen")])).toBe("frozen"); });
    return await run();
  } finally {
    process.kill(pid, "SIGCONT");
  }
}

it("calls it an outage when there is no stream for a subject yet", async () => {
  await expect(broker.publisher.emit(job("early"), TRACE)).rejects.toMatchObject({ code: "broker_unavailable", isOutage: true });
  await ensureTopology(nats, { prefix: "infer", tiers: [{ name: "large", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
});

describe("the first message of a subject", () => {
  it("is stored, with its trace context", async () => {
    expect(await broker.publisher.emit(job("a"), TRACE)).toEqual({ isDuplicate: false, stored: job("a") });
    const stored = await broker.streams.last("JOBS", subjectOf("infer", job("a")));
    expect([stored?.json(), stored?.header.get("traceparent")]).toEqual([job("a"), TRACE]);
  });

  it("is what a later one gets back", async () => {
    const other = job("a", { saga: { other: true } });
    expect(await broker.publisher.emit(other, TRACE)).toEqual({ isDuplicate: true, stored: job("a") });
  });

  it("is no duplicate of itself: publishing is safe to repeat", async () => {
    expect(await broker.publisher.emit(job("a"), newTraceparent())).toEqual({ isDuplicate: false, stored: job("a") });
  });

  it("says nothing about another tenant, attempt or tier", async () => {
    for (const over of [{ tenant_id: "t2" }, { attempt: 9 }, { tier: "small" }]) expect(await broker.publisher.emit(job("a", over), TRACE)).toMatchObject({ isDuplicate: false });
  });

  it("is found for an attempt whatever its tier", async () => {
    const id = { tenant_id: "t1", request_id: "a" };
    expect((await broker.streams.last("JOBS", anyJob("infer", id, 3)))?.json()).toMatchObject({ attempt: 3 });
    expect(await broker.streams.last("JOBS", anyJob("infer", id, 2))).toBeNull();
  });
});

it("replies with the stored completion, whoever loses", async () => {
  const replies: unknown[] = [];
  const reader = await connectNats({ url: server.url, name: "reader" });
  reader.subscribe("infer.reply.gateway-0badcafe.>", { callback: (_error, message) => void replies.push([message.subject, message.json<Completion>().output]) });
  await reader.flush();
  const both = await Promise.all([broker.publisher.emit(completion("race", "one"), TRACE), broker.publisher.emit(completion("race", "two"), TRACE)]);
  expect(both.map(({ isDuplicate, stored }) => [isDuplicate, stored?.output])).toEqual([[false, "one"], [true, "one"]]);
  await vi.waitFor(() => { expect(replies).toHaveLength(2); });
  expect(replies).toEqual([["infer.reply.gateway-0badcafe.t1.race", "one"], ["infer.reply.gateway-0badcafe.t1.race", "one"]]);
  await reader.close();
});

it.each(['{"type":"completion.v2"}', "{not json", ""])("takes a subject for taken though this version cannot read what is there (%j), and replies to nobody", async (body) => {
  const id = { tenant_id: "t1", request_id: `newer-${body.length}` };
  await broker.acks.publish(completionSubject("infer", id), new TextEncoder().encode(body));
  let replies = 0;
  const subscription = nats.subscribe("infer.reply.>", { callback: () => void replies++ });
  await nats.flush();
  expect(await broker.publisher.emit(completion(id.request_id, "mine"), TRACE)).toEqual({ isDuplicate: true, stored: null });
  await nats.flush();
  expect(replies).toBe(0);
  subscription.unsubscribe();
});

it("never replies with a completion that was not stored", async () => {
  let replies = 0;
  const subscription = nats.subscribe("infer.reply.>", { callback: () => void replies++ });
  await nats.flush();
  await expect(broker.acks.publish(`infer.nowhere.t1.x`, new Uint8Array())).rejects.toMatchObject({ code: "broker_unavailable" });
  await broker.acks.publish(completionSubject("infer", { tenant_id: "t1", request_id: "silent" }), new TextEncoder().encode(JSON.stringify(completion("silent", "x"))));
  await nats.flush();
  expect(replies).toBe(0);
  subscription.unsubscribe();
});

it("keeps dead letters, also several of one request", async () => {
  const letter = DeadLetter.parse(deadLetterFixture);
  await broker.publisher.deadLetter(letter);
  await broker.publisher.deadLetter({ ...letter, tenant_id: null, request_id: null });
  await broker.publisher.deadLetter(letter);
  const { state } = await broker.jsm.streams.info("DEAD_LETTERS", { subjects_filter: ">" });
  expect(state.subjects).toEqual({ "infer.deadletter.JOBS.t1": 2, "infer.deadletter.JOBS.unknown": 1 });
});

it("tells a full stream, which is an outage, from a duplicate", async () => {
  await broker.jsm.streams.update("RESULTS", { max_bytes: 300_000 });
  const big = (request_id: string): Result => ({ ...Result.parse(resultFixture), request_id, saga: { filler: "x".repeat(200_000) } });
  expect(await broker.publisher.emit(big("f1"), TRACE)).toMatchObject({ isDuplicate: false });
  await expect(broker.publisher.emit(big("f2"), TRACE)).rejects.toMatchObject({ code: "storage_full", isOutage: true });
  expect(await broker.publisher.emit({ ...big("f1"), saga: {} }, TRACE)).toMatchObject({ isDuplicate: true });
  expect(await broker.publisher.emit(big("f1"), TRACE)).toMatchObject({ isDuplicate: false });
});

it("reads subjects by wildcard, and nothing where nothing is", async () => {
  expect(await broker.streams.subjects("JOBS", "infer.job.*.t2.*.*")).toEqual(["infer.job.large.t2.a.3"]);
  expect(await broker.streams.bySequence("JOBS", 9_999)).toBeNull();
  await expect(broker.streams.last("NO_SUCH_STREAM", "x")).rejects.toMatchObject({ code: "broker_unavailable" });
});

describe("a broker that freezes", () => {
  it("is accept_unknown for every publish, in time; what it stored meanwhile is no duplicate when repeated", async () => {
    let tookMs = 0;
    const all = await whileFrozen(async () => {
      const startedAtMs = performance.now();
      const settled = await Promise.allSettled(Array.from({ length: 50 }, (_, i) => broker.publisher.emit(job(`frozen-${i}`), TRACE)));
      tookMs = performance.now() - startedAtMs;
      return settled;
    });
    expect(all.filter((one) => one.status === "rejected" && (one.reason as { code: string }).code === "accept_unknown")).toHaveLength(50);
    expect(tookMs).toBeLessThan(2_500);
    expect(await broker.publisher.emit(job("frozen-7"), TRACE)).toEqual({ isDuplicate: false, stored: job("frozen-7") });
  });

  it("does not keep close() from ending, which waits for the acks that are on their way", async () => {
    const own = await brokerOver(nats, "infer", 1_000);
    const late = own.publisher.emit(job("late"), TRACE);
    await own.acks.close();
    expect(await late).toMatchObject({ isDuplicate: false });
    const silent = await brokerOver(nats, "infer", 300);
    const lost = await whileFrozen(async () => {
      const published = silent.acks.publish(requestSubject("infer", { tenant_id: "t1", request_id: "x" }), new Uint8Array()).catch((error: unknown) => error);
      await silent.acks.close();
      return published;
    });
    expect(lost).toMatchObject({ code: "accept_unknown" });
  });
});

it("publishes a thousand at once, each acknowledged", async () => {
  const all = await Promise.all(Array.from({ length: 1_000 }, (_, i) => broker.acks.publish(requestSubject("infer", { tenant_id: "many", request_id: `m${i}` }), new Uint8Array(10))));
  expect(new Set(all)).toEqual(new Set(["stored"]));
});

it("is an outage when an answer is no PubAck, and never waits for ever", async () => {
  const responder = nats.subscribe("infer.observed.>", { callback: (_error, message) => void message.respond("hello, I only watch") });
  await nats.flush();
  await expect(broker.acks.publish("infer.observed.x", new Uint8Array())).rejects.toMatchObject({ isOutage: true });
  responder.unsubscribe();
}, 5_000);
