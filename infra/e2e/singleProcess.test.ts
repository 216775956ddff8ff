/** `inferctl up --single-process`: the same roles in one process, for laptops. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { callInferctl } from "#infra/cli/callInferctl.ts";
import { usdText } from "#infra/cli/reportText.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { connectInferClient } from "#producers/client/inferClient.ts";
import type { Report } from "#shared/contracts/report.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { type Audit, body, type HttpAnswer, openAudit, postJson, recordOf } from "./callers.ts";
import { jsonIn, startSystem, type System } from "./system.ts";

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

interface DemoJson {
  readonly run: number;
  readonly asked: number;
  readonly already_there: number;
  readonly tenants: readonly { readonly tenant_id: string; readonly asked: number; readonly outcomes: object; readonly cached: number; readonly spend_nano_usd: number; readonly baseline_nano_usd: number; readonly net_saving_nano_usd: number; readonly net_saving_95: object | null }[];
  readonly books: object;
  readonly notes: readonly string[];
}
const demo = async (...args: string[]) => jsonIn(await system.inferctl("demo", ...args, "--json")) as DemoJson;
const feedbackOf = async (prefix: string) => (await audit.rows("SELECT 1 FROM feedback WHERE starts_with(request_id, $1) AND source = 'user' AND score IN (0, 1)", prefix)).length;

test("the demo judges real answers, and its figures are those of the report; repeated, it runs nothing twice", async () => {
  const first = await demo("--requests", "80");
  expect(first).toMatchObject({ run: 1, asked: 80, already_there: 0, books: { requests: 80, agree: true } });
  const reports = await Promise.all(first.tenants.map(async ({ tenant_id }) => (jsonIn(await system.inferctl("report", "--tenant", tenant_id, "--from", "2026-01-01", "--to", "2100-01-01", "--json")) as Report).total));
  expect(first.tenants.map(({ asked, outcomes, cached, net_saving_95, ...one }) => [asked, outcomes, cached, String(one.spend_nano_usd), String(one.baseline_nano_usd), String(one.net_saving_nano_usd), net_saving_95]))
    .toEqual(reports.map((one) => [one.requests, one.outcomes, one.cached, one.spend_nano_usd, one.baseline_nano_usd, one.net_saving_nano_usd, one.net_saving_95]));
  await waitUntil(async () => ((await feedbackOf("demo-mails-1-1-")) === 80 ? true : undefined), { deadlineMs: 10_000, describe: () => "not every answer was judged" });
  expect(await demo("--run", "1", "--requests", "100")).toMatchObject({ run: 1, asked: 100, already_there: 80, books: { agree: true } });
  expect(await demo("--requests", "20")).toMatchObject({ run: 2, asked: 20, already_there: 0, books: { agree: true } });
});

/** The small one is right in six of ten and knows it, the next more often, the large one always. */
function outcomeLog(): string {
  const random = seededRandom(3);
  const answered = (isRight: boolean, confidence: number, usdPerMillion: number) => ({ correct: isRight ? 1 : 0, confidence, cost_usd: (20 * usdPerMillion) / 1e6, prompt_tokens: 10, completion_tokens: 10, latency_ms: 10, answer: isRight ? "right" : "wrong" });
  const file = join(system.folder, "outcomes.jsonl");
  writeFileSync(file, Array.from({ length: 300 }, (_, i) => {
    const isEasy = random() < 0.6;
    return JSON.stringify({ id: `row-${i}`, dataset: "made-up", query: `Question ${i}?`, tiers: { "Small 1": answered(isEasy, isEasy ? 0.95 : 0.6, 1), medium: answered(isEasy || random() < 0.8, 0.7, 5), large: answered(true, 1, 30) } });
  }).join("\n"));
  return file;
}

test("recorded answers run beside it, in a set-up of their own, with a routing model of the half that is not asked", async () => {
  const before = await system.inferctl("status", "--json");
  const home = join(system.folder, "home", "demo-recorded");
  try {
    const { notes, ...result } = await demo("--outcomes", outcomeLog(), "--requests", "60", "--time-scale", "0");
    expect(result).toMatchObject({ run: 1, asked: 60, books: { requests: 60, agree: true }, compared: { items: 18, baseline_quality: { estimate: 1 } } });
    expect(notes.join("\n")).toMatch(/routing model \d{8}-[0-9a-f]{8} decides/);
    const total = result.tenants.reduce((sum, { spend_nano_usd }) => sum + spend_nano_usd, 0);
    expect(notes).toContain(`by the log these answers cost ${usdText(String(total))} USD; the books have ${usdText(String(total))}`);
  } finally {
    expect(await callInferctl(["down"], { INFER_HOME: home })).toMatchObject({ code: 0 });
  }
  expect(jsonIn(await system.inferctl("status", "--json"))).toEqual(jsonIn(before));
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
