/** Pacing against a real Redis and a real Postgres, as several routers would have it. */
import type { Redis } from "ioredis";
import { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, beforeAll, beforeEach, expect, inject, it, vi } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { TenantSettings } from "#shared/contracts/tenant.ts";
import { budgetedAccountsOf } from "#shared/ledger/accounts.ts";
import { type Ledger, makeLedger } from "#shared/ledger/ledger.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";

import { openPacing } from "./openPacing.ts";
import type { Pacing } from "./pacing.ts";

const LAMBDAS = [0, ...Array.from({ length: 30 }, (_, i) => 10 * 1.25 ** i)];
const MODEL = { levels: LAMBDAS.map((lambda_per_usd) => ({ lambda_per_usd, states: {} })), operating: { cascade_routing_level: 12, predictive_level: null, cascade_keep_from: null } };
const BUDGETS = TenantSettings.parse({ budgets: { tenant: { month: { usd: 1, pacing: "above_floor" } } } }).budgets;
const log = pino({ level: "silent" });
const HOUR_MS = 3_600_000;
/** In the middle of the month to come, so that Redis keeps what is of it. */
const AT_MS = Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth() + 1, 10, 12);

let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
const connections: Redis[] = [];
let n = 0, booked = 0, nowMs = AT_MS;
beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "pacing");
  pool = new Pool({ connectionString: database.url });
});
afterAll(async () => {
  for (const redis of connections) redis.disconnect();
  await pool.end();
  await database.drop();
});
beforeEach(() => { n += 1; booked = 0; nowMs = AT_MS; });

/** A router's own: its connections and what it keeps. */
async function router(): Promise<{ ledger: Ledger; pacing: Pacing; registry: Registry }> {
  const redis = connectRedis(inject("redisUrl"), "pacing-test", log, { meanwhile: "test", mostWaitMs: 500 });
  connections.push(redis);
  await vi.waitFor(() => { expect(redis.status).toBe("ready"); }, { timeout: 10_000, interval: 10 });
  const ledger = makeLedger({
    redis, prefix: `pace${process.pid}x${n}`, quietS: 0, endOf: async () => null, stream: async () => ({ created: "2026-11-01T00:00:00Z", lastSeq: booked }),
    outcomeAt: async () => null, observeUnloaded: (error) => { throw error; },
    historiesOf: async (claimed) => claimed.map(() => ({ spentNanoUsd: nanoUsd(0), open: [] })),
  });
  const registry = new Registry();
  return { ledger, registry, pacing: openPacing({ pool, balanceOf: ledger.balanceOf, registry, log, now: () => nowMs }) };
}
const tenant = () => `t-${n}`;
const request = (over: object = {}) => ({ tenant_id: tenant(), policy: "cascade-routing", accepted_at_ms: nowMs, ...over });
const lambdaOf = async ({ pacing }: { pacing: Pacing }, budgets = BUDGETS) => (await pacing.factsFor(request(), budgets, MODEL))?.lambda_per_usd;

/** Requests of the last two days, evenly, each at λ = 100 and for that much. */
async function audited(count: number, costUsd: number): Promise<void> {
  const sql = `INSERT INTO requests (tenant_id, request_id, outcome, cost_nano_usd, attempt_count, latency_ms, accepted_at, completed_at, origin, decisions, trace_id, stream_seq)
    SELECT $1, 'r-' || i, 'completed', $2, 1, 10, $5::timestamptz - i * interval '1 second' * $3, $5::timestamptz - i * interval '1 second' * $3, 'direct', '[{"learned":{"lambda_per_usd":100}}]', 't', i FROM generate_series(1, $4) AS i`;
  await pool.query(sql, [tenant(), Math.round(costUsd * 1e9), (48 * HOUR_MS) / 1_000 / count, count, new Date(AT_MS)]);
  await pool.query("INSERT INTO ledger_requests (tenant_id, request_id, at, outcome, cost_is_partial, paid_nano_usd, paid_to_answer_tier_nano_usd, paid_to_answer_model_nano_usd, stream_seq) SELECT tenant_id, request_id, accepted_at, outcome, false, cost_nano_usd, 0, 0, stream_seq FROM requests WHERE tenant_id = $1", [tenant()]);
  await pool.query(`INSERT INTO ledger (tenant_id, request_id, kind, part, tier, model, cost_nano_usd, is_charged, cost_is_partial, is_to_answer_tier, is_to_answer_model, at, stream, stream_seq)
    SELECT tenant_id, request_id, 'attempt', '1', 'small', 's', cost_nano_usd, true, false, false, false, accepted_at, 'COMPLETIONS', stream_seq FROM requests WHERE tenant_id = $1`, [tenant()]);
}
async function spend({ ledger }: { ledger: Ledger }, costUsd: number): Promise<void> {
  const spender = { tenant_id: tenant(), user_id: null, key_id: null };
  const id = { tenant_id: tenant(), request_id: `spent-${booked}` };
  for (;;) {
    const reserved = await ledger.reserve({ ...id, step: 1, amountNanoUsd: nanoUsd(costUsd * 1e9), leaseEndsAtMs: nowMs + HOUR_MS }, budgetedAccountsOf(BUDGETS, spender, nowMs));
    if (reserved.kind !== "loading") break;
    await reserved.loaded;
  }
  await ledger.settle([{ ...id, costNanoUsd: nanoUsd(costUsd * 1e9), spentBy: { ...spender, acceptedAtMs: nowMs } }], { after: booked, upTo: ++booked });
}

it("routers find the same λ, one that restarts goes on with it, and what one spends the others see", async () => {
  await audited(480, 0.001);
  const one = await router(), other = await router();
  await spend(one, 0.01);
  const [first, second] = [await lambdaOf(one), await lambdaOf(other)];
  expect(first).toBeGreaterThan(0);
  expect(second).toBe(first);

  expect(await lambdaOf(await router())).toBe(first);

  await spend(one, 0.9);
  nowMs += 60_000;
  await lambdaOf(other); // begins to look again, and goes by what it knew meanwhile
  await vi.waitFor(async () => { expect(await lambdaOf(other)).toBeGreaterThan(5 * (first ?? Infinity)); }, { timeout: 10_000, interval: 20 }); // a tenth is left
});

it("goes by the audit while the ledger does not know the budget, and by what it knew while Postgres is away", async () => {
  await audited(480, 0.001);
  const { pacing, registry } = await router();
  const before = (await pacing.factsFor(request(), BUDGETS, MODEL))?.lambda_per_usd;
  expect(before).toBeGreaterThan(0);
  await pool.query("ALTER TABLE ledger_requests RENAME TO away");
  nowMs += 60_000;
  expect((await pacing.factsFor(request(), BUDGETS, MODEL))?.lambda_per_usd).toBe(before);
  await vi.waitFor(async () => { expect((await registry.getSingleMetric("infer_pacing_unread_total")?.get())?.values[0]?.value).toBe(1); }, { timeout: 10_000, interval: 20 });
  expect((await pacing.factsFor(request(), BUDGETS, MODEL))?.lambda_per_usd).toBe(before);
  await pool.query("ALTER TABLE away RENAME TO ledger_requests");
});

it("says nothing of tenants that are not paced, of policies without λ, without a model, and before there is something to go by", async () => {
  const { pacing } = await router();
  expect(await pacing.factsFor(request(), BUDGETS, MODEL)).toBeUndefined();
  await audited(480, 0.001);
  const knowing = (await router()).pacing;
  expect(await knowing.factsFor(request(), BUDGETS, MODEL)).toMatchObject({ window: "month", may_go_below_floor: false });
  expect(await knowing.factsFor(request(), TenantSettings.parse({ budgets: { tenant: { month: { usd: 1 } } } }).budgets, MODEL)).toBeUndefined();
  expect(await knowing.factsFor(request({ policy: "cheapest" }), BUDGETS, MODEL)).toBeUndefined();
  expect(await knowing.factsFor(request(), BUDGETS, null)).toBeUndefined();
});

it("is as tight as the tightest of its windows", async () => {
  await audited(480, 0.001);
  const { pacing } = await router();
  const both = TenantSettings.parse({ budgets: { tenant: { month: { usd: 1_000, pacing: "above_floor" }, day: { usd: 0.01, pacing: "below_floor" } } } }).budgets;
  expect(await pacing.factsFor(request(), both, MODEL)).toMatchObject({ window: "day", may_go_below_floor: true });
});
