/** A budget that many callers spend at once through both doors, while what keeps it dies: never overshot, and each place says the same of it. */
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { UsdAmount } from "#shared/contracts/money.ts";

import { body, type Broker, connectBroker, openAudit, postJson, recordOf } from "./callers.ts";
import { type CountingServer, startCountingServer } from "./killedBatch.ts";
import { jsonIn, startSystem, type System } from "./system.ts";
import { tallyOf, verifyStream } from "./verifyStream.ts";

/** Of every answer; at a price of 1 USD per million tokens a token costs 1,000 nano-dollars. */
const USAGE = { prompt_tokens: 60, completion_tokens: 100 };
const COST = 160_000;
const AFFORDABLE = 500;
const BUDGET_USD = (AFFORDABLE * COST) / 1e9;

let system: System;
let models: CountingServer;
let broker: Broker;
let audit: ReturnType<typeof openAudit>;
let dropDatabase: () => Promise<void>;
beforeAll(async () => {
  models = await startCountingServer(20, USAGE);
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_budgets");
  dropDatabase = database.drop;
  system = await startSystem({ env: { DATABASE_URL: database.url, INFER_MAX_QUEUE_MS: "60000" }, tiers: { serverUrl: models.url, tiers: [{ name: "alpha", slots: 64, usd_per_million: 1 }] } });
  broker = await connectBroker(system.url("nats"));
  audit = openAudit(database.url);
  for (const tenant of ["crowd", "lossy", "killed"]) await system.inferctl("tenants", "create", tenant, "--budget", `tenant.month=${BUDGET_USD}`, "--budget", `user.day=${2 * BUDGET_USD}`, "--time-zone", "Europe/Berlin");
});
afterAll(async () => {
  await broker.close();
  await audit.close();
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
});

interface Told { readonly outcome: string; readonly code: string | undefined; readonly message: string | undefined; readonly status: number | null; readonly retryAfter: string | null }
const ids = (tenant: string, count: number) => Array.from({ length: count }, (_, i) => `${tenant}-${i}`);
const ofRequest = (tenant_id: string, id: string) => body(id, `ask ${id}`, { tenant_id, user_id: `user-${tenant_id}`, budget: 1, deadline_ms: 60_000 });
async function overHttp(tenant: string, id: string): Promise<Told> {
  const answer = await postJson(`${system.url("gateway")}/infer`, ofRequest(tenant, id));
  const { outcome, error } = recordOf(answer);
  return { outcome, code: error?.code, message: error?.message, status: answer.status, retryAfter: answer.headers.get("retry-after") };
}
async function overNats(tenant: string, id: string): Promise<Told> {
  const { tenant_id: _tenant, request_id: _request, ...content } = ofRequest(tenant, id);
  await broker.js.publish(`infer.request.${tenant}.${id}`, JSON.stringify(content));
  const { outcome, error } = await broker.completion(tenant, id, 120_000);
  return { outcome, code: error?.code, message: error?.message, status: null, retryAfter: null };
}
const askAll = (tenant: string, count: number) => Promise.all(ids(tenant, count).map((id, i) => (i % 5 < 3 ? overHttp : overNats)(tenant, id)));

/** What COMPLETIONS, Postgres and Redis say was spent, once all of it is booked. */
async function spentOf(tenant: string, count: number) {
  let fold = 0;
  for (const id of ids(tenant, count)) fold += (await broker.completion(tenant, id)).cost_nano_usd;
  const inPostgres = () => audit.rows<{ spent: string; rows: number }>("SELECT coalesce(sum(cost_nano_usd), 0)::text AS spent, count(*)::int AS rows FROM requests WHERE tenant_id = $1", tenant).then(([row]) => row);
  await waitUntil(async () => ((await inPostgres())?.rows === count ? true : undefined), { deadlineMs: 60_000, describe: () => "the audit does not hold all" });
  const redis = new Redis(system.url("redis"));
  try {
    const account = await waitUntil(async () => {
      for (const key of await redis.keys(`infer:ledger:*:account:tenant:20??-??:*:${tenant}:${tenant}`)) {
        const { spent, reserved } = await redis.hgetall(key);
        if (reserved === "0") return { spent: Number(spent), reserved: 0 };
      }
      return undefined;
    }, { deadlineMs: 30_000, describe: () => `something of ${tenant} stays reserved` });
    return { fold, postgres: Number((await inPostgres())?.spent), redis: account.spent };
  } finally {
    redis.disconnect();
  }
}

describe("a budget for 500 requests", () => {
  it("that 1,000 clients spend at once over HTTP and NATS is used up and never overshot, and who is refused is told why", async () => {
    const told = await askAll("crowd", 1_000);
    const completed = told.filter(({ outcome }) => outcome === "completed").length;
    const refused = told.filter(({ outcome }) => outcome === "rejected");
    expect([completed + refused.length, new Set(refused.map(({ code }) => code))]).toEqual([1_000, new Set(["budget_exceeded"])]);
    expect(completed).toBeLessThanOrEqual(AFFORDABLE);
    expect(completed).toBeGreaterThanOrEqual(0.99 * AFFORDABLE);
    const overHttpOnly = refused.filter(({ status }) => status !== null);
    expect(new Set(overHttpOnly.map(({ status }) => status))).toEqual(new Set([402]));
    expect(overHttpOnly.every(({ retryAfter }) => Number(retryAfter) > 0)).toBe(true);
    expect(refused[0]?.message).toContain("the budget of tenant crowd for month");
    const spent = await spentOf("crowd", 1_000);
    expect(spent).toEqual({ fold: completed * COST, postgres: completed * COST, redis: completed * COST });
    expect(spent.fold).toBeLessThanOrEqual(UsdAmount.parse(BUDGET_USD));
    expect(jsonIn(await system.inferctl("budgets", "--tenant", "crowd", "--json"))).toMatchObject({ has_more: false, budgets: [{ scope: "tenant", limit_usd: BUDGET_USD, spent_usd: spent.fold / 1e9, reserved_usd: 0 }, { scope: "user", owner: "user-crowd", spent_usd: spent.fold / 1e9 }] });
  }, 180_000);

  it("is not overshot while Redis is killed and comes back empty, and its counters are those of the streams again", async () => {
    const asked = askAll("lossy", 1_000);
    await waitUntil(async () => ([...models.asked.keys()].filter((question) => question.startsWith("ask lossy-")).length > 100 ? true : undefined), { deadlineMs: 60_000, everyMs: 5, describe: () => "nothing is asked" });
    await system.signal("redis", "SIGKILL");
    await system.up();
    const told = await asked;
    const completed = told.filter(({ outcome }) => outcome === "completed").length;
    expect(completed).toBeLessThanOrEqual(AFFORDABLE);
    expect(completed).toBeGreaterThanOrEqual(0.99 * AFFORDABLE);
    expect(new Set(told.filter(({ outcome }) => outcome !== "completed").map(({ code }) => code))).toEqual(new Set(["budget_exceeded"]));
    expect(await spentOf("lossy", 1_000)).toEqual({ fold: completed * COST, postgres: completed * COST, redis: completed * COST });
  }, 180_000);

  it("is not overshot while router and audit sink are killed", async () => {
    const asked = askAll("killed", 1_000);
    await waitUntil(async () => ([...models.asked.keys()].filter((question) => question.startsWith("ask killed-")).length > 100 ? true : undefined), { deadlineMs: 60_000, everyMs: 5, describe: () => "nothing is asked" });
    await Promise.all([system.signal("router", "SIGKILL"), system.signal("audit-sink", "SIGKILL")]);
    await system.up();
    const told = await asked;
    const completed = told.filter(({ outcome }) => outcome === "completed").length;
    expect(completed).toBeLessThanOrEqual(AFFORDABLE);
    expect(completed).toBeGreaterThanOrEqual(0.99 * AFFORDABLE);
    expect(await spentOf("killed", 1_000)).toEqual({ fold: completed * COST, postgres: completed * COST, redis: completed * COST });
  }, 180_000);

  it("leaves decisions that come out the same again, also of those that it refused", async () => {
    const verified = await verifyStream(broker);
    expect(verified.filter(({ verdict }) => verdict.kind === "differs").slice(0, 3)).toEqual([]);
    const { same = 0, nothing_decided = 0, ...others } = tallyOf(verified);
    expect([others, same + nothing_decided]).toEqual([{}, verified.length]);
    expect(verified.filter(({ completion: { decisions }, verdict }) => verdict.kind === "same" && decisions.some(({ facts }) => facts.budget_left !== undefined)).length).toBeGreaterThan(1_000);
  }, 60_000);
});
