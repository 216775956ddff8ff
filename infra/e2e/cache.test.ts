/** Kept and shared answers, through three gateways, of which some die: one model server counts what really runs. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { Redis } from "ioredis";
import { Pool } from "pg";
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { projectFolder } from "#infra/embedded/homeFolder.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { connectInferClient, type InferClient } from "#producers/client/inferClient.ts";
import type { InferReply } from "#shared/contracts/reply.ts";
import type { InferBody } from "#shared/contracts/request.ts";
import type { TenantSettings } from "#shared/contracts/tenant.ts";
import { createTenant } from "#shared/tenancy/tenants.ts";

import { type Audit, body, connectBroker, type Broker, counter, errorOf, getText, type HttpAnswer, openAudit, postJson, recordOf } from "./callers.ts";
import { answerOf, type ModelServer, prompt, type Script, startModelServer } from "./modelServer.ts";
import { startSystem, type System } from "./system.ts";

const TENANT = "caching";
const OTHER = "caching-too";
const SECRET = "a secret of the cache's test, long enough";
let system: System;
let models: ModelServer;
let broker: Broker;
let audit: Audit;
let client: InferClient;
let redis: Redis;
let databaseUrl: string;
let dropDatabase: () => Promise<void>;
let gateways: readonly string[];
const spawned: OwnGateway[] = [];

interface OwnGateway { readonly url: string; readonly process: ChildProcess }
async function startGateway(natsUrl = system.url("nats")): Promise<OwnGateway> {
  const env = { PATH: process.env["PATH"], NATS_URL: natsUrl, REDIS_URL: `${inject("redisUrl")}/9`, DATABASE_URL: databaseUrl, INFER_TIERS_FILE: join(system.folder, "tiers.json"), INFER_GATEWAY_PORT: "0", INFER_GATEWAY_ADMIN_PORT: "0", INFER_SECRET: SECRET };
  const child = spawn(process.execPath, ["dist/gateway.js"], { cwd: projectFolder(), env, stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface(child.stdout)) {
    const { msg, port } = JSON.parse(line) as { msg: string; port?: number };
    if (msg !== "ready" || port === undefined) continue;
    child.stdout.resume();
    const own = { url: `http://127.0.0.1:${port}`, process: child };
    spawned.push(own);
    return own;
  }
  throw new Error("the gateway ended before it was ready");
}

beforeAll(async () => {
  models = await startModelServer();
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_cache");
  [databaseUrl, dropDatabase] = [database.url, database.drop];
  const pool = new Pool({ connectionString: databaseUrl });
  const settings = { cache: { mode: "all", ttl_s: 600 } } satisfies Partial<TenantSettings>;
  for (const tenant_id of [TENANT, OTHER]) await createTenant({ pool, tenantId: null }, { kind: "inferctl" }, { tenant_id, settings });
  await pool.end();
  const env = { DATABASE_URL: databaseUrl, REDIS_URL: `${inject("redisUrl")}/9`, INFER_SECRET: SECRET, INFER_SWEEP_GRACE_MS: "1000" };
  system = await startSystem({ env, tiers: { serverUrl: models.url, tiers: [{ name: "one", slots: 32 }] } });
  broker = await connectBroker(system.url("nats"));
  client = await connectInferClient({ url: system.url("nats") });
  audit = openAudit(databaseUrl);
  redis = new Redis(`${inject("redisUrl")}/9`);
  gateways = [system.url("gateway"), (await startGateway()).url, (await startGateway()).url];
  // Each has read the tenant's settings and knows the active routing model.
  for (const [i, url] of gateways.entries()) await waitUntil(async () => ((await ask(url, `warm-${i}`)).headers.get("x-optimizer-cache") === "bypass" ? undefined : true), { deadlineMs: 10_000, describe: () => "no cache" });
});
afterAll(async () => {
  for (const { process: child } of spawned) if (child.exitCode === null && child.signalCode === null) {
    child.kill("SIGTERM");
    await once(child, "exit");
  }
  await Promise.all([client.close(), broker.close(), audit.close(), redis.quit()]);
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
});

let n = 0;
const content = (name: string, script: Script = {}, more: Partial<InferBody> = {}): InferBody => ({ ...body(`cached-${n++}`, prompt(name, script)), tenant_id: TENANT, budget: 5, ...more });
const send = (url: string, asked: InferBody, headers: Record<string, string> = {}) => postJson(`${url}/infer`, asked, { headers });
const ask = (url: string, name: string, script: Script = {}, headers: Record<string, string> = {}) => send(url, content(name, script), headers);
const gateway = (i: number) => gateways[i % gateways.length] ?? "";
const cacheOf = (answer: HttpAnswer) => [answer.status, answer.headers.get("x-optimizer-cache"), recordOf(answer).cache?.kind];
/** An answer is kept beside the way of its request: whoever comes at once still finds that one under way. */
const untilKept = (name: string) => waitUntil(async () => ((await ask(gateway(0), name, {}, { "cache-control": "only-if-cached" })).status === 200 ? true : undefined), { deadlineMs: 10_000, describe: () => `no answer to ${name} is kept` });
/** The leader's lease is in Redis: whoever asks the same from now on waits for it. */
const hasLeader = () => waitUntil(async () => ((await redis.keys("*:leader")).length > 0 ? true : undefined), { deadlineMs: 10_000, describe: () => "nobody leads" });

test("200 identical requests at once over three gateways make one backend call, and each has its own record", async () => {
  const running = Promise.all(Array.from({ length: 200 }, (_, i) => send(gateway(i), content("two-hundred", { one: { hold: "two-hundred" } }, { user_id: `u${i}` }))));
  const waiting = async () => (await Promise.all(gateways.map((url) => counter(url, "infer_cache_requests_total")))).reduce((sum, count) => sum + count, 0);
  await models.awaitCalls("two-hundred", 1);
  expect(await waiting()).toBeGreaterThan(0);
  models.release("two-hundred");
  const answers = await running;
  expect(models.calls("two-hundred")).toHaveLength(1);
  const records = answers.map(recordOf);
  expect(new Set(records.map(({ output }) => output))).toEqual(new Set([answerOf("two-hundred", "one")]));
  expect(new Set(records.map(({ request_id }) => request_id)).size).toBe(200);
  const [ran, ...others] = records.filter(({ cache }) => cache === undefined);
  expect(others).toEqual([]);
  const given = records.filter(({ cache }) => cache !== undefined);
  for (const { cost_usd, baseline_cost_usd, attempts, cache, decision } of given) {
    expect([cost_usd, baseline_cost_usd, attempts, cache?.source_request_id, decision.why.includes("which asked the same")]).toEqual([0, ran?.cost_usd, [], ran?.request_id, true]);
  }
  expect(given.some(({ cache }) => cache?.kind === "shared")).toBe(true);
});

test("an answer is kept: asked again, at any gateway and through NATS, it costs nothing and is in the audit with its saving", async () => {
  const first = recordOf(await ask(gateway(0), "kept"));
  await untilKept("kept");
  const again = content("kept", {}, { user_id: "another" });
  const answer = await send(gateway(1), again);
  expect(cacheOf(answer)).toEqual([200, "hit", "exact"]);
  expect(Number(answer.headers.get("age"))).toBeGreaterThanOrEqual(0);
  expect(recordOf(answer)).toMatchObject({ request_id: again.request_id, output: first.output, tier: first.tier, confidence: first.confidence, cost_usd: 0, baseline_cost_usd: first.baseline_cost_usd, attempts: [], cache: { source_request_id: first.request_id } });
  const repeated = await send(gateway(2), again);
  expect([repeated.status, repeated.text, repeated.headers.get("x-optimizer-cache")]).toEqual([200, answer.text, "hit"]);
  const overNats = await client.infer(content("kept"));
  expect(overNats).toMatchObject({ outcome: "completed", cost_usd: 0, cache: { kind: "exact", source_request_id: first.request_id } });
  const isWithoutRequest = async (id = "") => (await broker.jsm.streams.getMessage("COMPLETIONS", { last_by_subj: `infer.completion.${TENANT}.${id}` }))?.header.has("infer-without-request");
  expect(await Promise.all([again.request_id, overNats.request_id, first.request_id].map(isWithoutRequest))).toEqual([true, false, false]);
  await audit.awaitRow(again.request_id ?? "");
  expect(await audit.rows("SELECT user_id, cost_nano_usd::int, attempt_count, cache->>'kind' AS kind, cache->>'source_request_id' AS source FROM requests WHERE request_id = $1", again.request_id)).toEqual([{ user_id: "another", cost_nano_usd: 0, attempt_count: 0, kind: "exact", source: first.request_id }]);
  expect((JSON.parse((await getText(`${gateway(0)}/requests/${again.request_id ?? ""}?tenant_id=${TENANT}`)).text) as InferReply).cache).toMatchObject({ kind: "exact" });
  expect(models.calls("kept")).toHaveLength(1);
});

test("another tenant's equal request, and one of a tenant without a cache, run by themselves", async () => {
  await ask(gateway(0), "mine");
  expect(cacheOf(await send(gateway(0), content("mine", {}, { tenant_id: OTHER })))).toEqual([200, "miss", undefined]);
  expect(cacheOf(await send(gateway(0), content("mine", {}, { tenant_id: "nobody" })))).toEqual([200, "bypass", undefined]);
  expect(models.calls("mine")).toHaveLength(3);
});

test("a caller says how old an answer may be, that it wants a new one, that none is kept, or no other", async () => {
  const none = await ask(gateway(0), "wanted", {}, { "cache-control": "only-if-cached" });
  expect([none.status, errorOf(none).code, models.calls("wanted").length]).toEqual([504, "not_cached", 0]);
  expect(cacheOf(await ask(gateway(0), "wanted", {}, { "cache-control": "no-store" }))).toEqual([200, "bypass", undefined]);
  expect(cacheOf(await ask(gateway(0), "wanted"))).toEqual([200, "miss", undefined]);
  await untilKept("wanted");
  expect(cacheOf(await ask(gateway(1), "wanted", {}, { "cache-control": "only-if-cached" }))).toEqual([200, "hit", "exact"]);
  expect(cacheOf(await ask(gateway(1), "wanted", {}, { "cache-control": "max-age=60" }))).toEqual([200, "hit", "exact"]);
  const fresh = recordOf(await ask(gateway(1), "wanted", {}, { "cache-control": "no-cache" }));
  expect(fresh.cache).toBeUndefined();
  await waitUntil(async () => (recordOf(await ask(gateway(2), "wanted")).cache?.source_request_id === fresh.request_id ? true : undefined), { deadlineMs: 5_000, describe: () => "the new answer is not kept" });
  expect(await client.infer(content("wanted-by-nats", {}, { cache_control: "only-if-cached" }))).toMatchObject({ outcome: "rejected", error: { code: "not_cached" } });
  expect([models.calls("wanted").length, models.calls("wanted-by-nats").length]).toEqual([3, 0]);
});

test("what failed is neither kept nor shared: one of those who waited takes over", async () => {
  const script: Script = { one: [{ status: 400, hold: "fails" }, {}] };
  const first = ask(gateway(0), "fails-first", script);
  await models.awaitCalls("fails-first", 1);
  const others = [1, 2, 4, 5].map((i) => ask(gateway(i), "fails-first", script));
  await waitUntil(async () => ((await counter(gateway(1), "infer_gateway_waiting_requests")) + (await counter(gateway(2), "infer_gateway_waiting_requests")) > 0 ? true : undefined), { deadlineMs: 10_000, describe: () => "nobody waits" });
  models.release("fails");
  expect((await first).status).toBe(502);
  const answers = await Promise.all(others);
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  expect(models.calls("fails-first")).toHaveLength(2);
});

test("a request that waits keeps its own deadline, and has an outcome of its own", async () => {
  const leader = send(gateway(0), content("patient", { one: { hold: "patient" } }, { deadline_ms: 60_000 }));
  await models.awaitCalls("patient", 1);
  const hasty = content("patient", { one: { hold: "patient" } }, { deadline_ms: 300 });
  const answer = await send(gateway(1), hasty);
  expect([answer.status, errorOf(answer).code]).toEqual([504, "deadline_exceeded"]);
  expect(await broker.completion(TENANT, hasty.request_id ?? "")).toMatchObject({ outcome: "failed", cost_nano_usd: 0 });
  models.release("patient");
  expect((await leader).status).toBe(200);
  expect(models.calls("patient")).toHaveLength(1);
});

test("a leader that dies before its request is accepted is replaced within its lease, by one of those who wait", async () => {
  const wire = await startWire(system.url("nats"));
  const doomed = await startGateway(wire.url);
  await waitUntil(async () => ((await ask(doomed.url, `warm-doomed-${n}`)).headers.get("x-optimizer-cache") === "miss" ? true : undefined), { deadlineMs: 10_000, describe: () => "no cache" });
  await waitUntil(async () => ((await redis.keys("*:leader")).length === 0 ? true : undefined), { deadlineMs: 10_000, describe: () => "somebody leads" });
  wire.cut();
  const { request_id: _none, ...unnamed } = content("orphaned"); // else its outcome is looked for first
  const lost = send(doomed.url, unnamed).catch(() => "gone");
  await hasLeader();
  const startedAt = performance.now();
  const waiting = Array.from({ length: 6 }, (_, i) => ask(gateway(i), "orphaned"));
  doomed.process.kill("SIGKILL");
  const answers = await Promise.all(waiting);
  expect(performance.now() - startedAt).toBeLessThan(6_000);
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  expect(models.calls("orphaned")).toHaveLength(1);
  expect(await lost).toBe("gone");
  await wire.close();
});

test("a leader that dies after its request was accepted is not missed: its answer is shared", async () => {
  const doomed = await startGateway();
  const lost = ask(doomed.url, "adopted", { one: { hold: "adopted" } }).catch(() => "gone");
  await models.awaitCalls("adopted", 1);
  doomed.process.kill("SIGKILL");
  const waiting = Array.from({ length: 6 }, (_, i) => ask(gateway(i), "adopted", { one: { hold: "adopted" } }));
  await waitUntil(async () => ((await counter(gateway(0), "infer_gateway_waiting_requests")) > 0 ? true : undefined), { deadlineMs: 10_000, describe: () => "nobody waits" });
  models.release("adopted");
  const answers = await Promise.all(waiting);
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  expect([models.calls("adopted").length, await lost]).toEqual([1, "gone"]);
});

test("OpenAI's clients get kept answers too, whole and streamed", async () => {
  const chat = (more: object = {}) => postJson(`${gateway(1)}/v1/chat/completions`, { model: "auto", messages: [{ role: "user", content: prompt("chatted", {}) }], ...more }, { headers: { "x-optimizer-tenant": TENANT } });
  expect((await chat()).headers.get("x-optimizer-cache")).toBe("miss");
  await waitUntil(async () => ((await chat({ optimizer: { cache_control: "only-if-cached" } })).status === 200 ? true : undefined), { deadlineMs: 10_000, describe: () => "no answer is kept" });
  const whole = await chat();
  expect([whole.headers.get("x-optimizer-cache"), JSON.parse(whole.text)]).toMatchObject(["hit", { choices: [{ message: { content: answerOf("chatted", "one") } }], usage: { total_tokens: 0 }, optimizer: { cost_usd: 0, cache: { kind: "exact" } } }]);
  const streamed = await chat({ stream: true });
  expect([streamed.status, streamed.headers.get("x-optimizer-cache"), streamed.text.includes('"kind":"exact"'), streamed.text.trimEnd().endsWith("data: [DONE]")]).toEqual([200, "hit", true, true]);
  expect(models.calls("chatted")).toHaveLength(1);
});

test("a caller that leaves takes its own request with it, and none that waits for the same", async () => {
  const left = new AbortController();
  const chat = (url: string, more: object, signal?: AbortSignal) => postJson(`${url}/v1/chat/completions`, { model: "auto", messages: [{ role: "user", content: prompt("left", { one: [{ hold: "left" }, {}] }) }], ...more }, { headers: { "x-optimizer-tenant": TENANT }, ...(signal === undefined ? {} : { signal }) });
  const leader = chat(gateway(0), { stream: true }, left.signal).catch(() => "left");
  await models.awaitCalls("left", 1);
  const waits = chat(gateway(1), {});
  await waitUntil(async () => ((await counter(gateway(1), "infer_gateway_waiting_requests")) > 0 ? true : undefined), { deadlineMs: 10_000, describe: () => "nobody waits" });
  left.abort();
  const answer = await waits;
  expect([answer.status, await leader, models.calls("left").length]).toEqual([200, "left", 2]);
  models.release("left");
});

/** Between a gateway and NATS, until it is cut. */
async function startWire(target: string): Promise<{ readonly url: string; readonly cut: () => void; readonly close: () => Promise<void> }> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer((socket) => {
    const upstream = connect(Number(port), hostname);
    for (const one of [socket, upstream]) sockets.add(one.on("error", () => { one.destroy(); }));
    socket.on("data", (data) => { if (!isCut) upstream.write(data); });
    upstream.on("data", (data) => { socket.write(data); });
  });
  await new Promise<void>((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  return {
    url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: () => { isCut = true; },
    close: () => new Promise((resolve) => {
      for (const socket of sockets) socket.destroy();
      server.close(() => { resolve(); });
    }),
  };
}
