import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { AppError } from "#shared/contracts/errors.ts";

import { ADMITTED_HEADER } from "./ackInbox.ts";
import { connectNats } from "./connect.ts";
import { consume, type ConsumeOptions, type Delivery } from "./consume.ts";
import { NewerVersion } from "./newerVersion.ts";
import { brokerOver } from "./openBroker.ts";
import { consumerOf, requestSubject, type Source, sourcesOf } from "./topology.ts";

const WAIT = { timeout: 15_000, interval: 20 };
let test: TestBroker;
let server: TestBroker["server"];
let broker: TestBroker["broker"];
beforeAll(async () => {
  test = await startTestBroker([{ name: "small", slots: 1 }]);
  ({ server, broker } = test);
});
afterAll(async () => { await test.remove(); });

const gate = () => {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => { open = resolve; });
  return { opened, open: () => { open(); } };
};
const publish = async (tenant_id: string, ids: readonly string[], { acks } = broker) => {
  for (const request_id of ids) expect(await acks.publish(requestSubject("infer", { tenant_id, request_id }), new Uint8Array())).toBe("stored");
};
const ids = (n: number) => Array.from({ length: n }, (_, i) => `r${i}`);
const idIn = ({ subject }: Delivery) => subject.split(".").at(-1) ?? "";

/** Requests of one tenant, read by a consumer of its own: tests do not meet. */
async function world(tenant: string, over: Partial<Source> = {}) {
  const source: Source = { ...sourcesOf("infer").routerRequests, durable: tenant, filter: `infer.request.${tenant}.*`, ...over };
  await broker.jsm.consumers.add(source.stream, consumerOf(source));
  const givenUp: [string, string][] = [];
  const start = (handle: ConsumeOptions["handle"], more: Partial<ConsumeOptions> = {}) => {
    const shutdown = new AbortController();
    const giveUp = async (delivery: Delivery, { code }: { code: string }) => void givenUp.push([idIn(delivery), code]);
    const done = consume({ js: broker.js, wire: broker.wire, log: pino({ level: "silent" }), source, giveUp, concurrency: 8, signal: shutdown.signal, handle, ...more });
    return { done, stop: async () => { shutdown.abort(); await done; }, shutdown };
  };
  const left = async () => {
    const { num_pending, num_ack_pending, num_redelivered } = await broker.jsm.consumers.info(source.stream, source.durable);
    return { num_pending, num_ack_pending, num_redelivered };
  };
  const remake = async () => {
    await broker.jsm.consumers.delete(source.stream, source.durable);
    await broker.jsm.consumers.add(source.stream, consumerOf(source));
  };
  return { start, left, givenUp, remake };
}
const NOTHING = { num_pending: 0, num_ack_pending: 0, num_redelivered: 0 };

it("bounds how many handlers run, and acks each when it is done", async () => {
  await publish("bounds", ids(40));
  const { start, left } = await world("bounds");
  const first = gate();
  let now = 0, most = 0;
  const seen = new Set<string>();
  const { stop } = start(async (delivery) => {
    most = Math.max(most, ++now);
    await first.opened;
    now--;
    seen.add(idIn(delivery));
  }, { concurrency: 4 });
  await vi.waitFor(async () => { expect(await left()).toMatchObject({ num_ack_pending: 40 }); }, WAIT); // all in hand, none acked
  expect(now).toBe(4);
  first.open();
  await vi.waitFor(async () => { expect(await left()).toEqual(NOTHING); }, WAIT);
  await stop();
  expect([most, seen.size]).toEqual([4, 40]);
});

it("tells the handler what it needs to know of a delivery", async () => {
  await broker.acks.publish("infer.request.knows.r0", Buffer.from("body"), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", { [ADMITTED_HEADER]: "proof" });
  await publish("knows", ["r1"]);
  const { start } = await world("knows");
  const seen: Delivery[] = [];
  const { stop } = start(async (delivery) => void seen.push(delivery));
  await vi.waitFor(() => { expect(seen).toHaveLength(2); }, WAIT);
  await stop();
  expect(seen).toMatchObject([
    { subject: "infer.request.knows.r0", stream: "REQUESTS", deliveries: 1, mayBeRepeat: false, traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", admitted: "proof" },
    { subject: "infer.request.knows.r1", traceparent: null, admitted: undefined },
  ]);
  expect(new TextDecoder().decode(seen[0]?.data)).toBe("body");
  expect(Math.abs((seen[0]?.storedAtMs ?? 0) - Date.now())).toBeLessThan(60_000);
});

it("delivers again what failed, as a repeat", async () => {
  await publish("retry", ["r0"]);
  const { start, left, givenUp } = await world("retry");
  const deliveries: [number, boolean][] = [];
  const { stop } = start(async ({ deliveries: count, mayBeRepeat }) => {
    deliveries.push([count, mayBeRepeat]);
    if (count < 3) throw new Error("a bug, or not");
  });
  await vi.waitFor(async () => { expect(deliveries).toHaveLength(3); expect(await left()).toEqual(NOTHING); }, WAIT);
  await stop();
  expect([deliveries, givenUp]).toEqual([[[1, false], [2, true], [3, true]], []]);
});

describe("gives up", () => {
  it("what cannot get better, at once, and what failed too often, and does not see it again", async () => {
    await publish("gives", ["refused", "broken", "good"]);
    const { start, left, givenUp } = await world("gives", { maxDeliver: 2 });
    const { stop } = start(async (delivery) => {
      if (idIn(delivery) === "refused") throw new AppError("invalid_request", "no");
      if (idIn(delivery) === "broken") throw new Error("each time");
    });
    await vi.waitFor(async () => { expect(givenUp).toHaveLength(2); expect(await left()).toMatchObject({ num_pending: 0, num_ack_pending: 0 }); }, WAIT);
    await stop();
    expect(givenUp).toEqual([["refused", "invalid_request"], ["broken", "poison"]]);
  });

  it("again, after a while, what could not be given up because of an outage: nothing is dropped silently", async () => {
    await publish("again", ["r0"]);
    const { start, left } = await world("again", { ackWaitMs: 1_000 });
    let tries = 0;
    const giveUp = async () => { if (++tries === 1) throw new AppError("broker_unavailable", "down"); };
    const { stop } = start(async () => { throw new AppError("invalid_request", "no"); }, { giveUp });
    await vi.waitFor(async () => { expect(tries).toBe(2); expect(await left()).toMatchObject({ num_ack_pending: 0 }); }, WAIT);
    await stop();
  });
});

describe("at shutdown", () => {
  it("finishes what it runs and gives back what it has not started, for others to have at once", async () => {
    await publish("stops", ids(10));
    const { start, left } = await world("stops");
    const first = gate();
    const seen: string[] = [];
    const { done, shutdown } = start(async (delivery) => { await first.opened; seen.push(idIn(delivery)); }, { concurrency: 1 });
    await vi.waitFor(async () => { expect(await left()).toMatchObject({ num_ack_pending: 10 }); }, WAIT);
    shutdown.abort();
    first.open();
    await done;
    expect(seen).toEqual(["r0"]);
    const { stop } = start(async (delivery) => void seen.push(idIn(delivery)));
    await vi.waitFor(() => { expect(seen).toHaveLength(10); }, { timeout: 5_000 }); // ack_wait is 15 s
    await stop();
    expect(new Set(seen).size).toBe(10);
  });

  it("gives back what it holds through an outage", async () => {
    await publish("holds", ids(4));
    const { start } = await world("holds");
    let tries = 0;
    const { stop: stopFirst } = start(async () => { tries++; throw new AppError("storage_full", "down"); }, { concurrency: 2 });
    await vi.waitFor(() => { expect(tries).toBeGreaterThanOrEqual(2); }, WAIT);
    await stopFirst();
    const seen: string[] = [];
    const { stop } = start(async (delivery) => void seen.push(idIn(delivery)));
    await vi.waitFor(() => { expect(seen).toHaveLength(4); }, { timeout: 5_000 });
    await stop();
  });

  it("ends at once when it was aborted before it began", async () => {
    const { start } = await world("before");
    await start(async () => undefined, { signal: AbortSignal.abort() }).done;
  });
});

it("takes a message for a repeat that waited where a blocked process could not read it: the server may have given it to another one", async () => {
  await publish("stale", ids(1));
  const startedAtMs = performance.now();
  const { start } = await world("stale", { ackWaitMs: 600 });
  await vi.waitFor(() => { expect(performance.now() - startedAtMs).toBeGreaterThan(400); }, WAIT); // more than half of it
  const seen: [boolean, boolean | undefined][] = [];
  const { stop } = start(async ({ deliveries, mayBeRepeat, isHeldLong }) => { expect(deliveries).toBe(1); seen.push([mayBeRepeat, isHeldLong?.()]); });
  await vi.waitFor(() => { expect(seen).toEqual([[true, true]]); }, WAIT);
  await stop();
});

it("holds messages through an outage, beyond their lease, and uses up no delivery", async () => {
  await publish("outage", ids(6));
  const { start, left, givenUp } = await world("outage", { ackWaitMs: 1_000, maxDeliver: 2 });
  const startedAtMs = performance.now();
  let isDown = true, tries = 0;
  const seen: string[] = [], repeats: boolean[] = [];
  const { stop } = start(async (delivery) => {
    tries++;
    if (isDown) throw new AppError("database_unavailable", "down");
    seen.push(idIn(delivery));
    repeats.push(delivery.mayBeRepeat);
  }, { concurrency: 2 });
  await vi.waitFor(() => { expect(performance.now() - startedAtMs).toBeGreaterThan(2_500); }, WAIT); // more than two leases
  expect(await left()).toEqual({ num_pending: 0, num_ack_pending: 6, num_redelivered: 0 });
  isDown = false;
  await vi.waitFor(async () => { expect(await left()).toEqual(NOTHING); }, WAIT);
  await stop();
  expect(tries).toBeGreaterThan(6);
  expect([seen.toSorted(), givenUp]).toEqual([ids(6), []]);
  expect(repeats.slice(0, 2)).toEqual([true, true]); // tried before: look before you act
});

it("asks again soon when what it asked of the consumer is lost, as it is with the consumer's leader", async () => {
  const { start, remake } = await world("lost");
  await publish("lost", ["r0"]);
  const seen: string[] = [];
  const { stop } = start(async (delivery) => void seen.push(idIn(delivery)));
  await vi.waitFor(() => { expect(seen).toEqual(["r0"]); }, WAIT);
  await remake();
  await publish("lost", ["r1"]);
  await vi.waitFor(() => { expect(seen).toContain("r1"); }, WAIT); // the client's own defaults: 30 s
  await stop();
});

it("leaves what a later release wrote to a process of that release, also what it held when it ended, and gives none of it up", async () => {
  const { start, left, givenUp } = await world("newer", { ackWaitMs: 60_000 });
  const refused = new Map<string, number>(), read = new Set<string>();
  const old = start(async (delivery) => {
    refused.set(idIn(delivery), delivery.deliveries);
    throw new NewerVersion("job.v2", "job.v1");
  });
  await publish("newer", ids(6));
  await vi.waitFor(() => { expect([...refused.values()]).toEqual([3, 3, 3, 3, 3, 3]); }, WAIT); // held from now on
  const later = start(async (delivery) => void read.add(idIn(delivery)));
  await old.stop();
  await vi.waitFor(async () => { expect(await left()).toEqual(NOTHING); }, WAIT);
  await later.stop();
  expect([[...read].sort(), givenUp]).toEqual([ids(6), []]);
});

it("goes on after the broker was killed and came back, and loses nothing", async () => {
  await publish("killed", ["r0"]);
  const { start, left } = await world("killed", { ackWaitMs: 2_000 }); // an ack that the broker had not yet on disk is lost with it
  const seen = new Set<string>();
  const { stop } = start(async (delivery) => void seen.add(idIn(delivery)));
  await vi.waitFor(() => { expect(seen.size).toBe(1); }, WAIT);
  await server.kill();
  await server.restart();
  const other = await connectNats({ url: server.url, name: "other" });
  await publish("killed", ["r1"], await brokerOver(other, "infer"));
  await vi.waitFor(async () => { expect([...seen]).toEqual(["r0", "r1"]); expect(await left()).toMatchObject({ num_pending: 0, num_ack_pending: 0 }); }, WAIT);
  await stop();
  await other.close();
});
