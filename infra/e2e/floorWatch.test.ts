/** The quality floor in a whole system: answers that stop agreeing with the baseline's make routing careful, and then the baseline answers alone. Feedback counts, too. */
import { join } from "node:path";

import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { dispatch } from "#infra/cli/dispatch.ts";
import { PLAIN_SCREEN } from "#infra/cli/screen.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { toModelFile } from "#router/evaluation/modelFile.ts";
import type { OutcomeRow } from "#router/evaluation/outcomeLog.ts";
import { train } from "#router/evaluation/trainModel.ts";
import { queryFeatures } from "#router/policy/queryFeatures.ts";
import { openModelStore } from "#shared/messaging/modelStore.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { body, type Broker, connectBroker, getText, postJson, recordOf, untilSampling } from "./callers.ts";
import { type ModelServer, prompt, type Script, startModelServer } from "./modelServer.ts";
import { startSystem, type System } from "./system.ts";

/** `beta` is the baseline. */
const TIERS = [{ name: "alpha", usd_per_million: 1 }, { name: "beta", usd_per_million: 100 }];
const SAME: Script = { alpha: { answer: "yes" }, beta: { answer: "yes" } };
const DRIFTED: Script = { alpha: { answer: "no" }, beta: { answer: "yes" } };
const WAIT_MS = 20_000;

/** Of rows on which alpha is nearly always right, and says so: its answers are kept at every level of the model. */
function trainedModel() {
  const random = seededRandom(5);
  const rows = Array.from({ length: 300 }, (_, i): OutcomeRow => {
    const isRight = random() < 0.98;
    const query = prompt(`row-${i}`, SAME);
    const tier = (quality: number, confidence: number, cost_usd: number) => ({ quality, confidence, cost_usd, verify_cost_usd: 0, latency_ms: 10, answer: quality === 1 ? "yes" : "no" });
    return { id: String(i), dataset: "d", query, features: queryFeatures(query), tiers: [tier(isRight ? 1 : 0, isRight ? 0.99 : 0.9, 0.001), tier(1, 1, 0.1)] };
  });
  const setting = { tiers: ["alpha", "beta"], baseline: 1, target: 0.9, risk: 0.05, latencySloMs: null, paysVerification: false, hasConfidences: true, labels: "qualities" as const, random };
  return toModelFile(train(setting, rows, ["cascade-routing"]), { sources: [{ name: "made-up", rows: rows.length, sha256: "0" }], names: new Map(), createdAt: new Date() });
}
const MODEL = trainedModel();

let system: System;
let models: ModelServer;
let broker: Broker;
let dropDatabase: () => Promise<void>;
let asked = 0;

beforeAll(async () => {
  models = await startModelServer();
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_floor");
  dropDatabase = database.drop;
  const env = { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/6`, INFER_SHADOW_SHARE: "1", INFER_EXPLORE_SHARE: "0" };
  system = await startSystem({ env, tiers: { serverUrl: models.url, tiers: TIERS } });
  broker = await connectBroker(system.url("nats"));
  await untilSampling(broker);
  const store = await openModelStore(broker.nats, "infer");
  await store.put(MODEL);
  await store.activate(MODEL.version);
  await waitUntil(async () => ((await scrape()).includes(MODEL.version) ? true : undefined), { deadlineMs: WAIT_MS, describe: () => "the router does not use the model" });
});
afterAll(async () => {
  await broker.close();
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
});

const scrape = async () => (await getText(`${system.url("router")}/metrics`)).text;
/** Waits for the router's gauges to be so; a name may go on with the first label. */
async function awaitFloor(wanted: Record<string, string>): Promise<void> {
  let seen: object = {};
  const isSo = async () => {
    const lines = (await scrape()).split("\n");
    seen = Object.fromEntries(Object.keys(wanted).map((name) => [name, lines.find((line) => line.startsWith(`infer_floor_${name}`))?.split(" ").at(-1)]));
    return JSON.stringify(seen) === JSON.stringify(wanted) ? true : undefined;
  };
  await waitUntil(isSo, { deadlineMs: WAIT_MS, describe: () => `the floor is ${JSON.stringify(seen)}` });
}
async function ask(script: Script, count: number) {
  const records = [];
  for (let i = 0; i < count; i++) {
    const name = `q-${++asked}`;
    records.push(recordOf(await postJson(`${system.url("gateway")}/infer`, body(name, prompt(name, script), { policy: "cascade-routing" }))));
  }
  await broker.idle(WAIT_MS); // each shadow is run and counted
  return records;
}
const tiersOf = (records: readonly { tier: string | null }[]) => [...new Set(records.map(({ tier }) => tier))];
async function inferctl(...args: string[]): Promise<string> {
  const printed: string[] = [];
  const unused = () => Promise.reject(new Error("not used"));
  const environment = { INFER_HOME: join(system.folder, "home"), NATS_URL: system.url("nats"), INFER_TIERS_FILE: join(system.folder, "tiers.json") };
  const code = await dispatch(args, { environment, screen: PLAIN_SCREEN, print: (line) => void printed.push(line), progress: { note: () => undefined, step: (_title, run) => run() }, prepare: { topology: unused, migrations: unused, localModels: unused } }, (line) => void printed.push(line));
  expect([code, printed.join("\n")]).toEqual([0, expect.any(String)]);
  return printed.join("\n");
}

test("while the answers agree, the floor is held and the cheap tier answers", async () => {
  expect(tiersOf(await ask(SAME, 30))).toEqual(["alpha"]);
  await awaitFloor({ in_doubt: "0", steps_tightened: "0", 'margins{source="shadow"': "30" });
  expect(await inferctl("models", "show")).toMatch(/\nfloor: held; 30 shadow labels: agreement at least \d\.\d{3} so far, tested against \d\.\d{3}, evidence against it \d\.\d\d of 40 needed; 0 feedback labels: score tested against \d\.\d{3}$/);
});

test("when they stop agreeing, routing becomes more careful, and then the baseline answers alone", async () => {
  expect(tiersOf(await ask(DRIFTED, 15))).toContain("alpha");
  await awaitFloor({ in_doubt: "0", steps_tightened: "1" });
  expect(tiersOf(await ask(DRIFTED, 15))).toContain("alpha");
  await awaitFloor({ in_doubt: "1", steps_tightened: "+Inf" });

  expect(tiersOf(await ask(DRIFTED, 3))).toEqual(["beta"]);
  const { policy, decisions } = await broker.completion("tenant-1", `q-${asked}`);
  expect(policy).toBe("cascade-routing");
  expect(decisions).toMatchObject([{ step: { kind: "run", tier: "beta", acceptance: { min_confidence: 0 } }, learned: { model_version: MODEL.version, floor_steps: "all", lambda_per_usd: null } }]);
  expect(models.calls(`q-${asked}`).map(({ model }) => model)).toEqual(["beta"]);
  expect(JSON.parse(await inferctl("models", "show", "--json"))).toMatchObject({ model: { version: MODEL.version }, floor: { steps: "all" } });
  expect(system.logs().get("router.log")).toContain("the quality floor is in doubt");
});

test("a router that starts anew goes on where the guard stands", async () => {
  await system.signal("router", "SIGKILL");
  await system.up();
  await awaitFloor({ in_doubt: "1", steps_tightened: "+Inf" });
  expect(tiersOf(await ask(SAME, 1))).toEqual(["beta"]);
});

test("activating the model again begins anew", async () => {
  await inferctl("models", "activate", MODEL.version);
  await awaitFloor({ in_doubt: "0", steps_tightened: "0" });
  expect(tiersOf(await ask(SAME, 3))).toEqual(["alpha"]);
  await awaitFloor({ in_doubt: "0", 'margins{source="shadow"': "3" });
});

test("what a judge says of kept answers counts", async () => {
  for (const { request_id } of await ask(SAME, 2)) await postJson(`${system.url("gateway")}/requests/${request_id}/feedback`, { score: 1, source: "judge" });
  await awaitFloor({ in_doubt: "0", 'margins{source="feedback"': "2" });
});
