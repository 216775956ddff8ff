/** The whole loop as a user turns it: requests, labels by every tier, a model of them, and decisions that name it. */
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import type { InferBody } from "#shared/contracts/request.ts";
import { heldOutMails } from "#workers/backends/local/mails.ts";

import { tallyOf, verifyStream } from "./verifyStream.ts";
import { type Audit, body, type Broker, connectBroker, openAudit, postJson, recordOf, untilSampling } from "./callers.ts";
import { startSystem, type System } from "./system.ts";

const MAILS = 120;
let system: System;
let broker: Broker;
let audit: Audit;
let dropDatabase: () => Promise<void>;

beforeAll(async () => {
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_learning");
  dropDatabase = database.drop;
  system = await startSystem({ isSingleProcess: true, env: { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/6`, INFER_SHADOW_SHARE: "1", INFER_SHADOW_TIERS: "all" } });
  broker = await connectBroker(system.url("nats"));
  audit = openAudit(database.url);
  await untilSampling(broker);
});
afterAll(async () => {
  await Promise.all([broker.close(), audit.close()]);
  await system.remove();
  await dropDatabase();
});

const ask = async (id: string, input: string) => recordOf(await postJson(`${system.url("gateway")}/infer`, body(id, input, { deadline_ms: 20_000 })));

test("what the running system has seen of itself becomes a model that decides", async () => {
  const mails = await heldOutMails(MAILS);
  const replies = await Promise.all(mails.map(({ id, input }) => ask(id, input)));
  expect(new Set(replies.map(({ outcome }) => outcome))).toEqual(new Set(["completed"]));
  await postJson(`${system.url("gateway")}/requests/${mails[0]?.id ?? ""}/feedback?tenant_id=tenant-1`, { score: 1, source: "user" });

  const complete = () => audit.rows("SELECT 1 FROM shadows WHERE jsonb_array_length(tiers) + (SELECT count(*) FROM shadow_tiers AS asked WHERE asked.request_id = shadows.request_id) = 3 AND query IS NOT NULL");
  await waitUntil(async () => ((await complete()).length === MAILS ? true : undefined), { deadlineMs: 60_000, everyMs: 200, describe: () => "not every request has labels of all tiers" });
  await waitUntil(async () => ((await audit.rows("SELECT 1 FROM feedback")).length === 1 ? true : undefined), { deadlineMs: 10_000, describe: () => "no feedback" });
  const printed = await system.inferctl("train", "--from-audit", "--publish");
  expect(printed).toContain(`${MAILS} of ${MAILS} sampled requests have answers of all of small, medium, large; 1 of these have feedback`);
  const version = /model (\d{8}-[0-9a-f]{8}) is active/.exec(printed)?.[1];
  expect(version).toBeDefined();

  let n = 0;
  const decidedBy = async () => {
    const id = `after-${++n}`;
    await ask(id, "Subject: You have won! Click here to claim your prize");
    await audit.awaitRow(id);
    return (await audit.rows<{ version: string | null }>("SELECT decisions->0->'learned'->>'model_version' AS version FROM requests WHERE request_id = $1", id))[0]?.version ?? undefined;
  };
  expect(await waitUntil(decidedBy, { deadlineMs: 20_000, everyMs: 200, describe: () => "no decision names a model" })).toBe(version);
});

test("every decision that was made comes out the same again: with and without a model, escalated, refused for want of money", async () => {
  const wishes: Partial<InferBody>[] = [
    {}, { min_quality: 1 }, { policy: "cascade", min_quality: 1 }, { policy: "predictive" }, { policy: "static" }, { policy: "cheapest" }, { policy: "always-large" }, { min_tier: "medium" }, { max_tier: "small", min_quality: 1 },
    { budget: 0 }, { budget: 0.000_000_3 }, { latency_slo_ms: 1 }, { latency_slo_ms: 5_000 }, { deadline_ms: 50 }, { priority: "batch" }, { task: "mail" },
  ];
  const asked = (await heldOutMails(6)).flatMap(({ input }, mail) => wishes.map((wish, i) => ({ id: `wish-${mail}-${i}`, input, wish })));
  await Promise.all(asked.map(({ id, input, wish }) => postJson(`${system.url("gateway")}/infer`, body(id, input, { deadline_ms: 20_000, ...wish }))));
  const verified = await verifyStream(broker);
  expect(verified.filter(({ verdict }) => verdict.kind === "differs").map(({ completion: { request_id }, verdict }) => [request_id, verdict])).toEqual([]);
  const { same = 0, nothing_decided = 0, ...others } = tallyOf(verified);
  expect([others, same + nothing_decided]).toEqual([{}, verified.length]);
  expect(same).toBeGreaterThan(MAILS + asked.length / 2); // a busy service refuses at the door what it would make late
  const made = verified.flatMap(({ completion }) => completion.decisions);
  expect([made.some(({ learned }) => learned !== undefined), made.some(({ after_attempt }) => after_attempt > 0), made.some(({ step }) => step.kind === "stop")]).toEqual([true, true, true]);
});
