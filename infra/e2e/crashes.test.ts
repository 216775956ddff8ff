/**
 * One disaster, many guarantees. While requests are under way, one worker and the router are killed, another worker and
 * the audit sink are stopped; then `up` starts what is missing. Redelivery takes `ack_wait` (15 s), so all of it happens
 * once, before the tests, which then look at what came of it.
 */
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { connectInferClient, type InferClient } from "#producers/client/inferClient.ts";
import { type InferReply, toReply } from "#shared/contracts/reply.ts";
import type { InferBody } from "#shared/contracts/request.ts";

import { type Audit, body, type Broker, connectBroker, errorOf, type HttpAnswer, openAudit, postJson, recordOf } from "./callers.ts";
import { answerOf, type ModelServer, prompt, type Script, startModelServer } from "./modelServer.ts";
import { startSystem, type System, type UpReport } from "./system.ts";

const GRACE_MS = 1_000;
const DOOMED_DEADLINE_MS = 2_500;
/** Longer than `ack_wait` and a restart. */
const PATIENCE_MS = 80_000;
const names = (what: string, count: number) => Array.from({ length: count }, (_, i) => `${what}-${i}`);
const ON_KILLED_WORKER = names("killed", 3);
const ON_STOPPED_WORKER = names("stopped", 16);
const BEFORE_ROUTER_DIES = names("unaudited", 5);
const THROUGH_DEAD_ROUTER = names("routerless", 60);
const ALL = [...ON_KILLED_WORKER, ...ON_STOPPED_WORKER, ...BEFORE_ROUTER_DIES, ...THROUGH_DEAD_ROUTER, "doomed"];

let system: System;
let models: ModelServer;
let broker: Broker;
let client: InferClient;
let audit: Audit;
let dropDatabase: () => Promise<void>;
let answers: ReadonlyMap<string, HttpAnswer>;
let completions: ReadonlyMap<string, InferReply>;
let rowsWhileStopped: number;
let restart: UpReport;

const only = (tier: string) => ({ min_tier: tier, max_tier: tier });
const content = (name: string, script: Script, more: Partial<InferBody>) => body(name, prompt(name, script), { deadline_ms: PATIENCE_MS, ...more });
const overHttp = (name: string, script: Script, more: Partial<InferBody>) => postJson(`${system.url("gateway")}/infer`, content(name, script, more));
/** From `gamma`, which is unsure, to `delta`: through the router twice. */
const climb = (name: string) => client.infer(content(name, { gamma: { confidence: 0.5, delay_ms: 20 } }, { min_tier: "gamma" }), { timeoutMs: PATIENCE_MS });
const all = async <T>(of: readonly string[], start: (name: string) => Promise<T>) => new Map(await Promise.all(of.map(async (name) => [name, await start(name)] as const)));

beforeAll(async () => {
  models = await startModelServer();
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_crashes");
  dropDatabase = database.drop;
  const env = { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/4`, INFER_SWEEP_GRACE_MS: String(GRACE_MS) };
  const tiers = [{ name: "alpha" }, { name: "beta", slots: 4 }, { name: "gamma" }, { name: "delta" }];
  system = await startSystem({ env, tiers: { serverUrl: models.url, tiers } });
  broker = await connectBroker(system.url("nats"));
  client = await connectInferClient({ url: system.url("nats") });
  audit = openAudit(database.url);
  await disaster();
});
afterAll(async () => {
  await Promise.all([client.close(), broker.close(), audit.close()]);
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
});

async function disaster(): Promise<void> {
  const killed = all(ON_KILLED_WORKER, (name) => overHttp(name, { alpha: { hold: "restart" } }, only("alpha")));
  const doomed = overHttp("doomed", { alpha: { hold: "never" } }, { ...only("alpha"), deadline_ms: DOOMED_DEADLINE_MS });
  for (const name of [...ON_KILLED_WORKER, "doomed"]) await models.awaitCalls(name, 1);
  await Promise.all([system.signal("worker-alpha", "SIGKILL"), system.signal("audit-sink", "SIGTERM")]);

  const stopped = all(ON_STOPPED_WORKER, (name) => overHttp(name, { beta: { delay_ms: 150 } }, only("beta")));
  await models.awaitCalls("stopped-0", 1);
  await system.signal("worker-beta", "SIGTERM");

  const unaudited = await all(BEFORE_ROUTER_DIES, climb);
  const doomedAnswer = await doomed; // closed by this router's sweeper
  rowsWhileStopped = (await audit.rows("SELECT 1 FROM requests")).length;
  const routerless = all(THROUGH_DEAD_ROUTER, climb);
  await models.awaitCalls("routerless-0", 1);
  await system.signal("router", "SIGKILL");

  models.release("restart");
  restart = await system.up();
  answers = new Map([...(await killed), ...(await stopped), ["doomed", doomedAnswer]]);
  completions = new Map([...unaudited, ...(await routerless)]);
  await broker.idle(30_000);
}

test("a worker that is killed loses nothing: its jobs run again, once, and are answered", () => {
  for (const name of ON_KILLED_WORKER) {
    expect([answers.get(name)?.status, recordOf(answers.get(name) as HttpAnswer).output]).toEqual([200, answerOf(name, "alpha")]);
    expect(models.calls(name)).toHaveLength(2); // 1 + one crash
  }
});

test("a request whose worker is gone is closed at its deadline, and not run again later", () => {
  const answer = answers.get("doomed") as HttpAnswer;
  expect([answer.status, errorOf(answer).code, recordOf(answer).outcome]).toEqual([504, "deadline_exceeded", "failed"]);
  expect(recordOf(answer).latency_ms).toBeLessThan(DOOMED_DEADLINE_MS + GRACE_MS + 2_000);
  expect(models.calls("doomed")).toHaveLength(1);
});

test("a worker that is stopped finishes what it runs, gives back the rest, and repeats nothing", () => {
  for (const name of ON_STOPPED_WORKER) expect([name, answers.get(name)?.status, models.calls(name).length]).toEqual([name, 200, 1]);
  expect(system.logs().get("worker-beta.log")).not.toContain("not finished within the grace period");
});

test("a router that is killed loses nothing and runs nothing twice", () => {
  for (const name of THROUGH_DEAD_ROUTER) {
    expect([name, completions.get(name)?.outcome, completions.get(name)?.tier, models.calls(name, "gamma").length, models.calls(name, "delta").length]).toEqual([name, "completed", "delta", 1, 1]);
  }
});

test("an audit sink that was down catches up: one row for each request, one for each attempt", async () => {
  expect(rowsWhileStopped).toBe(0);
  const rows = await waitUntil(async () => [await audit.rows<{ request_id: string; attempt_count: number }>("SELECT request_id, attempt_count FROM requests")].find(({ length }) => length >= ALL.length), { deadlineMs: 15_000, describe: () => "rows are missing" });
  expect(rows.map(({ request_id }) => request_id).sort()).toEqual([...ALL].sort());
  expect(await audit.rows("SELECT 1 FROM attempts")).toHaveLength(rows.reduce((sum, { attempt_count }) => sum + attempt_count, 0));
});

test("what each caller saw is what is stored", async () => {
  for (const [name, answer] of answers) expect(recordOf(answer)).toEqual(JSON.parse(JSON.stringify(toReply(await broker.completion("tenant-1", name)))));
  for (const [name, reply] of completions) expect(reply).toEqual(toReply(await broker.completion("tenant-1", name)));
});

test("up starts just what is missing", () => {
  expect(restart.has_started_something).toBe(true);
  expect(restart.lines.filter(({ state }) => state !== "ready")).toEqual([]);
  const starts = (role: string) => (system.logs().get(`${role}.log`) ?? "").split('"msg":"ready"').length - 1;
  expect(["gateway", "router", "worker-alpha", "worker-beta", "worker-gamma", "audit-sink"].map((role) => [role, starts(role)])).toEqual([
    ["gateway", 1], ["router", 2], ["worker-alpha", 2], ["worker-beta", 2], ["worker-gamma", 1], ["audit-sink", 2],
  ]);
});
