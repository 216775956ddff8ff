import { pino } from "pino";
import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { startTestServer } from "#infra/embedded/testServers.ts";

import { connectNats } from "./connect.ts";
import { consumePerSlot, type ConsumeOptions, type SlotOptions } from "./consume.ts";
import { ensureTopology } from "./ensureTopology.ts";
import { brokerOver } from "./openBroker.ts";
import { consumerOf, type Source, workerSource } from "./topology.ts";

const WAIT = { timeout: 15_000, interval: 20 };
let test: TestBroker;
let server: TestBroker["server"];
let broker: TestBroker["broker"];
beforeAll(async () => {
  test = await startTestBroker([{ name: "small", slots: 2 }]);
  ({ server, broker } = test);
});
afterAll(async () => { await test.remove(); });

/** Jobs of a tier of its own. */
async function world(tier: string, slots: number, over: Partial<Source> = {}) {
  const source = { ...workerSource("infer", { name: tier, slots }), ...over };
  await broker.jsm.consumers.add(source.stream, consumerOf(source));
  const publishOver = async ({ acks }: Pick<typeof broker, "acks">, ...ids: string[]) => {
    for (const id of ids) expect(await acks.publish(`infer.job.${tier}.t1.${tier}-${id}.1`, new Uint8Array())).toBe("stored");
  };
  const start = (handle: ConsumeOptions["handle"], more: Pick<SlotOptions, "inUse"> = {}) => {
    const shutdown = new AbortController();
    const done = consumePerSlot({ js: broker.js, wire: broker.wire, log: pino({ level: "silent" }), source, giveUp: async () => undefined, concurrency: slots, signal: shutdown.signal, handle, ...more });
    return { stop: async () => { shutdown.abort(); await done; } };
  };
  const left = async () => {
    const { num_pending, num_ack_pending, num_redelivered } = await broker.jsm.consumers.info(source.stream, source.durable);
    return [num_pending, num_ack_pending, num_redelivered];
  };
  const waiting = async () => (await broker.jsm.consumers.info(source.stream, source.durable)).num_waiting;
  return { publish: (...ids: string[]) => publishOver(broker, ...ids), publishOver, start, left, waiting };
}
function gates() {
  const opens: (() => void)[] = [];
  let isOpen = false;
  return { pass: () => (isOpen ? Promise.resolve() : new Promise<void>((resolve) => opens.push(resolve))), open: () => { isOpen = true; opens.forEach((open) => { open(); }); } };
}

it("holds no more jobs than it has slots: the others are there for other processes", async () => {
  const { publish, start, left } = await world("slots", 2);
  await publish("a", "b", "c", "d", "e");
  const { pass, open } = gates();
  let now = 0, most = 0;
  const { stop } = start(async () => { most = Math.max(most, ++now); await pass(); now--; });
  await vi.waitFor(() => { expect(now).toBe(2); }, WAIT);
  expect(await left()).toEqual([3, 2, 0]);
  open();
  await vi.waitFor(async () => { expect(await left()).toEqual([0, 0, 0]); }, WAIT);
  await stop();
  expect(most).toBe(2);
});

it("keeps a long job alive beyond its lease: it runs once", async () => {
  const { publish, start, left } = await world("long", 2, { ackWaitMs: 1_000 });
  await publish("a", "b");
  const { pass, open } = gates();
  let runs = 0;
  const startedAtMs = performance.now();
  const { stop } = start(async () => { runs++; await pass(); });
  await vi.waitFor(() => { expect(performance.now() - startedAtMs).toBeGreaterThan(2_600); }, WAIT); // more than two leases
  expect([runs, await left()]).toEqual([2, [0, 2, 0]]);
  open();
  await vi.waitFor(async () => { expect(await left()).toEqual([0, 0, 0]); }, WAIT);
  await stop();
  expect(runs).toBe(2);
});

it("pulls with one slot while there is nothing to do, and with all for many jobs at once", async () => {
  const { publish, start, left, waiting } = await world("many", 8);
  const { pass, open } = gates();
  let now = 0;
  const { stop } = start(async () => { now++; await pass(); });
  const startedAtMs = performance.now();
  await vi.waitFor(async () => { expect([performance.now() - startedAtMs > 1_500, await waiting()]).toEqual([true, 1]); }, WAIT); // after the first pulls
  await publish("a", "b", "c", "d", "e", "f", "g", "h", "i", "j");
  await vi.waitFor(() => { expect(now).toBe(8); }, WAIT);
  expect(await left()).toEqual([2, 8, 0]);
  open();
  await vi.waitFor(async () => { expect(await left()).toEqual([0, 0, 0]); }, WAIT);
  await stop();
});

it("goes on in a slot that is in use when the one that pulls for all is no longer", async () => {
  const { publish, start, left, waiting } = await world("shrinks", 4);
  let inUse = 4;
  const { stop } = start(async () => undefined, { inUse: () => inUse });
  await vi.waitFor(async () => { expect(await waiting()).toBe(1); }, WAIT);
  inUse = 1;
  await publish("a", "b", "c"); // whoever pulls now takes the first at most
  await vi.waitFor(async () => { expect(await left()).toEqual([0, 0, 0]); }, WAIT);
  await stop();
});

it("finishes its jobs at shutdown and takes no other", async () => {
  const { publish, start, left } = await world("drain", 1);
  await publish("a", "b");
  const { pass, open } = gates();
  const seen: string[] = [];
  const { stop } = start(async ({ subject }) => { seen.push(subject); await pass(); });
  await vi.waitFor(() => { expect(seen).toHaveLength(1); }, WAIT);
  const stopped = stop();
  open();
  await stopped;
  await vi.waitFor(async () => { expect([seen.length, await left()]).toEqual([1, [1, 0, 0]]); }, WAIT); // acks are not waited for
});

it("gives back at once what a pull brings after the end has begun", async () => {
  const { publish, start, left, waiting } = await world("late", 1);
  const begun: string[] = [];
  const ending = start(async ({ subject }) => { await Promise.resolve(begun.push(subject)); });
  await vi.waitFor(async () => { expect(await waiting()).toBe(1); }, WAIT);
  const ended = ending.stop();
  await publish("a");
  await ended;
  expect(begun).toEqual([]);
  const startedAtMs = performance.now();
  const next = start(async ({ subject }) => { await Promise.resolve(begun.push(subject)); });
  await vi.waitFor(async () => { expect(await left()).toEqual([0, 0, 0]); }, { timeout: 10_000, interval: 20 }); // not after ack_wait, 15 s
  await next.stop();
  expect([begun.length, performance.now() - startedAtMs < 10_000]).toEqual([1, true]);
});

it("ends soon at shutdown when there is nothing to do", async () => {
  const { start } = await world("idle", 4);
  const { stop } = start(async () => undefined);
  const startedAtMs = performance.now();
  await stop();
  expect(performance.now() - startedAtMs).toBeLessThan(3_000);
});

it("goes on after the broker was killed and came back, a job in hand", async () => {
  const { publish, publishOver, start, left } = await world("killed", 1, { ackWaitMs: 2_000 }); // an ack that the broker had not yet on disk is lost with it
  await publish("a");
  const { pass, open } = gates();
  const seen = new Set<string>();
  const { stop } = start(async ({ subject }) => { await pass(); seen.add(subject); });
  await vi.waitFor(async () => { expect(await left()).toEqual([0, 1, 0]); }, WAIT);
  await server.kill();
  await server.restart();
  open();
  const other = await connectNats({ url: server.url, name: "other" });
  await publishOver(await brokerOver(other, "infer"), "b");
  await vi.waitFor(() => { expect([...seen]).toEqual(["infer.job.killed.t1.killed-a.1", "infer.job.killed.t1.killed-b.1"]); }, WAIT);
  await vi.waitFor(async () => { expect((await left()).slice(0, 2)).toEqual([0, 0]); }, WAIT);
  await stop();
  await other.close();
});

it("ends while the broker is away, also when it went away during a pull", async () => {
  const own = await startTestServer("nats");
  const connection = await connectNats({ url: own.url, name: "away" });
  try {
    await ensureTopology(connection, { prefix: "infer", tiers: [{ name: "small", slots: 2 }], completionsMaxAgeMs: 86_400_000 });
    const { js, wire, jsm } = await brokerOver(connection, "infer");
    const source = workerSource("infer", { name: "small", slots: 2 });
    const shutdown = new AbortController();
    const done = consumePerSlot({ js, wire, log: pino({ level: "silent" }), source, giveUp: async () => undefined, concurrency: 8, signal: shutdown.signal, handle: async () => undefined });
    await vi.waitFor(async () => { expect((await jsm.consumers.info(source.stream, source.durable)).num_waiting).toBe(1); }, WAIT);
    await own.kill();
    shutdown.abort();
    const startedAtMs = performance.now();
    await done;
    expect(performance.now() - startedAtMs).toBeLessThan(5_000);
  } finally {
    await connection.close();
    await own.remove();
  }
}, 30_000);

it("gives a job that comes at its end to others, and not to its own free slots, where its deliveries would be used up", async () => {
  const { publish, start, left, waiting } = await world("ending", 4);
  let handled = 0;
  const { stop } = start(async () => { handled++; await Promise.resolve(); });
  await publish("a", "b", "c", "d");
  await vi.waitFor(() => { expect(handled).toBe(4); }, WAIT);
  await vi.waitFor(async () => { expect(await waiting()).toBeGreaterThan(1); }, WAIT); // slots that pull, each for itself
  const over = stop();
  await publish("late");
  await over;
  const deliveries: number[] = [];
  const again = start(async (delivery) => { deliveries.push(delivery.deliveries); await Promise.resolve(); });
  await vi.waitFor(async () => { expect(await left()).toEqual([0, 0, 0]); }, WAIT);
  await again.stop();
  expect([handled, deliveries]).toEqual([4, [expect.toSatisfy((count: number) => count <= 2)]]);
});
