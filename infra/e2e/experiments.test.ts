/** An experiment in a whole system: requests that name no policy are given to its arms, and a canary whose answers are wrong is rolled back by itself. */
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import type { InferReply } from "#shared/contracts/reply.ts";

import { type Audit, body, counter, openAudit, postJson, recordOf } from "./callers.ts";
import { type ModelServer, prompt, startModelServer } from "./modelServer.ts";
import { startSystem, type System } from "./system.ts";

const TIERS = [{ name: "alpha", usd_per_million: 1 }, { name: "beta", usd_per_million: 100 }];
/** In half as many requests of the canary even the unluckiest draw has enough. */
const MOST_REQUESTS = 120;
const WAIT_MS = 20_000;
const HOLDER = { experiment_id: "alpha-alone", share: 0.5 };

let system: System;
let models: ModelServer;
let audit: Audit;
let dropDatabase: () => Promise<void>;
let asked = 0;

beforeAll(async () => {
  models = await startModelServer();
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_experiments");
  dropDatabase = database.drop;
  system = await startSystem({ isSingleProcess: true, env: { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/2` }, tiers: { serverUrl: models.url, tiers: TIERS } });
  audit = openAudit(database.url);
});
afterAll(async () => {
  await audit.close();
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
});

async function ask(more: Parameters<typeof body>[2] = {}): Promise<InferReply> {
  const name = `q-${++asked}`;
  return recordOf(await postJson(`${system.url("gateway")}/infer`, body(name, prompt(name, { alpha: { answer: "no", confidence: 0.99 }, beta: { answer: "yes", confidence: 0.99 } }), more)));
}

test("requests without a policy of their own go to its arms, and a canary whose answers are wrong is rolled back", async () => {
  await system.inferctl("experiment", "start", "--name", HOLDER.experiment_id, "--control", "always-beta", "--canary", "always-alpha", "--share", "50%");
  await waitUntil(async () => ((await ask()).decision.experiment === undefined ? undefined : true), { deadlineMs: WAIT_MS, describe: () => "no request is given to an arm" });
  expect((await ask({ policy: "always-beta" })).decision.experiment).toBeUndefined();

  const seen = new Set<string>();
  const statusOf = async () => JSON.parse(await system.inferctl("experiment", "status", "--json")) as { experiment: { status: string }; arms: { labelled: number }[]; verdict: string };
  let labels = 0, isOver = false;
  while (!isOver && labels < MOST_REQUESTS) {
    const { request_id, decision: { experiment, policy }, tier } = await ask();
    if (experiment === undefined) break; // the router has seen the end before us
    seen.add(`${experiment.arm} ${policy} ${tier}`);
    expect(experiment).toMatchObject(HOLDER);
    await postJson(`${system.url("gateway")}/requests/${request_id}/feedback`, { score: experiment.arm === "canary" ? 0 : 1, source: "judge" });
    labels++;
    if (labels % 20 === 0) isOver = (await statusOf()).experiment.status !== "running";
  }
  expect([...seen].sort()).toEqual(["canary always-alpha alpha", "control always-beta beta"]);
  await waitUntil(async () => ((await statusOf()).experiment.status === "rolled_back" ? true : undefined), { deadlineMs: WAIT_MS, describe: () => `it was not rolled back within ${labels} labels` });
  expect((await statusOf()).verdict).toMatch(/^It was rolled back at .*: canary loses more than 2 points of quality against control/);

  await waitUntil(async () => ((await ask()).decision.experiment === undefined ? true : undefined), { deadlineMs: WAIT_MS, describe: () => "requests still go to its arms" });
  expect(await ask()).toMatchObject({ decision: { policy: "cascade" } });
  expect(await counter(system.url("router"), "infer_experiment_rollbacks_total")).toBe(1);
  const rows = () => audit.rows<{ arm: string; count: number }>("SELECT experiment ->> 'arm' AS arm, count(*)::int AS count FROM requests WHERE experiment ->> 'experiment_id' = $1 GROUP BY 1 ORDER BY 1", HOLDER.experiment_id);
  await waitUntil(async () => ((await rows()).reduce((sum, { count }) => sum + count, 0) > labels ? true : undefined), { deadlineMs: WAIT_MS, describe: () => "the audit has not all of its requests" });
});
