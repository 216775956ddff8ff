/** Shadow labels in a whole system: the baseline tier is asked afterwards, apart from the request, and never in its way. */
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import type { InferBody } from "#shared/contracts/request.ts";

import { type Audit, body, type Broker, connectBroker, counter, openAudit, postJson, recordOf, untilSampling } from "./callers.ts";
import { answerOf, type ModelServer, prompt, type Script, startModelServer } from "./modelServer.ts";
import { startSystem, type System } from "./system.ts";

/** `beta` is the baseline, and has one slot for requests. */
const TIERS = [{ name: "alpha", usd_per_million: 1 }, { name: "beta", slots: 1, usd_per_million: 100 }];
/** 60 tokens in and 10 out, see the model server. */
const COST = { alpha: 70_000, beta: 7_000_000 };
/** Two of three words are the same. */
const AGREEMENT = 2 / 3;

interface ShadowRow { readonly agreement: number | null; readonly kept_tier: string; readonly reference_tier: string; readonly outcome: string | null; readonly cost_nano_usd: number; readonly error_code: string | null }
let system: System;
let models: ModelServer;
let broker: Broker;
let audit: Audit;
let dropDatabase: () => Promise<void>;

beforeAll(async () => {
  models = await startModelServer();
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_shadows");
  dropDatabase = database.drop;
  const env = { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/5`, INFER_SHADOW_SHARE: "1" };
  system = await startSystem({ env, tiers: { serverUrl: models.url, tiers: TIERS } });
  broker = await connectBroker(system.url("nats"));
  audit = openAudit(database.url);
  await untilSampling(broker);
});
afterAll(async () => {
  await Promise.all([broker.close(), audit.close()]);
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
});

const ask = (name: string, script: Script = {}, more: Partial<InferBody> = {}) => postJson(`${system.url("gateway")}/infer`, body(name, prompt(name, script), more));
const rowsOf = (name: string) => audit.rows<ShadowRow>("SELECT agreement, kept_tier, reference_tier, outcome, cost_nano_usd::int, error_code FROM shadows WHERE request_id = $1", name);
const awaitRow = (name: string) => waitUntil(async () => (await rowsOf(name))[0], { deadlineMs: 20_000, describe: () => `no shadow of ${name}` });

test("a cheap answer is compared with the baseline's, once, with a cost line of its own", async () => {
  const reply = recordOf(await ask("cheap"));
  expect(reply).toMatchObject({ tier: "alpha", output: answerOf("cheap", "alpha"), cost_usd: COST.alpha / 1e9 });
  expect(await awaitRow("cheap")).toEqual({ agreement: expect.closeTo(AGREEMENT) as number, kept_tier: "alpha", reference_tier: "beta", outcome: "answered", cost_nano_usd: COST.beta, error_code: null });
  await audit.awaitRow("cheap");
  expect(await audit.rows("SELECT cost_nano_usd::int, attempt_count FROM requests WHERE request_id = 'cheap'")).toEqual([{ cost_nano_usd: COST.alpha, attempt_count: 1 }]);
  expect([models.calls("cheap", "alpha").length, models.calls("cheap", "beta").length]).toEqual([1, 1]);
  expect(recordOf(await ask("cheap"))).toEqual(reply); // asked again, nothing runs
  await broker.idle(10_000);
  expect(models.calls("cheap")).toHaveLength(2);
  expect(await counter(system.url("audit-sink"), "infer_shadow_cost_usd_total")).toBeCloseTo(COST.beta / 1e9, 12);
});

test("the baseline's own answer costs no second call", async () => {
  recordOf(await ask("own", { alpha: { confidence: 0.5 } }));
  expect(await awaitRow("own")).toEqual({ agreement: 1, kept_tier: "beta", reference_tier: "beta", outcome: null, cost_nano_usd: 0, error_code: null });
  expect(models.calls("own", "beta")).toHaveLength(1);
});

test("a shadow that hangs takes no slot from requests, of any tier", async () => {
  recordOf(await ask("hangs", { beta: { hold: "shadow" } }));
  await models.awaitCalls("hangs", 2);
  const answers = await Promise.all(["alpha", "beta"].map((tier) => ask(`beside-${tier}`, {}, { min_tier: tier, deadline_ms: 10_000 })));
  expect(answers.map((answer) => recordOf(answer).tier)).toEqual(["alpha", "beta"]);
  models.release("shadow");
  expect(await awaitRow("hangs")).toMatchObject({ agreement: expect.closeTo(AGREEMENT) as number });
});

test("a baseline tier that fails leaves a row without an agreement, and the request as it was", async () => {
  expect(recordOf(await ask("fails", { beta: { status: 500 } }))).toMatchObject({ outcome: "completed", tier: "alpha" });
  expect(await awaitRow("fails")).toMatchObject({ agreement: null, outcome: "failed", error_code: "backend_unavailable" });
});

test("streams that are full hold up nothing, and what could not be kept is made up for when there is room", async () => {
  await broker.idle(20_000);
  const kept = new Map<string, number>();
  for (const stream of ["SHADOW_JOBS", "SHADOWS"]) {
    kept.set(stream, (await broker.jsm.streams.info(stream)).config.max_bytes);
    await broker.jsm.streams.update(stream, { max_bytes: 1 });
  }
  const names = Array.from({ length: 24 }, (_, i) => `full-${i}`);
  const answers = await Promise.all(names.map((name, i) => ask(name, {}, { deadline_ms: 10_000, ...(i % 2 === 0 ? {} : { min_tier: "beta" }) })));
  expect(answers.map((answer) => recordOf(answer).tier)).toEqual(names.map((_name, i) => (i % 2 === 0 ? "alpha" : "beta")));
  const refused = () => ["SHADOW_JOBS", "SHADOWS"].every((stream) => system.logs().get("router.log")?.includes(`${stream} is full`));
  await waitUntil(() => Promise.resolve(refused() ? true : undefined), { deadlineMs: 10_000, describe: () => "nothing was refused" });
  expect(await audit.rows("SELECT 1 FROM shadows WHERE request_id LIKE 'full-%'")).toEqual([]);
  for (const [stream, max_bytes] of kept) await broker.jsm.streams.update(stream, { max_bytes });
  for (const name of names) await awaitRow(name);
  expect(names.map((name) => models.calls(name, "beta").length)).toEqual(names.map(() => 1));
});

test("a baseline tier that is away holds up nothing, and what was sampled meanwhile is run, once, when it is back", async () => {
  await broker.idle(20_000);
  await system.signal("worker-beta", "SIGKILL");
  const names = Array.from({ length: 12 }, (_, i) => `away-${i}`);
  const answers = await Promise.all(names.map((name) => ask(name, {}, { deadline_ms: 10_000 })));
  expect(answers.map((answer) => recordOf(answer).tier)).toEqual(names.map(() => "alpha"));
  expect(models.calls("away-0", "beta")).toEqual([]);
  await system.up();
  for (const name of names) expect(await awaitRow(name)).toMatchObject({ outcome: "answered" });
  expect(names.map((name) => models.calls(name, "beta").length)).toEqual(names.map(() => 1));
  expect((await audit.rows("SELECT 1 FROM shadows WHERE request_id LIKE 'away-%'")).length).toBe(names.length);
});

test("a request whose router is killed is sampled all the same, and run once", async () => {
  await broker.idle(20_000);
  await system.signal("router", "SIGSTOP"); // gets its messages and does nothing with them
  const asked = ask("router-dies", {}, { deadline_ms: 60_000 });
  await waitUntil(async () => ((await broker.jsm.consumers.info("REQUESTS", "router-requests")).num_ack_pending > 0 ? true : undefined), { deadlineMs: 10_000, describe: () => "the router never got it" });
  await system.signal("router", "SIGKILL");
  await system.up();
  expect(recordOf(await asked).tier).toBe("alpha");
  expect(await awaitRow("router-dies")).toMatchObject({ outcome: "answered" });
  expect(models.calls("router-dies", "beta")).toHaveLength(1);
});
