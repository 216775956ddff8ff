/** `inferctl up --single-process`: the same roles in one process, for laptops. */
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import { connectInferClient } from "#producers/client/inferClient.ts";

import { type Audit, body, type HttpAnswer, openAudit, postJson, recordOf } from "./callers.ts";
import { startSystem, type System } from "./system.ts";

let system: System;
let audit: Audit;
let dropDatabase: () => Promise<void>;
let first: HttpAnswer;

beforeAll(async () => {
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_single");
  dropDatabase = database.drop;
  system = await startSystem({ isSingleProcess: true, env: { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/2` } });
  audit = openAudit(database.url);
});
afterAll(async () => {
  await audit.close();
  await system.remove();
  await dropDatabase();
});

test("one process answers the quick start's call through both doors, with its audit row", async () => {
  first = await postJson(`${system.url("gateway")}/infer`, { request_id: "test-1", user_id: "user-1", tenant_id: "tenant-1", input: "test", budget: 5.0 });
  expect(first.status).toBe(200);
  expect(recordOf(first).attempts.map(({ tier }) => tier)).toEqual(["small", "medium", "large"]);
  const client = await connectInferClient({ url: system.url("nats") });
  expect((await client.infer(body("over-nats", "test")).finally(() => client.close())).outcome).toBe("completed");
  await audit.awaitRow("test-1");
  await audit.awaitRow("over-nats");
  expect([...system.logs().keys()].sort()).toEqual(["all-in-one.log", "nats.log"]);
});

test("it ends by itself at SIGTERM while NATS is away, and what was answered is still there after the next up", async () => {
  await system.signal("nats", "SIGKILL");
  await system.signal("all-in-one", "SIGTERM");
  expect(system.logs().get("all-in-one.log")).not.toContain("not finished within the grace period");
  await system.up();
  const again = await postJson(`${system.url("gateway")}/infer`, { request_id: "test-1", user_id: "user-1", tenant_id: "tenant-1", input: "test", budget: 5.0 });
  expect([again.status, recordOf(again)]).toEqual([200, recordOf(first)]);
});

test("down ends it", async () => {
  await system.down();
  expect(system.processes()).toEqual([]);
});
