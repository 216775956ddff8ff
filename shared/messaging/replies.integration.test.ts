import type { NatsConnection } from "@nats-io/transport-node";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { connectNats } from "./connect.ts";
import { ensureTopology } from "./ensureTopology.ts";
import { brokerOver } from "./openBroker.ts";
import { makeReplies } from "./replies.ts";
import { completionSubject, replySubject } from "./topology.ts";

const WAIT = { timeout: 10_000, interval: 20 };
const completion = (request_id: string, over: Partial<Completion> = {}): Completion => ({ ...Completion.parse(fixture), origin: "gw-1", request_id, ...over });
const idOf = (request_id: string) => ({ tenant_id: "t1", request_id });
const TIMES = { deadlineAtMs: 1_000, lastLookAtMs: 2_000, anyOrigin: false };
let server: Awaited<ReturnType<typeof startTestServer>>;
let nats: NatsConnection; // the gateway's
let broker: Awaited<ReturnType<typeof brokerOver>>; // somebody else's
let others: NatsConnection;
/** The gateway's clock: it stands still unless a test moves it. */
let nowMs = 0;
let replies: ReturnType<typeof makeReplies>;
beforeAll(async () => {
  server = await startTestServer("nats");
  [nats, others] = await Promise.all([connectNats({ url: server.url, name: "gateway" }), connectNats({ url: server.url, name: "worker" })]);
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
  broker = await brokerOver(others, "infer");
  const { streams } = await brokerOver(nats, "infer");
  replies = makeReplies({ nats, streams, prefix: "infer", origin: "gw-1", log: pino({ level: "silent" }), now: () => nowMs });
  await nats.flush();
});
afterAll(async () => {
  await Promise.all([nats.close(), others.close()]);
  await server.remove();
});
const emit = (event: Completion) => broker.publisher.emit(event, newTraceparent());
/** Durable, but its reply is lost. */
const storeSilently = (event: Completion) => broker.acks.publish(completionSubject("infer", event), new TextEncoder().encode(JSON.stringify(event)));

it("hears the reply", async () => {
  const { outcome } = replies.expect(idOf("heard"), TIMES);
  await emit(completion("heard"));
  expect(await outcome).toEqual(completion("heard"));
  expect(replies.waiting()).toBe(0);
});

it("tells all that wait for one request, and nobody else", async () => {
  const both = [replies.expect(idOf("shared"), TIMES), replies.expect(idOf("shared"), TIMES)];
  const other = replies.expect({ tenant_id: "t2", request_id: "shared" }, TIMES);
  await emit(completion("shared"));
  expect(await Promise.all(both.map(({ outcome }) => outcome))).toEqual([completion("shared"), completion("shared")]);
  expect(replies.waiting()).toBe(1);
  other.close();
  expect(replies.waiting()).toBe(0);
});

it("does not see replies to another gateway, unless it asks for any", async () => {
  const mine = replies.expect(idOf("elsewhere"), TIMES);
  const any = replies.expect(idOf("elsewhere"), { ...TIMES, anyOrigin: true });
  await nats.flush();
  await emit(completion("elsewhere", { origin: "gw-2" }));
  expect(await any.outcome).toEqual(completion("elsewhere", { origin: "gw-2" }));
  mine.close();
});

it("gives what is stored, not what a publish that was refused said", async () => {
  const { outcome } = replies.expect(idOf("race"), TIMES);
  await Promise.all([emit(completion("race", { output: "one" })), emit(completion("race", { output: "two" }))]);
  expect((await outcome)?.output).toBe("one");
  expect((await replies.find(idOf("race")))?.output).toBe("one");
});

describe("a reply that got lost", () => {
  it("is found at the deadline, not before", async () => {
    nowMs = 0;
    let seen: Completion | null | undefined;
    const { outcome } = replies.expect(idOf("lost"), TIMES);
    void outcome.then((completion) => { seen = completion; });
    await storeSilently(completion("lost"));
    await emit(completion("after-lost"));
    expect(seen).toBeUndefined();
    nowMs = 1_000;
    expect(await outcome).toEqual(completion("lost"));
  });

  it("is found at the last look when there was nothing at the deadline", async () => {
    nowMs = 1_000;
    const { outcome } = replies.expect(idOf("swept"), TIMES);
    await storeSilently(completion("swept"));
    nowMs = 2_000;
    expect(await outcome).toEqual(completion("swept"));
  });

  it("is looked up when what came instead cannot be read", async () => {
    nowMs = 0;
    const { outcome } = replies.expect(idOf("garbled"), TIMES);
    await nats.flush();
    for (const body of ["{", "", "null", '{"type":"completion.v1"}']) others.publish(replySubject("infer", "gw-1", idOf("garbled")), body);
    await others.flush();
    await storeSilently(completion("garbled"));
    nowMs = 1_000;
    expect(await outcome).toEqual(completion("garbled"));
  });

  it("is found after a reconnect, long before the deadline", async () => {
    nowMs = 0;
    const { outcome } = replies.expect(idOf("reconnected"), TIMES);
    await storeSilently(completion("reconnected"));
    await server.kill();
    await server.restart();
    expect(await outcome).toEqual(completion("reconnected"));
    // The tests that follow need every connection back, each of which waits for as long as it likes.
    await vi.waitFor(() => Promise.all([nats.flush(), others.flush()]), { timeout: 15_000, interval: 20 });
  });
});

it("is null when there is nothing at the last look", async () => {
  nowMs = 2_000;
  expect(await replies.expect(idOf("never"), TIMES).outcome).toBeNull();
  expect(replies.waiting()).toBe(0);
});

it("finds nothing for an id that has no outcome, and says when it cannot know", async () => {
  expect(await replies.find(idOf("nobody"))).toBeNull();
});

it("says that it cannot read an outcome: that is no outage, and not nothing", async () => {
  await others.flush();
  await broker.acks.publish(completionSubject("infer", idOf("newer")), new TextEncoder().encode('{"type":"completion.v2"}'));
  await expect(replies.find(idOf("newer"))).rejects.toMatchObject({ code: "internal", isOutage: false });
});

it("hears under a shared origin the tenants that it was asked about, and no other's", async () => {
  const { streams } = await brokerOver(nats, "infer");
  const heard: string[] = [];
  const subscribed: string[] = [];
  const watched = new Proxy(nats, {
    get: (target, name) => name !== "subscribe" ? Reflect.get(target, name) as unknown : (subject: string, options: Parameters<NatsConnection["subscribe"]>[1]) => {
      subscribed.push(subject);
      return target.subscribe(subject, { ...options, callback: (error, message) => { heard.push(message.subject); void options?.callback?.(error, message); } });
    },
  });
  const own = makeReplies({ nats: watched, streams, prefix: "infer", origin: "direct", perTenant: true, log: pino({ level: "silent" }), now: () => 0 });
  expect(subscribed).toEqual([]);
  const both = [own.expect(idOf("mine-1"), TIMES), own.expect(idOf("mine-2"), TIMES)];
  await nats.flush();
  await emit(completion("theirs", { origin: "direct", tenant_id: "t2" }));
  for (const name of ["mine-1", "mine-2"]) await emit(completion(name, { origin: "direct" }));
  expect(await Promise.all(both.map(({ outcome }) => outcome))).toMatchObject([{ request_id: "mine-1" }, { request_id: "mine-2" }]);
  expect([subscribed, heard]).toEqual([["infer.reply.direct.t1.>"], ["infer.reply.direct.t1.mine-1", "infer.reply.direct.t1.mine-2"]]);
  own.close();
});

it("hears replies again after the broker was killed and came back", async () => {
  nowMs = 0;
  await server.kill();
  await server.restart();
  const { outcome } = replies.expect(idOf("again"), TIMES);
  await vi.waitFor(async () => { await nats.flush(); await emit(completion("again")); }, WAIT);
  expect(await outcome).toEqual(completion("again"));
});

it("may be closed more than once, before and after an outcome, and while somebody waits", async () => {
  const waiting = replies.expect(idOf("closed"), { ...TIMES, anyOrigin: true });
  waiting.close();
  waiting.close();
  expect(replies.waiting()).toBe(0);
  const { outcome } = replies.expect(idOf("closed"), TIMES); // the same id again: a set of its own
  await emit(completion("closed"));
  await outcome;
  waiting.close();
  replies.expect(idOf("left behind"), TIMES);
  replies.close();
  replies.close();
});
