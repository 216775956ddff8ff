/** A batch whose client and whose gateway are killed: every line has one result, and no line ran twice. */
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import { startWebhookReceiver, type WebhookReceiver } from "#infra/testWebhookReceiver.ts";
import { BatchFinished } from "#shared/contracts/webhook.ts";

import { type CountingServer, runKilledBatch, startCountingServer } from "./killedBatch.ts";
import { startSystem, type System } from "./system.ts";

const LINES = 1_500;
let system: System;
let models: CountingServer;
let receiver: WebhookReceiver;
let dropDatabase: () => Promise<void>;
beforeAll(async () => {
  models = await startCountingServer(20);
  receiver = await startWebhookReceiver();
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_batches");
  dropDatabase = database.drop;
  system = await startSystem({ env: { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/6` }, tiers: { serverUrl: models.url, tiers: [{ name: "alpha", slots: 16, batch_slots: 8 }] } });
});
afterAll(async () => {
  await system.remove();
  await Promise.all([dropDatabase(), models.close(), receiver.close()]);
});

test("goes on after both were killed, with one result for each line, one call for each result, and one event of its end", async () => {
  await system.inferctl("tenants", "create", "bulk");
  await system.inferctl("webhooks", "add", receiver.url("/hook"), "--tenant", "bulk");
  const { summary, ...found } = await runKilledBatch(system, models, { lines: LINES, interactive: 0, onNote: () => undefined });
  expect(found).toMatchObject({ results: LINES, distinct: LINES, askedTwice: 0, neverAsked: 0 });
  expect(summary).toMatchObject({ status: "completed", lines: LINES, ended: { completed: LINES, degraded: 0, failed: 0, rejected: 0 } });
  const [told] = await receiver.until("/hook", 1);
  expect(BatchFinished.parse(JSON.parse(told?.body ?? "")).data).toEqual(summary);
  const written = await system.inferctl("webhooks", "deliveries", "--tenant", "bulk", "--json");
  expect((JSON.parse(written) as { deliveries: { type: string }[] }).deliveries.map(({ type }) => type)).toEqual(["batch.finished"]);
}, 240_000);
