import { pino } from "pino";
import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import { batchWorkerSource, consumerOf, workerSource } from "#shared/messaging/topology.ts";

import { makeLanes } from "./lanes.ts";

const WAIT = { timeout: 15_000, interval: 20 };
let test: TestBroker;
beforeAll(async () => { test = await startTestBroker([]); });
afterAll(() => test.remove());

/** A worker of a tier of its own. Each job waits until it is let go. */
async function world(name: string, tier: { slots: number; batch_slots?: number }, limit?: () => number) {
  const { jsm, js, wire, acks } = test.broker;
  const sources = { job: workerSource("infer", { name, ...tier }), batchjob: { ...batchWorkerSource("infer", { name, ...tier }) } };
  for (const source of Object.values(sources)) await jsm.consumers.add(source.stream, consumerOf(source));
  const lanes = makeLanes("infer", { name, ...tier }, limit);
  const running = new Map<string, () => void>();
  const started: string[] = [];
  const handle = ({ subject }: Pick<Delivery, "subject">) => {
    const [, , , , id = ""] = subject.split(".");
    started.push(id);
    return new Promise<void>((resolve) => running.set(id, resolve)).finally(() => running.delete(id));
  };
  const shutdown = new AbortController();
  const over = lanes.run({ js, wire, log: pino({ level: "silent" }), giveUp: async () => undefined, signal: shutdown.signal, handle });
  return {
    lanes, started,
    publish: async (lane: keyof typeof sources, ...ids: string[]) => { for (const id of ids) expect(await acks.publish(`infer.${lane}.${name}.t1.${id}.1`, new Uint8Array())).toBe("stored"); },
    finish: async (id: string) => {
      await vi.waitFor(() => { expect([...running.keys()]).toContain(id); }, WAIT);
      running.get(id)?.();
    },
    /** Jobs of a lane that wait, are in hand, and came again. */
    left: async (lane: keyof typeof sources) => {
      const { num_pending, num_ack_pending, num_redelivered } = await jsm.consumers.info("JOBS", sources[lane].durable);
      return [num_pending, num_ack_pending, num_redelivered];
    },
    waiting: async (lane: keyof typeof sources) => (await jsm.consumers.info("JOBS", sources[lane].durable)).num_waiting,
    stop: async () => {
      shutdown.abort();
      await over;
    },
  };
}

it("runs batch jobs in a quarter of the slots when idle, beside interactive ones in all of theirs", async () => {
  const { publish, finish, lanes, started, left, stop } = await world("idle", { slots: 8 });
  await publish("batchjob", "b-1", "b-2", "b-3");
  await vi.waitFor(() => { expect(lanes.busy).toEqual({ interactive: 0, batch: 2 }); }, WAIT);
  const interactive = Array.from({ length: 8 }, (_, i) => `i-${i}`);
  await publish("job", ...interactive);
  await vi.waitFor(() => { expect(lanes.busy).toEqual({ interactive: 8, batch: 2 }); }, WAIT);
  expect([lanes.slots, await left("batchjob")]).toEqual([{ interactive: 8, batch: 2 }, [1, 2, 0]]);
  for (const id of [...interactive, ...started.filter((one) => one.startsWith("b"))]) await finish(id);
  await vi.waitFor(() => { expect(started).toContain("b-3"); }, WAIT);
  await finish("b-3");
  await stop();
  expect(started).toHaveLength(11);
});

it("begins no batch job while its one slot is in use, not even one that a pull had asked for before, and goes on once it is free", async () => {
  const { publish, finish, lanes, started, left, waiting, stop } = await world("busy", { slots: 1, batch_slots: 2 });
  await vi.waitFor(async () => { expect(await waiting("batchjob")).toBe(1); }, WAIT);
  await publish("job", "i-1");
  await vi.waitFor(() => { expect(lanes.busy.interactive).toBe(1); }, WAIT);
  await publish("batchjob", "b-1", "b-2", "b-3", "b-4");
  await vi.waitFor(async () => { expect(await waiting("batchjob")).toBe(0); }, WAIT); // its pulls have ended, and none follows
  const [pending = 0, held = 0] = await left("batchjob");
  expect([pending + held, started, lanes.busy]).toEqual([4, ["i-1"], { interactive: 1, batch: 0 }]);
  await publish("job", "i-2", "i-3");
  await finish("i-1");
  await finish("i-2");
  expect(started.slice(0, 2)).toEqual(["i-1", "i-2"]);
  await finish("i-3");
  for (const id of ["b-1", "b-2", "b-3", "b-4"]) await finish(id);
  await vi.waitFor(async () => { expect([await left("job"), await left("batchjob")]).toEqual([[0, 0, 0], [0, 0, 0]]); }, WAIT);
  await stop();
  expect(started.toSorted()).toEqual(["b-1", "b-2", "b-3", "b-4", "i-1", "i-2", "i-3"]);
});

it("gives back at shutdown what it has not begun", async () => {
  const { publish, finish, lanes, started, waiting, stop } = await world("ends", { slots: 1 });
  await vi.waitFor(async () => { expect(await waiting("batchjob")).toBe(1); }, WAIT);
  await publish("job", "i-1");
  await vi.waitFor(() => { expect(lanes.busy.interactive).toBe(1); }, WAIT);
  await publish("batchjob", "b-1");
  await vi.waitFor(async () => { expect(await waiting("batchjob")).toBe(0); }, WAIT);
  const stopped = stop();
  await finish("i-1");
  await stopped;
  const again = makeLanes("infer", { name: "ends", slots: 1 });
  const shutdown = new AbortController();
  const over = again.run({ js: test.broker.js, wire: test.broker.wire, log: pino({ level: "silent" }), giveUp: async () => undefined, signal: shutdown.signal, handle: async ({ subject }) => { started.push(subject); shutdown.abort(); } });
  await over;
  expect(started).toEqual(["i-1", "infer.batchjob.ends.t1.b-1.1"]);
});

it("gives the backend no more at once than it takes, batches the least of it, and all slots again when it takes more", async () => {
  const backend = { takes: 2 };
  const { publish, finish, lanes, started, waiting, stop } = await world("limited", { slots: 8 }, () => backend.takes);
  await publish("job", "i-1", "i-2", "i-3", "i-4");
  await publish("batchjob", "b-1");
  await vi.waitFor(() => { expect(started).toContain("i-2"); }, WAIT);
  const before = [...started];
  for (const id of before) await finish(id);
  await vi.waitFor(() => { expect(started).toEqual(expect.arrayContaining(["i-3", "i-4"])); }, WAIT);
  expect(lanes.busy.interactive).toBe(2);
  expect(lanes.isFull()).toBe(true);
  backend.takes = 8;
  await vi.waitFor(async () => { expect(await waiting("job")).toBe(1); }, WAIT);
  expect(lanes.isFull()).toBe(false);
  await publish("job", "i-5", "i-6", "i-7", "i-8", "i-9", "i-10");
  await vi.waitFor(() => { expect(lanes.busy.interactive).toBe(8); }, WAIT);
  for (const id of started.filter((one) => !before.includes(one))) await finish(id);
  await stop();
});
