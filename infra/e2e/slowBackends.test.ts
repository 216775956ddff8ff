/** What a caller gets when models are slow, broken or gone: deadlines, retries, breakers, truncated answers, the sweeper. */
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { connectInferClient } from "#producers/client/inferClient.ts";
import type { Decision } from "#shared/contracts/decision.ts";
import { toReply } from "#shared/contracts/reply.ts";
import type { InferBody } from "#shared/contracts/request.ts";

import { answerOf, type ModelServer, prompt, type Script, startModelServer } from "./modelServer.ts";
import { type Audit, body, type Broker, connectBroker, errorOf, getText, type HttpAnswer, openAudit, postJson, recordOf } from "./callers.ts";
import { startSystem, type System } from "./system.ts";

/** `fragile` has a breaker that opens soon and is asked only by the tests about it; `patient` tries three times. */
const TIERS = [
  { name: "fragile", breaker: { failures_in_a_row: 2, open_for_ms: 400 }, usd_per_million: 0.5 },
  { name: "alpha", keyVariable: "E2E_MODEL_KEY", usd_per_million: 1 },
  { name: "beta", slots: 64, breaker: { failures_in_a_row: 1_000, open_for_ms: 100 }, usd_per_million: 10 },
  { name: "patient", max_tries: 3, usd_per_million: 100 },
];
const KEY = "key-2b8e";
const UNSURE = { confidence: 0.5 };
/** As short as can be, so that the sweeper competes with workers. It looks every 500 ms, at requests older than 1 s. */
const GRACE_MS = 1;
const SWEEP_MS = 2_000;

let system: System;
let models: ModelServer;
let broker: Broker;
let audit: Audit;
let dropDatabase: () => Promise<void>;

beforeAll(async () => {
  models = await startModelServer();
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_slow");
  dropDatabase = database.drop;
  const env = { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/3`, INFER_SWEEP_GRACE_MS: String(GRACE_MS), E2E_MODEL_KEY: KEY };
  system = await startSystem({ env, tiers: { serverUrl: models.url, tiers: TIERS } });
  broker = await connectBroker(system.url("nats"));
  audit = openAudit(database.url);
});
afterAll(async () => {
  await Promise.all([broker.close(), audit.close()]);
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
});

const ask = (name: string, script: Script, more: Partial<InferBody> = {}, signal?: AbortSignal) =>
  postJson(`${system.url("gateway")}/infer`, body(name, prompt(name, script), { min_tier: "alpha", ...more }), signal === undefined ? {} : { signal });

test("an error of one tier's server is an attempt; the next tier answers", async () => {
  const reply = recordOf(await ask("error-500", { alpha: { status: 500 } }));
  expect(reply).toMatchObject({ outcome: "completed", tier: "beta", output: answerOf("error-500", "beta") });
  expect(reply.attempts.map(({ tier, error }) => [tier, error?.code ?? null])).toEqual([["alpha", "backend_unavailable"], ["beta", null]]);
});

test("a truncated answer is never given as a complete one, however confident", async () => {
  const reply = recordOf(await ask("truncated", { alpha: { finish: "length", confidence: 1 } }));
  expect(reply).toMatchObject({ outcome: "completed", tier: "beta" });
  expect(reply.attempts[0]).toMatchObject({ outcome: "answered", is_sound: false });
  const nothing = await ask("truncated-all", { alpha: { finish: "length" }, beta: { finish: "length" } }, { max_tier: "beta" });
  expect([nothing.status, errorOf(nothing).code, recordOf(nothing).output]).toEqual([502, "no_sound_answer", null]);
  expect(recordOf(nothing).cost_usd).toBeGreaterThan(0);
});

test("garbage from a server is a failed attempt, and nothing of it reaches caller or log", async () => {
  const garbage = "<html>secret-of-the-server</html>";
  const answer = await ask("garbage", { alpha: { garbage }, beta: { garbage } }, { max_tier: "beta" });
  expect([answer.status, errorOf(answer).code]).toEqual([502, "backend_bad_response"]);
  for (const text of [answer.text, ...system.logs().values()]) expect(text).not.toContain("secret-of-the-server");
});

test("retries stay within one attempt and are counted", async () => {
  const reply = recordOf(await ask("retries", { patient: [{ status: 503 }, { status: 429 }, {}] }, { min_tier: "patient" }));
  expect(reply.attempts.map(({ tier, tries, outcome }) => [tier, tries, outcome])).toEqual([["patient", 3, "answered"]]);
  expect(models.calls("retries")).toHaveLength(3);
});

test("the caller's trace reaches the model's server; the key reaches it too, and no log", async () => {
  const { trace_id } = recordOf(await ask("with-key", {}));
  const [call] = models.calls("with-key");
  expect(call).toMatchObject({ model: "alpha", authorization: `Bearer ${KEY}`, traceparent: expect.stringContaining(trace_id) as string });
  expect([...system.logs()].filter(([, text]) => text.includes(KEY)).map(([file]) => file)).toEqual([]);
});

test("at the deadline the best answer so far is given", async () => {
  const startedAt = performance.now();
  const reply = recordOf(await ask("deadline-best", { alpha: UNSURE, beta: { hold: "never" } }, { deadline_ms: 1_200 }));
  expect(reply).toMatchObject({ outcome: "degraded", degraded_reason: "deadline", tier: "alpha", output: answerOf("deadline-best", "alpha") });
  expect(reply.attempts.map(({ tier, error }) => [tier, error?.code ?? null])).toEqual([["alpha", null], ["beta", "deadline_exceeded"]]);
  expect(performance.now() - startedAt).toBeLessThan(1_200 + GRACE_MS + SWEEP_MS);
});

test("without an answer by its deadline a request fails as a 504, and the call is cut off", async () => {
  const answer = await ask("deadline-none", { alpha: { hold: "never" } }, { deadline_ms: 800, max_tier: "alpha" });
  expect([answer.status, errorOf(answer).code, recordOf(answer).outcome]).toEqual([504, "deadline_exceeded", "failed"]);
  expect(recordOf(answer).latency_ms).toBeLessThan(800 + GRACE_MS + SWEEP_MS);
  await audit.awaitRow("deadline-none");
});

test("a caller that went away finds its answer", async () => {
  const leaving = new AbortController();
  const gone = ask("goes-away", { alpha: { hold: "goes-away" } }, {}, leaving.signal).then(() => "answered", () => "aborted");
  await models.awaitCalls("goes-away", 1);
  leaving.abort();
  expect(await gone).toBe("aborted");
  const address = `${system.url("gateway")}/requests/goes-away`;
  expect((await getText(address)).status).toBe(202);
  models.release("goes-away");
  const found = await waitUntil(async () => [await getText(address)].find(({ status }) => status === 200), { deadlineMs: 10_000, describe: () => "no answer" });
  expect(recordOf(found).output).toBe(answerOf("goes-away", "alpha"));
  expect(models.calls("goes-away")).toHaveLength(1);
});

test("a NATS publisher that repeats a request which came by HTTP has its answer as soon as it is there", async () => {
  const client = await connectInferClient({ url: system.url("nats") });
  const repeats = broker.nats.subscribe("infer.request.tenant-1.joined"); // also hears what the stream refuses
  const script = { alpha: { hold: "joined" } };
  const first = ask("joined", script);
  await models.awaitCalls("joined", 1);
  const second = client.infer(body("joined", prompt("joined", script), { min_tier: "alpha" }), { timeoutMs: 20_000 }).finally(() => client.close());
  await waitUntil(() => Promise.resolve(repeats.getReceived() >= 2 ? true : undefined), { deadlineMs: 5_000, describe: () => "the second publish was not sent" });
  expect((await getText(`${system.url("gateway")}/requests/joined`)).status).toBe(202);
  models.release("joined");
  const releasedAt = performance.now();
  expect(await second).toEqual(recordOf(await first));
  expect(performance.now() - releasedAt).toBeLessThan(5_000);
  expect(models.calls("joined")).toHaveLength(1);
});

test("a tier that fails opens its breaker, the router goes round it, and it is used again once it works", async () => {
  const explain = async () => (JSON.parse((await postJson(`${system.url("router")}/decide`, body("explain", "any"))).text) as { decision: Decision }).decision.step;
  const failing = await Promise.all([1, 2].map((i) => ask(`breaks-${i}`, { fragile: { status: 500 } }, { min_tier: "fragile" })));
  expect(failing.map((answer) => recordOf(answer).tier)).toEqual(["alpha", "alpha"]);
  const around = await waitUntil(async () => [await explain()].find(({ excluded }) => excluded["fragile"] === "breaker_open"), { deadlineMs: 5_000, everyMs: 5, describe: () => "the breaker was never seen open" });
  expect(around).toMatchObject({ kind: "run", tier: "alpha" });
  let tries = 0;
  const back = async () => [recordOf(await ask(`back-${++tries}`, {}, { min_tier: "fragile" }))].find(({ tier }) => tier === "fragile");
  expect(await waitUntil(back, { deadlineMs: 10_000, describe: () => "never used again" })).toMatchObject({ outcome: "completed" });
  expect((await explain()).excluded).toEqual({});
});

test("a paused worker's late result changes nothing: what the caller saw is what is stored", async () => {
  const asked = ask("paused", { beta: { hold: "paused" } }, { min_tier: "beta", max_tier: "beta", deadline_ms: 1_500 });
  await models.awaitCalls("paused", 1);
  await system.signal("worker-beta", "SIGSTOP");
  models.release("paused");
  const answer = await asked.finally(() => system.signal("worker-beta", "SIGCONT"));
  expect([answer.status, errorOf(answer).code]).toEqual([504, "deadline_exceeded"]);
  await broker.idle(20_000);
  expect(system.logs().get("router.log")).toContain("closed by the sweeper");
  const stored = await broker.completion("tenant-1", "paused");
  expect(recordOf(await getText(`${system.url("gateway")}/requests/paused`))).toEqual(recordOf(answer));
  expect([stored.outcome, stored.attempts.length, await audit.count("requests", "paused"), await audit.count("attempts", "paused")]).toEqual(["failed", 0, 1, 0]);
  expect((await ask("paused", { beta: { hold: "paused" } }, { min_tier: "beta", max_tier: "beta", deadline_ms: 1_500 })).text).toBe(answer.text);
});

test("answers that come at the very deadline, when the sweeper comes too, have one outcome each", async () => {
  const hasty = Array.from({ length: 50 }, (_, i) => ({ name: `hasty-${i}`, deadlineMs: 1_000 + 12 * i }));
  const answers = await Promise.all(hasty.map(({ name, deadlineMs }) => ask(name, { beta: { delay_ms: deadlineMs - 25 } }, { min_tier: "beta", max_tier: "beta", deadline_ms: deadlineMs })));
  await broker.idle(20_000);
  for (const [i, { name }] of hasty.entries()) {
    const seen = recordOf(answers[i] as HttpAnswer);
    expect(seen).toEqual(JSON.parse(JSON.stringify(toReply(await broker.completion("tenant-1", name)))));
    await audit.awaitRow(name);
    expect([name, await audit.count("requests", name), await audit.count("attempts", name)]).toEqual([name, 1, seen.attempts.length]);
  }
});
