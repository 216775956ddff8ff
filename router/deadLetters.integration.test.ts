import { pino } from "pino";
import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { Completion, DeadLetter } from "#shared/contracts/events.ts";
import requestFixture from "#shared/contracts/fixtures/request.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { TierFile } from "#shared/contracts/tiers.ts";
import { consume } from "#shared/messaging/consume.ts";
import { makeGiveUp } from "#shared/messaging/giveUp.ts";
import { consumerOf, sourcesOf } from "#shared/messaging/topology.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";

import { makeDeadLetterService } from "./deadLetters.ts";

const { tracer } = startTracing(undefined, "test");

const FILE = TierFile.parse(tierFixture);
let test: TestBroker;
let broker: TestBroker["broker"];
beforeAll(async () => {
  test = await startTestBroker(FILE.tiers);
  ({ broker } = test);
});
afterAll(async () => {
  await test.remove();
});
const giveUp = () => makeGiveUp({ publisher: broker.publisher, prefix: "infer", limits: { defaultDeadlineMs: 30_000, maxDeadlineMs: 300_000, tierFile: FILE }, now: Date.now });

it("ends a request on whose message every process died, as the broker alone can notice", async () => {
  const { routerRequests, deadLetterService } = sourcesOf("infer");
  const deadly = { ...routerRequests, durable: "deadly", ackWaitMs: 1_000, maxDeliver: 1 };
  await broker.jsm.consumers.add("REQUESTS", consumerOf(deadly));
  await broker.acks.publish("infer.request.t1.r-1", new TextEncoder().encode(JSON.stringify(requestFixture)));
  const consumer = await broker.js.consumers.get("REQUESTS", "deadly");
  expect((await consumer.next({ expires: 1_000 }))?.subject).toBe("infer.request.t1.r-1"); // and is never heard of again

  const shutdown = new AbortController();
  const loop = consume({ js: broker.js, wire: broker.wire, log: pino({ level: "silent" }), source: deadLetterService, concurrency: 8, signal: shutdown.signal, giveUp: giveUp(), handle: makeDeadLetterService({ streams: broker.streams, giveUp: giveUp(), tracer }) });
  await vi.waitFor(async () => {
    void consumer.next({ expires: 1_000 }).catch(() => undefined); // the broker looks when somebody pulls
    expect(Completion.parse((await broker.streams.last("COMPLETIONS", "infer.completion.t1.r-1"))?.json())).toMatchObject({ outcome: "failed", error: { code: "poison", message: "given up after 1 deliveries: the process that handled it did not finish" }, user_id: "u-1" });
  }, { timeout: 15_000, interval: 200 });
  shutdown.abort();
  await loop;
  expect(DeadLetter.parse((await broker.streams.last("DEAD_LETTERS", "infer.deadletter.REQUESTS.t1"))?.json())).toMatchObject({ stream: "REQUESTS", subject: "infer.request.t1.r-1", reason: "poison", deliveries: 1 });
});

it.each([
  ["SHADOW_JOBS", "shadow-worker-large", "infer.shadowjob.large.t1.shadowed"],
  ["COMPLETIONS", "router-shadow", "infer.completion.t1.shadowed"],
])("keeps what killed its readers of %s as %s, and ends no request: that has its outcome", async (stream, consumer, subject) => {
  await broker.acks.publish(subject, new TextEncoder().encode("{}"));
  const { seq = 0 } = (await broker.streams.last(stream, subject)) ?? {};
  const completions = (await broker.jsm.streams.info("COMPLETIONS")).state.last_seq;
  await makeDeadLetterService({ streams: broker.streams, giveUp: giveUp(), tracer })({ data: new TextEncoder().encode(JSON.stringify({ stream, consumer, stream_seq: seq, deliveries: 2 })) });
  expect(DeadLetter.parse((await broker.streams.last("DEAD_LETTERS", `infer.deadletter.${stream}.t1`))?.json())).toMatchObject({ stream, stream_seq: seq, subject, reason: "poison", deliveries: 2 });
  expect((await broker.jsm.streams.info("COMPLETIONS")).state.last_seq).toBe(completions);
});

it.each([
  ["of a sink's stream: its events have their outcome", { stream: "COMPLETIONS", consumer: "sink-audit", stream_seq: 1, deliveries: 4 }],
  ["of a message that aged out: the sweeper has closed it", { stream: "REQUESTS", consumer: "router-requests", stream_seq: 9_999, deliveries: 4 }],
])("does nothing about an advisory %s", async (_name, advisory) => {
  let given = 0;
  await makeDeadLetterService({ streams: broker.streams, giveUp: async () => void given++, tracer })({ data: new TextEncoder().encode(JSON.stringify(advisory)) });
  expect(given).toBe(0);
});

it.each(["{}", '{"stream":"REQUESTS"}', '{"stream":"REQUESTS","consumer":"c","stream_seq":0,"deliveries":1}'])("refuses what is no advisory: %s", async (body) => {
  await expect(makeDeadLetterService({ streams: broker.streams, giveUp: async () => undefined, tracer })({ data: new TextEncoder().encode(body) })).rejects.toMatchObject({ code: "invalid_request" });
});
