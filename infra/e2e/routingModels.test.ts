/** A routing model in a whole system: from outcomes to a decision, taken away again, and never lost to a broken one. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { Kvm } from "@nats-io/kv";
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import type { Decision } from "#shared/contracts/decision.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { modelVersion } from "#shared/runtime/readModel.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { type Audit, body, type Broker, connectBroker, counter, getText, openAudit, postJson, recordOf } from "./callers.ts";
import { startSystem, type System } from "./system.ts";

/** Routers look every second. */
const PATIENCE = { timeout: 10_000, interval: 100 };
const ROWS = 300;
let system: System;
let broker: Broker;
let audit: Audit;
let dropDatabase: () => Promise<void>;
let model: RoutingModelFile;

beforeAll(async () => {
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_routing_models");
  dropDatabase = database.drop;
  system = await startSystem({ env: { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/6` } });
  broker = await connectBroker(system.url("nats"));
  audit = openAudit(database.url);
});
afterAll(async () => {
  await Promise.all([broker.close(), audit.close()]);
  await system.remove();
  await dropDatabase();
});

/** `small` is right in six of ten and knows it, `medium` more often, `large` always. */
function outcomes(): string {
  const random = seededRandom(3);
  const outcome = (isRight: boolean, confidence: number, cost_usd: number) => ({ correct: isRight ? 1 : 0, confidence, cost_usd, latency_ms: 10 });
  return Array.from({ length: ROWS }, (_, i) => {
    const isEasy = random() < 0.6;
    const tiers = { small: outcome(isEasy, isEasy ? 0.95 : 0.6, 0.001), medium: outcome(isEasy || random() < 0.8, 0.7, 0.005), large: outcome(true, 1, 0.03) };
    return JSON.stringify({ id: String(i), dataset: "mail", query: `Subject: mail ${i}`, tiers });
  }).join("\n");
}
const decided = async () => (JSON.parse((await postJson(`${system.url("router")}/decide`, body("explain", "test"))).text) as { decision: Decision }).decision.learned?.model_version;
/** Versions in the router's metrics. */
const shown = async () => (await getText(`${system.url("router")}/metrics`)).text.split("\n").flatMap((line) => /^infer_routing_model_info\{version="([^"]+)".*\} 1$/.exec(line)?.[1] ?? []);
/** Of a request that is made now, as its audit row says: one version for each decision. */
async function audited(name: string): Promise<(string | undefined)[]> {
  expect(recordOf(await postJson(`${system.url("gateway")}/infer`, body(name, "test"))).outcome).toBe("completed");
  await audit.awaitRow(name);
  const [row] = await audit.rows<{ decisions: Decision[] }>("SELECT decisions FROM requests WHERE request_id = $1", name);
  return [...new Set(row?.decisions.map(({ learned }) => learned?.model_version))];
}
const usesModel = async (version: string | undefined, name: string) => {
  await expect.poll(decided, PATIENCE).toBe(version);
  expect(await shown()).toEqual(version === undefined ? [] : [version]);
  expect(await audited(name)).toEqual([version]);
};

test("what is trained from outcomes, imported and activated decides within seconds, and audit rows name it", async () => {
  await usesModel(undefined, "before");
  const [log, file] = [join(system.folder, "outcomes.jsonl"), join(system.folder, "model.json")];
  writeFileSync(log, outcomes());
  const printed = await system.inferctl("train", "--train", log, "--tiers", "small,medium,large", "--out", file, "--json");
  model = JSON.parse(printed.split("\n").find((line) => line.startsWith("{")) ?? "") as RoutingModelFile;
  expect(model.operating.cascade_routing_level).not.toBeNull();
  await system.inferctl("models", "import", file);
  await system.inferctl("models", "activate", model.version);
  await usesModel(model.version, "with-model");
});

test("a deactivated model decides nothing more, and a rollback brings it back", async () => {
  await system.inferctl("models", "deactivate");
  await usesModel(undefined, "deactivated");
  await system.inferctl("models", "rollback");
  await usesModel(model.version, "rolled-back");
});

test("a broken model is not activated; a router that is told to use it says so and keeps the one before it", async () => {
  const misfit = { ...model, levels: model.levels.map(({ lambda_per_usd, states }) => ({ lambda_per_usd, states: { "": states[""] } })) } as RoutingModelFile;
  const version = modelVersion(misfit);
  const bucket = await new Kvm(broker.nats).open("infer-models");
  await bucket.put(`model.${version}`, JSON.stringify({ ...misfit, version }));
  await expect(system.inferctl("models", "activate", version)).rejects.toThrow(/cannot be read: .*leads to the state 0, which is not there[^]*Next: /);
  await usesModel(model.version, "not-activated");
  await bucket.put("active", JSON.stringify({ version, previous: [model.version], activated_at: new Date().toISOString() }));
  await expect.poll(() => counter(system.url("router"), "infer_routing_model_problems_total"), PATIENCE).toBe(1);
  await usesModel(model.version, "forced");
  await system.inferctl("models", "rollback");
});
