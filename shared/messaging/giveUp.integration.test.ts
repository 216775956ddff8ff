import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import type { AppError } from "#shared/contracts/errors.ts";
import { Completion, DeadLetter } from "#shared/contracts/events.ts";
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import requestFixture from "#shared/contracts/fixtures/request.v1.json" with { type: "json" };
import resultFixture from "#shared/contracts/fixtures/result.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { TierFile } from "#shared/contracts/tiers.ts";

import { connectNats } from "./connect.ts";
import { ensureTopology } from "./ensureTopology.ts";
import { makeGiveUp } from "./giveUp.ts";
import { type GivenUp, type GiveUp, keepDeadLetter } from "./keepDeadLetter.ts";
import { brokerOver } from "./openBroker.ts";
import { readRequest } from "./readRequest.ts";
import { completionSubject, idOf } from "./topology.ts";

const LIMITS = { defaultDeadlineMs: 30_000, maxDeadlineMs: 300_000, tierFile: TierFile.parse(tierFixture) };
const STORED_AT = jobFixture.request.accepted_at_ms;
const TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NO = { code: "invalid_request", message: "no" } as const;
let server: Awaited<ReturnType<typeof startTestServer>>;
let nats: NatsConnection;
let broker: Awaited<ReturnType<typeof brokerOver>>;
let giveUp: GiveUp;
let n = 0;
beforeAll(async () => {
  server = await startTestServer("nats");
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
  broker = await brokerOver(nats, "infer");
  giveUp = makeGiveUp({ publisher: broker.publisher, prefix: "infer", limits: LIMITS, now: () => STORED_AT + 700 });
});
afterAll(async () => {
  await nats.close();
  await server.remove();
});
beforeEach(() => { n++; });

/** A request id of its own for each test. */
const renamed = <T extends object>(event: T): T => JSON.parse(JSON.stringify(event).replaceAll('"r-1"', `"r-${n}"`)) as T;
const given = (stream: string, subject: string, body: unknown): GivenUp =>
  ({ subject, data: new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body)), stream, seq: 7, storedAtMs: STORED_AT, deliveries: 4, traceparent: TRACE });
const completionOf = async (tenant_id = "t1") => {
  const stored = await broker.streams.last("COMPLETIONS", completionSubject("infer", { tenant_id, request_id: `r-${n}` }));
  return stored === null ? null : Completion.parse(stored.json());
};
const lastLetter = async (tenant: string, stream: string) => DeadLetter.parse((await broker.streams.last("DEAD_LETTERS", `infer.deadletter.${stream}.${tenant}`))?.json());

describe("a request", () => {
  it("that can be read ends as failed, with all that is known of it", async () => {
    await giveUp(given("REQUESTS", `infer.request.t1.r-${n}`, renamed(requestFixture)), { code: "poison", message: "given up after 4 deliveries" });
    expect(await completionOf()).toMatchObject({ outcome: "failed", error: { code: "poison" }, origin: "gateway-0badcafe", user_id: "u-1", policy: "cascade", cost_nano_usd: 0, latency_ms: 700, trace_id: "4bf92f3577b34da6a3ce929d0e0e4736" });
    expect(await lastLetter("t1", "REQUESTS")).toMatchObject({ stream_seq: 7, subject: `infer.request.t1.r-${n}`, tenant_id: "t1", request_id: `r-${n}`, reason: "poison", deliveries: 4, late_attempt: null });
  });

  it.each(["", "{not json", "[]", '{"budget":"x"}', "\u0000"])("that cannot be read (%j) ends as failed for whoever asks by its subject", async (body) => {
    await giveUp(given("REQUESTS", `infer.request.t1.r-${n}`, body), NO);
    expect(await completionOf()).toMatchObject({ outcome: "failed", error: NO, origin: "direct", user_id: null, fingerprint: null, accepted_at_ms: STORED_AT });
  });

  it("whose subject holds no id is kept as a dead letter, and nothing is answered", async () => {
    const before = (await broker.jsm.streams.info("COMPLETIONS")).state.messages;
    await giveUp(given("REQUESTS", "infer.request.t1.*", renamed(requestFixture)), { code: "bad_subject", message: "no" });
    expect(await lastLetter("unknown", "REQUESTS")).toMatchObject({ subject: "infer.request.t1.*", tenant_id: null, request_id: null, reason: "bad_subject" });
    expect((await broker.jsm.streams.info("COMPLETIONS")).state.messages).toBe(before);
  });

  it("with more unknown fields than an event can name ends all the same", async () => {
    const body = JSON.stringify({ ...requestFixture, request_id: `r-${n}`, ...Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`unknown-${i}`, 0])) });
    expect(body.length).toBeLessThan(2 ** 20); // the broker takes it
    const message = given("REQUESTS", `infer.request.t1.r-${n}`, body);
    const error = ((): AppError => {
      try {
        readRequest(idOf("infer", message.subject) ?? { tenant_id: "", request_id: "" }, message.data, STORED_AT, LIMITS);
        throw new Error("this should have been refused");
      } catch (thrown) {
        return thrown as AppError;
      }
    })();
    await giveUp(message, { code: error.code, message: error.publicMessage });
    const completion = await completionOf();
    expect(completion).toMatchObject({ outcome: "failed", error: { code: "invalid_request" } });
    expect(completion?.error?.message.length).toBeLessThan(4_000);
  });
});

const batchJobFixture = { ...jobFixture, request: { ...jobFixture.request, priority: "batch" } };
describe.each([["JOBS", jobFixture, (id: string) => `infer.job.large.t1.${id}.3`], ["JOBS", batchJobFixture, (id: string) => `infer.batchjob.large.t1.${id}.3`], ["RESULTS", resultFixture, (id: string) => `infer.result.t1.${id}.2`]] as const)("a message of %s", (stream, fixture, subjectOf) => {
  it("that can be read ends its request with the best answer so far", async () => {
    await giveUp(given(stream, subjectOf(`r-${n}`), renamed(fixture)), { code: "poison", message: "m" });
    expect(await completionOf()).toMatchObject({ outcome: "degraded", degraded_reason: "unavailable", output: "maybe", tier: "medium", cost_nano_usd: 30_000, error: null, attempts: [{}, {}] });
    expect(await lastLetter("t1", stream)).toMatchObject({ request_id: `r-${n}`, reason: "poison" });
  });

  it.each([["is not JSON", "{"], ["is no event", "{}"], ["has no saga", { ...fixture, saga: {} }], ["says another subject", fixture]])("that %s ends its request as failed", async (_name, body) => {
    await giveUp(given(stream, subjectOf(`r-${n}`), body), NO);
    expect(await completionOf()).toMatchObject({ outcome: "failed", error: NO, output: null });
  });
});

it("ends a request though there is no room for its dead letter, which then is tried again", async () => {
  const { config } = await broker.jsm.streams.info("DEAD_LETTERS");
  const { messages } = (await broker.jsm.streams.info("DEAD_LETTERS")).state;
  await broker.jsm.streams.update("DEAD_LETTERS", { max_msgs: messages });
  const message = given("REQUESTS", `infer.request.t1.r-${n}`, renamed(requestFixture));
  await expect(giveUp(message, NO)).rejects.toMatchObject({ code: "storage_full" });
  const ended = await completionOf();
  expect(ended).toMatchObject({ outcome: "failed", error: NO });
  await broker.jsm.streams.update("DEAD_LETTERS", { max_msgs: config.max_msgs });
  await giveUp(message, NO);
  expect([await completionOf(), await lastLetter("t1", "REQUESTS")]).toMatchObject([ended, { request_id: `r-${n}`, reason: NO.code }]);
});

it("keeps a dead letter when what is stored as the outcome cannot be read here", async () => {
  await broker.acks.publish(completionSubject("infer", { tenant_id: "t1", request_id: `r-${n}` }), new TextEncoder().encode('{"type":"completion.v2"}'));
  await giveUp(given("REQUESTS", `infer.request.t1.r-${n}`, renamed(requestFixture)), NO);
  expect(await lastLetter("t1", "REQUESTS")).toMatchObject({ request_id: `r-${n}`, reason: NO.code });
});

it.each([
  ["REQUESTS", () => `infer.request.t1.r-${n}`, { origin: "gw-7", policy: "of-a-newer-tier-file" }],
  ["JOBS", () => `infer.job.large.t1.r-${n}.3`, { request: { origin: "gw-7" } }],
])("tells the gateway that waits for an unreadable message of %s", async (stream, subject, body) => {
  await giveUp(given(stream, subject(), body), NO);
  expect(await completionOf()).toMatchObject({ outcome: "failed", error: NO, origin: "gw-7", user_id: null });
});

it.each(["*", "a.b", "", 7])("does not take %j for an origin", async (origin) => {
  await giveUp(given("REQUESTS", `infer.request.t1.r-${n}`, { origin }), NO);
  expect(await completionOf()).toMatchObject({ origin: "direct" });
});

it("keeps no text that Postgres could not", async () => {
  await giveUp(given("REQUESTS", `infer.request.t1.r-${n}`, renamed(requestFixture)), { code: "invalid_request", message: "a\0b\ud800" });
  expect([(await completionOf())?.error?.message, (await lastLetter("t1", "REQUESTS")).message]).toEqual(["a\ufffdb\ufffd", "a\ufffdb\ufffd"]);
});

it("does not replace an outcome that is there, and is safe to repeat", async () => {
  const message = given("REQUESTS", `infer.request.t1.r-${n}`, renamed(requestFixture));
  await giveUp(message, { code: "poison", message: "first" });
  await giveUp(message, { code: "internal", message: "second" });
  expect(await completionOf()).toMatchObject({ error: { code: "poison", message: "first" } });
});

it("keeps by reference what a sink cannot take: the request has its outcome already", async () => {
  const keep = keepDeadLetter(broker.publisher, "infer", () => STORED_AT);
  await keep(given("COMPLETIONS", `infer.completion.t1.r-${n}`, "{"), NO);
  expect(await lastLetter("t1", "COMPLETIONS")).toMatchObject({ stream: "COMPLETIONS", stream_seq: 7, request_id: `r-${n}`, reason: "invalid_request" });
  expect(await completionOf()).toBeNull();
});
