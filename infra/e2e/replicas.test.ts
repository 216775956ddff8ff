/** A tier of two servers, of which one refuses its key: what callers, the audit and the metrics say. */
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";

import { type Audit, body, getText, openAudit, postJson, recordOf } from "./callers.ts";
import { answerOf, type ModelServer, prompt, startModelServer } from "./modelServer.ts";
import { startSystem, type System } from "./system.ts";

const KEY = "key-7c1d";
let system: System;
let models: ModelServer;
let audit: Audit;
let dropDatabase: () => Promise<void>;

beforeAll(async () => {
  models = await startModelServer();
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_replicas");
  dropDatabase = database.drop;
  const env = { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/7`, E2E_MODEL_KEY: KEY };
  const tiers = [{ name: "twins", replicas: ["good", "bad"], keyVariable: "E2E_MODEL_KEY", max_tries: 2, breaker: { failures_in_a_row: 1, open_for_ms: 60_000 } }];
  system = await startSystem({ env, tiers: { serverUrl: models.url, tiers } });
  audit = openAudit(database.url);
});
afterAll(async () => {
  await audit.close();
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
});

test("every request is answered by the good one, which the audit names, and the other is left out", async () => {
  const names = Array.from({ length: 40 }, (_, i) => `twins-${i}`);
  for (const name of names) {
    const reply = recordOf(await postJson(`${system.url("gateway")}/infer`, body(name, prompt(name, { bad: { status: 401 } }))));
    expect(reply).toMatchObject({ outcome: "completed", tier: "twins", model: "good-2026", output: answerOf(name, "good"), attempts: [{ replica: "good", outcome: "answered" }] });
  }
  await audit.awaitRow("twins-0");
  expect(recordOf(await getText(`${system.url("gateway")}/requests/twins-0`)).attempts).toMatchObject([{ replica: "good" }]);
  expect(names.flatMap((name) => models.calls(name, "bad"))).toMatchObject([{ authorization: `Bearer ${KEY}` }]);
  const { text } = await getText(`${system.url("worker-twins")}/metrics`);
  for (const [metric, replica, value] of [["requests_total", "good", 40], ["requests_total", "bad", 1], ["ejections_total", "bad", 1], ["outstanding", "good", 0]] as const) {
    expect(text).toMatch(new RegExp(`^infer_replica_${metric}\\{tier="twins",replica="${replica}",.*\\} ${value}$`, "m"));
  }
  expect(text).toMatch(/^infer_breaker_state\{tier="twins",state="closed",.*\} 1$/m);
});
