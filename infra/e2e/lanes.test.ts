/** Requests that somebody waits for, beside a flood of batch requests to the same tier. */
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";

import { body, type Broker, connectBroker, counter, postJson, recordOf } from "./callers.ts";
import { type ModelServer, prompt, startModelServer } from "./modelServer.ts";
import { startSystem, type System } from "./system.ts";

/** How long the model takes for one answer: long beside what a busy machine adds. */
const MODEL_MS = { interactive: 200, batch: 500 };
const FLOOD = 120;
const ASKED = 60;
/** Half of the tier's 8 slots, so that batches may run beside them. */
const CALLERS = 4;
/** For a machine that is busy with other things. Without lanes a request waits for all that came before it: the flood's calls in 8 slots are 7.5 s. */
const MOST_RATIO = 10;

let system: System;
let models: ModelServer;
let broker: Broker;
let dropDatabase: () => Promise<void>;
beforeAll(async () => {
  models = await startModelServer();
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_lanes");
  dropDatabase = database.drop;
  system = await startSystem({ env: { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/5` }, tiers: { serverUrl: models.url, tiers: [{ name: "alpha", slots: 8 }] } });
  broker = await connectBroker(system.url("nats"));
});
afterAll(async () => {
  await broker.close();
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
});

const ask = (name: string, priority: keyof typeof MODEL_MS, headers: Record<string, string> = {}) =>
  postJson(`${system.url("gateway")}/infer`, body(name, prompt(name, { alpha: { delay_ms: MODEL_MS[priority] } }), { priority, deadline_ms: 300_000 }), { headers });

/** Of requests that wait for their answers, a few at a time, in milliseconds. */
async function latencies(run: string, count = ASKED): Promise<number[]> {
  const measured: number[] = [];
  let next = 0;
  const caller = async () => {
    for (let i = next++; i < count; i = next++) {
      const startedAt = performance.now();
      const answer = await ask(`${run}-${i}`, "interactive");
      measured.push(performance.now() - startedAt);
      expect(recordOf(answer).outcome).toBe("completed");
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  return measured.sort((a, b) => a - b);
}
const p99 = (sorted: readonly number[]): number => sorted[Math.floor(0.99 * sorted.length)] ?? Infinity;

test("a flood of batch requests does not hold up who waits, and gets its answers all the same", async () => {
  await latencies("warm-up", 20);
  const alone = p99(await latencies("alone"));
  const flood = Array.from({ length: FLOOD }, (_, i) => `batch-${i}`);
  const accepted = await Promise.all(flood.map((name) => ask(name, "batch", { prefer: "respond-async" })));
  expect(accepted.map(({ status }) => status)).toEqual(flood.map(() => 202));
  const beside = p99(await latencies("beside"));
  const open = flood.filter((name) => models.calls(name).length === 0).length;
  process.stdout.write(`p99 of interactive requests: ${alone.toFixed(0)} ms alone, ${beside.toFixed(0)} ms beside ${FLOOD} batch requests (${open} of them not begun at the end): ratio ${(beside / alone).toFixed(2)}\n`);
  expect(open).toBeGreaterThan(0); // in one lane, all of it would have come first
  expect(beside / alone).toBeLessThan(MOST_RATIO);
  await broker.idle(120_000);
  const outcomes = await Promise.all(flood.map(async (name) => (await broker.completion("tenant-1", name)).outcome));
  expect([new Set(outcomes), flood.every((name) => models.calls(name).length === 1)]).toEqual([new Set(["completed"]), true]);
  expect(await counter(system.url("worker-alpha"), "infer_worker_slots")).toBe(8 + 2);
}, 240_000);
