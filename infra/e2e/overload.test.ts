/** Ten times as much as can be done: what can be done is done all the same, the rest is told so at once, and it passes. */
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";

import { body, type Broker, connectBroker, counter, postJson, recordOf } from "./callers.ts";
import { startCountingServer, type CountingServer } from "./killedBatch.ts";
import { type Answered, goodputOf, offer, quantile, saturate } from "./offeredLoad.ts";
import { startSystem, type System } from "./system.ts";

const MODEL_MS = 500;
/** 8 answers a second: few enough for ten times as many requests to be no work for a busy machine. */
const SLOTS = 4;
const DEADLINE_MS = 5_000;
/** For a machine that is busy with other things; the bench says what it is on a quiet one. */
const LEAST_GOODPUT = 0.6;

let system: System;
let models: CountingServer;
let broker: Broker;
let dropDatabase: () => Promise<void>;
beforeAll(async () => {
  models = await startCountingServer(MODEL_MS);
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_overload");
  dropDatabase = database.drop;
  system = await startSystem({ env: { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/9` }, tiers: { serverUrl: models.url, tiers: [{ name: "alpha", slots: SLOTS }] } });
  broker = await connectBroker(system.url("nats"));
});
afterAll(async () => {
  await broker.close();
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
});

test("at ten times the load goodput stays, the rest is refused at once with a time, and afterwards all is as before", async () => {
  const url = system.url("gateway");
  const saturated = await saturate({ url, run: "saturated", callers: 2 * SLOTS, seconds: 6, deadlineMs: DEADLINE_MS, tenantOf: () => "crowd" });
  expect(new Set(saturated.map(({ status }) => status))).toEqual(new Set([200]));
  const most = goodputOf(saturated, { deadlineMs: DEADLINE_MS, seconds: 6 });
  const rush = { url, run: "rush", perS: 10 * SLOTS * (1_000 / MODEL_MS), seconds: 10, deadlineMs: DEADLINE_MS, tenantOf: (place: number) => (place % 50 === 0 ? "quiet" : "crowd") };
  // A publisher meets the same queue; its request ends durably, and says when to come again.
  const publishing = waitUntil(async () => ((await counter(url, "infer_shed_total")) > 100 ? true : undefined), { deadlineMs: 20_000, describe: () => "nothing is refused" })
    .then(() => broker.js.publish("infer.request.crowd.published", JSON.stringify({ user_id: "u", input: "ask published", budget: 1, deadline_ms: 1_000 })));
  const answers = await offer(rush);
  const goodput = goodputOf(answers, rush);
  const refused = answers.filter(({ status }) => status === 503 || status === 429);
  const p = (share: number) => quantile(refused.map(({ latencyMs }) => latencyMs), share).toFixed(0);
  process.stdout.write(`answers in time per second: ${most.toFixed(1)} at saturation, ${goodput.toFixed(1)} of ${rush.perS} offered: ${(goodput / most).toFixed(2)}; ${refused.length} of ${answers.length} refused, p50 ${p(0.5)} ms, p99 ${p(0.99)} ms\n`);
  expect(goodput / most).toBeGreaterThan(LEAST_GOODPUT);
  expect(refused.length).toBeGreaterThan(answers.length / 2);
  expect(refused.filter(({ retryAfter }) => !(Number(retryAfter) >= 1 && Number(retryAfter) <= 60))).toEqual([]);
  expect(quantile(refused.map(({ latencyMs }) => latencyMs), 0.5)).toBeLessThan(DEADLINE_MS / 5);
  const served = (tenant: string, of: readonly Answered[]) => of.filter((one) => one.tenant === tenant && one.status === 200).length / of.filter((one) => one.tenant === tenant).length;
  expect(served("quiet", answers)).toBeGreaterThan(2 * served("crowd", answers)); // it asks for less than its share
  await publishing;
  expect(await broker.completion("crowd", "published", 20_000)).toMatchObject({ outcome: "rejected", attempts: [], error: { code: "overloaded", retry_after_ms: expect.any(Number) as number } });

  let tries = 0;
  const isQuick = async () => {
    const startedAt = performance.now();
    const answer = await postJson(`${url}/infer`, body(`after-${++tries}`, "ask after"));
    return answer.status === 200 && recordOf(answer).outcome === "completed" && performance.now() - startedAt < 10 * MODEL_MS ? true : undefined;
  };
  await waitUntil(isQuick, { deadlineMs: 30_000, describe: () => "it does not recover" });
  await broker.idle(30_000);
}, 120_000);
