/**
 * SIGTERM to every role, one group after the other, while requests come through both doors, and `up` again: what a deploy does.
 * With one gateway its callers see refused connections or 503 while it is away; asking again with the same id must be all that they need.
 */
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import { connectInferClient, type InferClient } from "#producers/client/inferClient.ts";
import type { InferReply } from "#shared/contracts/reply.ts";
import { pause } from "#shared/runtime/lifecycle.ts";

import { body, type Broker, connectBroker, errorOf, openAudit, postJson, recordOf } from "./callers.ts";
import { type ModelServer, prompt, startModelServer } from "./modelServer.ts";
import { startSystem, type System } from "./system.ts";

const CALLERS = 4;
/** Longer than a group is away, also on a machine that is busy with other things. */
const DEADLINE_MS = 90_000;
/** Each group ends together and is started again together. */
const GROUPS = [["router", "audit-sink"], ["worker-gamma", "worker-delta", "metrics-sink"], ["gateway", "webhook-sender"]];

let system: System;
let models: ModelServer;
let broker: Broker;
let client: InferClient;
let dropDatabase: () => Promise<void>;
let databaseUrl: string;
beforeAll(async () => {
  models = await startModelServer();
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_rolling");
  [dropDatabase, databaseUrl] = [database.drop, database.url];
  system = await startSystem({ env: { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/6` }, tiers: { serverUrl: models.url, tiers: [{ name: "gamma", slots: 4 }, { name: "delta", slots: 4 }] } });
  broker = await connectBroker(system.url("nats"));
  client = await connectInferClient({ url: system.url("nats") });
});
afterAll(async () => {
  await Promise.all([client.close(), broker.close()]);
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
});

/** Every third climbs from `gamma`, which is unsure of it, to `delta`: twice through the router. */
const isClimb = (i: number): boolean => i % 3 === 0;
const content = (name: string, i: number) => body(name, prompt(name, { gamma: { confidence: isClimb(i) ? 0.5 : 0.99, delay_ms: 40 }, delta: { delay_ms: 40 } }), { min_tier: "gamma", deadline_ms: DEADLINE_MS });

/** What a caller saw before its answer: statuses, or `null` where the connection was refused or broke. */
async function overHttp(name: string, i: number): Promise<{ readonly before: (number | null)[]; readonly status: number; readonly record: InferReply }> {
  const before: (number | null)[] = [];
  for (;;) {
    const answer = await postJson(`${system.url("gateway")}/infer`, content(name, i)).catch(() => null);
    const code = answer === null || answer.status === 200 ? null : errorOf(answer).code;
    if (answer !== null && answer.status !== 503 && code !== "idempotency_in_progress") return { before, status: answer.status, record: recordOf(answer) };
    before.push(answer?.status ?? null);
    await pause(100, AbortSignal.timeout(1_000));
  }
}

test("a rolling SIGTERM under load loses nothing, fails nobody who asks again, and calls no model twice", async () => {
  const stop = new AbortController();
  const asked: { name: string; i: number }[] = [];
  const http = new Map<string, Awaited<ReturnType<typeof overHttp>>>();
  const nats = new Map<string, InferReply>();
  const caller = async (door: string, ask: (name: string, i: number) => Promise<void>) => {
    while (!stop.signal.aborted) {
      const i = asked.length;
      const name = `${door}-${i}`;
      asked.push({ name, i });
      await ask(name, i);
    }
  };
  const callers = Promise.all(Array.from({ length: CALLERS }, () => [
    caller("http", async (name, i) => void http.set(name, await overHttp(name, i))),
    caller("nats", async (name, i) => void nats.set(name, await client.infer(content(name, i), { timeoutMs: DEADLINE_MS + 10_000 }))),
  ]).flat());
  await models.awaitCalls("http-0", 1);
  for (const group of GROUPS) {
    await Promise.all(group.map((role) => system.signal(role, "SIGTERM")));
    expect((await system.up()).lines.filter(({ state }) => state !== "ready")).toEqual([]);
  }
  stop.abort();
  await callers;
  await broker.idle(30_000);

  const seen = [...http.values()];
  process.stdout.write(`${asked.length} requests, ${seen.filter(({ before }) => before.length > 0).length} of them asked again over HTTP\n`);
  expect(asked.length).toBeGreaterThan(50);
  // Each tier has one worker here: while it is away, a climb keeps the answer that it has.
  const records = new Map<string, InferReply>([...nats, ...[...http].map(([name, { record }]) => [name, record] as const)]);
  const outcomeOf = (name: string) => records.get(name)?.outcome;
  const isAnswered = (name: string, i: number) => outcomeOf(name) === "completed" || (outcomeOf(name) === "degraded" && isClimb(i));
  expect(seen.filter(({ status }) => status !== 200)).toEqual([]);
  expect(asked.filter(({ name, i }) => !isAnswered(name, i)).map(({ name }) => [name, outcomeOf(name), records.get(name)?.error, records.get(name)?.attempts])).toEqual([]);
  expect(seen.flatMap(({ before }) => before).filter((status) => status !== null && status !== 503 && status !== 409)).toEqual([]);
  const wrongCalls = asked.map(({ name, i }) => [name, models.calls(name, "gamma").length, models.calls(name, "delta").length, isClimb(i) && outcomeOf(name) === "completed" ? 1 : 0]).filter(([, gamma, delta, wanted]) => gamma !== 1 || delta !== wanted);
  expect(wrongCalls).toEqual([]);
  expect((await broker.jsm.streams.info("COMPLETIONS")).state.messages).toBe(asked.length);
  const audit = openAudit(databaseUrl);
  expect((await audit.rows("SELECT 1 FROM requests")).length).toBe(asked.length);
  await audit.close();
  expect(await broker.deadLetters()).toEqual([]);

  const endings = GROUPS.flat().map((role) => [role, ...[...(system.logs().get(`${role}.log`) ?? "").matchAll(/"exit_code":(\d+)/g)].map(([, code]) => Number(code))]);
  expect(endings).toEqual(GROUPS.flat().map((role) => [role, 0]));
}, 180_000);
