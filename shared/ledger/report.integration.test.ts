/** Reports against a real Postgres: every figure by hand, sums over many by a second reckoning. */
import type { Pool } from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import { type Attempt, Completion, DeadLetter } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import letterFixture from "#shared/contracts/fixtures/dead_letter.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/shadow_tier.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { ReportBy, ReportQuery, type ReportRow } from "#shared/contracts/report.ts";
import { ShadowTierEvent } from "#shared/contracts/shadow.ts";
import { makeBatchInsert } from "#shared/db/batchInsert.ts";
import { makePool } from "#shared/db/pool.ts";
import { ledger, ledgerRequests } from "#shared/db/schema/books.ts";
import { inTransaction } from "#shared/db/transaction.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";
import type { Rights } from "#shared/tenancy/database.ts";

import { bookedRequestOf, linesOfCompletion, linesOfLetter, linesOfShadow } from "./linesOf.ts";
import { readReport, readStatement } from "./report.ts";

const COMPLETION = Completion.parse(completionFixture);
const at = (time: string): number => Date.parse(time);
const NOW = at("2026-11-11T00:00:00Z");
let database: { url: string; drop: () => Promise<void> };
let pool: Pool;
let owner: Rights;

beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "report");
  pool = makePool(database.url, "test", () => undefined);
  owner = { pool, tenantId: null };
  await book();
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

const [insertLines, insertRequests] = [makeBatchInsert(ledger), makeBatchInsert(ledgerRequests)];
const attempt = (tier: string, cost: number): Attempt => ({ ...(COMPLETION.attempts[1] as Attempt), tier, model: `${tier}-1`, cost_nano_usd: nanoUsd(cost), cost_is_partial: false });
const made: Completion[] = [];
interface Asked extends Partial<Pick<Completion, "user_id" | "policy" | "outcome" | "tier" | "cache" | "latency_slo_ms">> { readonly tenant: string; readonly id: string; readonly time: string; readonly attempts?: readonly (readonly [tier: string, cost: number])[]; readonly baseline?: number | null }
const asked = ({ tenant, id, time, attempts = [], baseline = null, ...over }: Asked): Completion => {
  const tier = over.tier === undefined ? (attempts.at(-1)?.[0] ?? null) : over.tier;
  return {
    ...COMPLETION, user_id: "u1", policy: "cascade", outcome: "completed", ...over, tenant_id: tenant, request_id: id, accepted_at_ms: at(time), tier, model: tier === null ? null : `${tier}-1`, decisions: [], baseline_tier: "large",
    attempts: attempts.map(([name, cost], i) => ({ ...attempt(name, cost), attempt: i + 1 })), baseline_cost_nano_usd: baseline === null ? null : nanoUsd(baseline),
  };
};
const shadow = (tenant: string, id: string, time: string, cost: number): ShadowTierEvent => ({ ...ShadowTierEvent.parse(tierFixture), is_shadow: true, tenant_id: tenant, request_id: id, tier: "large", model: "large-1", cost_nano_usd: nanoUsd(cost), at_ms: at(time) });
const late = (tenant: string, id: string, time: string, cost: number): DeadLetter => ({ ...DeadLetter.parse(letterFixture), tenant_id: tenant, request_id: id, late_attempt: { ...attempt("small", cost), started_at_ms: at(time) } });

/** Tenant `a` saves, tenant `b` loses, October and the 9th of November at night are there to be left out or cut by a time zone. */
async function book(): Promise<void> {
  made.push(
    asked({ tenant: "a", id: "cheap", time: "2026-11-02T10:00:00Z", attempts: [["small", 100]], baseline: 1_000, latency_slo_ms: 1_620 }),
    asked({ tenant: "a", id: "up", time: "2026-11-03T10:00:00Z", user_id: "u2", policy: "predictive", attempts: [["small", 100], ["large", 900]], baseline: 900, latency_slo_ms: 1_619 }),
    asked({ tenant: "a", id: "cached", time: "2026-11-09T23:30:00Z", tier: "large", cache: { kind: "exact", stored_at_ms: 1, age_ms: 1, source_request_id: "up" }, baseline: 900 }),
    asked({ tenant: "a", id: "failed", time: "2026-11-03T11:00:00Z", outcome: "failed", attempts: [["small", 50]], baseline: 500, latency_slo_ms: 60_000 }),
    asked({ tenant: "a", id: "unknown", time: "2026-11-03T12:00:00Z", outcome: "degraded", user_id: null, attempts: [["small", 10]] }),
    asked({ tenant: "b", id: "cheap", time: "2026-11-04T10:00:00Z", attempts: [["small", 300], ["large", 700]], baseline: 700 }),
    asked({ tenant: "a", id: "before", time: "2026-10-31T23:59:59.999Z", attempts: [["small", 7]], baseline: 70 }),
  );
  await inTransaction(pool, async (client) => {
    await insertRequests(client, made.map((event, i) => bookedRequestOf(event, i + 1, linesOfCompletion(event, i + 1))));
    await insertLines(client, [
      ...made.flatMap((event, i) => linesOfCompletion(event, i + 1)),
      ...linesOfShadow(shadow("a", "cheap", "2026-11-02T10:00:05Z", 950), 1), ...linesOfShadow(shadow("a", "gone", "2026-11-02T10:00:06Z", 5), 2),
      ...linesOfLetter(late("b", "cheap", "2026-11-04T10:00:01Z", 30), 1),
    ]);
    for (const [id, tenant, agreement] of [["cheap", "a", 0.9], ["up", "a", 0.2], ["unknown", "a", null]] as const) {
      await client.query("INSERT INTO shadows (tenant_id, request_id, policy, kept_tier, kept_model, kept_confidence, reference_tier, agreement, cost_nano_usd, cost_is_partial, at, stream_seq) VALUES ($1, $2, 'cascade', 'small', 'small-1', 1, 'large', $3, 0, false, '2026-11-05T00:00:00Z', 1)", [tenant, id, agreement]);
    }
  });
}

const report = (query: Partial<ReportQuery>, rights = owner) => readReport(rights, ReportQuery.parse(query), { nowMs: NOW });
const short = ({ group, requests, spend_nano_usd, shadow_nano_usd, waste_nano_usd, baseline_nano_usd, net_saving_nano_usd }: ReportRow) =>
  [group, requests, ...[spend_nano_usd, shadow_nano_usd, waste_nano_usd, baseline_nano_usd, net_saving_nano_usd].map(Number)];
const N = (rows: readonly ReportRow[]) => rows.map(short).sort((one, other) => (String(one[0]) < String(other[0]) ? -1 : 1));

describe("a report of this month", () => {
  it("by tenant: what was paid for its requests, what answered ones would have cost, and a loss where there is one", async () => {
    const { rows, total, from, to, baseline_tiers, forecast } = await report({});
    expect([from, to, baseline_tiers]).toEqual(["2026-11-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z", ["large"]]);
    expect(N(rows)).toEqual([["a", 5, 1_160, 955, 0, 2_800, 685], ["b", 1, 1_000, 0, 30, 700, -330]]);
    expect(short(total)).toEqual([null, 6, 2_160, 955, 30, 3_500, 355]);
    expect(total).toMatchObject({ outcomes: { completed: 4, degraded: 1, failed: 1, rejected: 0 }, total_nano_usd: "3145", unknown_baselines: 1, cached: 1, cached_saved_nano_usd: "900", net_saving_95: null, agreement: { labels: 2, agreeing: 1, mean: expect.closeTo(0.55) as number } });
    expect(forecast).toEqual({ method: "linear", spend_nano_usd: "6480", total_nano_usd: "9435", net_saving_nano_usd: "1065" });
    expect(rows.find(({ group }) => group === "b")?.agreement).toBeNull();
  });

  it("by tier: what was paid to each, and what its answers would have cost", async () => {
    expect(N((await report({ by: "tier" })).rows)).toEqual([["large", 3, 1_600, 955, 0, 2_500, -55], ["small", 3, 560, 0, 30, 1_000, 410]]);
    expect(N((await report({ by: "model" })).rows).map(([group]) => group)).toEqual(["large-1", "small-1"]);
  });

  it("by user and by policy: a shadow and a late run are of whose request they were, and of nobody where that is not known", async () => {
    expect(N((await report({ by: "user", tenant_id: "a" })).rows)).toEqual([[null, 1, 10, 5, 0, 0, -15], ["u1", 3, 150, 950, 0, 1_900, 800], ["u2", 1, 1_000, 0, 0, 900, -100]]);
    expect(N((await report({ by: "policy" })).rows)).toEqual([["cascade", 5, 1_160, 950, 30, 2_600, 460], [null, 0, 0, 5, 0, 0, -5], ["predictive", 1, 1_000, 0, 0, 900, -100]]);
  });

  it("says of requests with a latency SLO how many were answered within it, all of which took 1,620 ms", async () => {
    const { rows, total } = await report({ by: "policy" });
    expect([total.slo, rows.map(({ group, slo }) => [group, slo])]).toEqual([{ requests: 3, within: 1 }, expect.arrayContaining([["cascade", { requests: 2, within: 1 }], ["predictive", { requests: 1, within: 0 }], [null, { requests: 0, within: 0 }]])]);
  });

  it("by day, in the days of a time zone", async () => {
    expect((await report({ by: "day", tz: "UTC" })).rows.map(({ group, requests }) => [group, requests])).toEqual([["2026-11-02", 1], ["2026-11-03", 3], ["2026-11-04", 1], ["2026-11-09", 1]]);
    const berlin = await report({ by: "day", tz: "Europe/Berlin" });
    expect([berlin.from, berlin.rows.map(({ group, requests }) => [group, requests])]).toEqual(["2026-10-31T23:00:00.000Z", [["2026-11-01", 1], ["2026-11-02", 1], ["2026-11-03", 3], ["2026-11-04", 1], ["2026-11-10", 1]]]);
  });

  it("of a time: from its first moment to the one before its last", async () => {
    expect((await report({ from: "2026-11-02T10:00:00Z", to: "2026-11-02T10:00:05Z" })).total).toMatchObject({ requests: 1, spend_nano_usd: "100", shadow_nano_usd: "0" });
    expect((await report({ from: "2026-10-31", to: "2026-11-01" })).total).toMatchObject({ requests: 1, spend_nano_usd: "7" });
    expect((await report({ from: "2026-09-01" })).total).toMatchObject({ requests: 0, total_nano_usd: "0", net_saving_nano_usd: "0", net_saving_95: null });
    await expect(report({ from: "2026-11-02", to: "2026-11-02" })).rejects.toMatchObject({ code: "invalid_request" });
  });

  it("says how many groups it leaves out, and has all of them in the total", async () => {
    const { rows, rows_left_out, total } = await report({ by: "user", limit: 1 });
    expect([rows.map(({ group }) => group), rows_left_out, total.requests]).toEqual([["u1"], 2, 6]);
  });

  it("with a tenant's rights is of that tenant, whatever it asks for", async () => {
    const rights = { pool, tenantId: "b" };
    expect(N((await report({}, rights)).rows)).toEqual([["b", 1, 1_000, 0, 30, 700, -330]]);
    expect((await report({ tenant_id: "a" }, rights)).total).toMatchObject({ requests: 0, total_nano_usd: "0" });
  });
});

it("a statement has what is to be paid line by line, and what is not", async () => {
  const statement = await readStatement(owner, { tenant_id: "b", month: "2026-11", tz: "UTC" }, { nowMs: NOW });
  expect(statement).toMatchObject({ is_final: false, charged_nano_usd: "1000", not_charged_nano_usd: "30", summary: { group: "b", requests: 1, net_saving_nano_usd: "-330" } });
  expect(statement.lines).toEqual([
    { kind: "attempt", tier: "large", model: "large-1", calls: 1, cost_nano_usd: "700", is_charged: true }, { kind: "attempt", tier: "small", model: "small-1", calls: 1, cost_nano_usd: "300", is_charged: true },
    { kind: "waste", tier: "small", model: "small-1", calls: 1, cost_nano_usd: "30", is_charged: false },
  ]);
  expect((await readStatement(owner, { tenant_id: "a", month: "2026-10", tz: "UTC" }, { nowMs: NOW }))).toMatchObject({ is_final: true, charged_nano_usd: "7", to: "2026-11-01T00:00:00.000Z" });
});

it("many requests: whatever they are grouped by, groups add up to the total, the total to the ledger, and the interval is that of the differences", async () => {
  const random = seededRandom(5);
  const draw = (most: number): number => Math.floor(random() * most);
  const events = Array.from({ length: 400 }, (_, i) => asked({
    tenant: `m${draw(3)}`, id: `r${i}`, time: new Date(at("2026-12-01T00:00:00Z") + draw(20 * 86_400) * 1_000).toISOString(), user_id: `u${draw(9)}`, policy: ["cascade", "predictive"][draw(2)] ?? null,
    outcome: (["completed", "completed", "degraded", "failed"] as const)[draw(4)] ?? "completed", attempts: draw(2) === 0 ? [["small", 1 + draw(1e6)]] : [["small", 1 + draw(1e6)], ["large", 1 + draw(1e9)]], baseline: draw(10) === 0 ? null : draw(2e9),
  })).map((event, i): Completion => {
    const models = (model: string) => event.attempts.map((one) => ({ ...one, model }));
    if (i % 5 === 0) return { ...event, attempts: models("other-1") }; // what answered is another model of the same tier
    return i % 5 === 1 ? { ...event, attempts: models("shared-1"), model: "shared-1" } : event; // one model in two tiers
  });
  const lines = [...events.flatMap((event, i) => linesOfCompletion(event, i)), ...events.slice(0, 90).flatMap((event, i) => linesOfShadow(shadow(event.tenant_id, event.request_id, new Date(event.accepted_at_ms + 500).toISOString(), 1 + draw(1e9)), i))];
  await inTransaction(pool, async (client) => {
    await insertRequests(client, events.map((event, i) => bookedRequestOf(event, i, linesOfCompletion(event, i))));
    await insertLines(client, lines);
  });
  const eventOf = new Map(events.map((event) => [event.request_id, event]));
  const gained = ({ outcome, baseline_cost_nano_usd }: Completion): number => (outcome === "failed" ? 0 : (baseline_cost_nano_usd ?? 0));
  /** Net savings, one of each request in a group. */
  const netsBy = (groupOf: (one: Pick<Completion, "tenant_id" | "user_id" | "policy" | "tier" | "model">, timeMs: number) => string | null): Map<string | null, number[]> => {
    const nets = new Map<string | null, Map<string, number>>();
    const add = (group: string | null, id: string, amount: number): void => {
      const found = nets.get(group) ?? new Map<string, number>();
      nets.set(group, found.set(id, (found.get(id) ?? 0) + amount));
    };
    for (const event of events) add(groupOf(event, event.accepted_at_ms), event.request_id, gained(event));
    for (const line of lines) {
      const { user_id, policy } = eventOf.get(line.request_id) as Completion;
      add(groupOf({ ...line, user_id, policy }, at(line.at)), line.request_id, 0 - line.cost_nano_usd);
    }
    return new Map([...nets].map(([group, found]) => [group, [...found.values()]]));
  };
  const halfOf = ({ net_saving_95 }: ReportRow): number => (Number(net_saving_95?.upper) - Number(net_saving_95?.lower)) / 2;
  const expectedHalf = (nets: readonly number[]): number => {
    const mean = nets.reduce((a, b) => a + b, 0) / nets.length;
    return 1.959964 * Math.sqrt((nets.length * nets.reduce((a, b) => a + (b - mean) ** 2, 0)) / (nets.length - 1));
  };
  const whole = netsBy(() => null).get(null) ?? [];
  const groups: Record<ReportBy, Parameters<typeof netsBy>[0]> = {
    tenant: (one) => one.tenant_id, user: (one) => one.user_id, policy: (one) => one.policy, tier: (one) => one.tier, model: (one) => one.model,
    day: (_one, timeMs) => new Date(timeMs).toISOString().slice(0, 10),
  };
  for (const by of ReportBy.options) {
    const { rows, total } = await report({ by, from: "2026-12-01" });
    for (const field of ["spend_nano_usd", "shadow_nano_usd", "baseline_nano_usd", "net_saving_nano_usd"] as const) expect(rows.reduce((all, row) => all + BigInt(row[field]), 0n), `${by} ${field}`).toBe(BigInt(total[field]));
    expect([rows.reduce((all, row) => all + row.requests, 0), total.requests, total.net_saving_nano_usd, total.total_nano_usd]).toEqual([400, 400, String(whole.reduce((a, b) => a + b, 0)), String(lines.reduce((all, line) => all + line.cost_nano_usd, 0))]);
    expect(halfOf(total) / expectedHalf(whole)).toBeCloseTo(1, 6);
    const nets = netsBy(groups[by]);
    expect(rows.map(({ group }) => group).toSorted()).toEqual([...nets.keys()].toSorted());
    for (const row of rows) {
      const ofGroup = nets.get(row.group) ?? [];
      if (ofGroup.length < 30) expect(row.net_saving_95, `${by} ${row.group ?? ""}`).toBeNull();
      else expect(halfOf(row) / expectedHalf(ofGroup), `${by} ${row.group ?? ""}`).toBeCloseTo(1, 6);
    }
  }
});

it("a database that is away is said to be, and a report that takes too long is told apart from it", async () => {
  const away = makePool("postgresql://127.0.0.1:9/none", "test", () => undefined);
  await expect(report({}, { pool: away, tenantId: null })).rejects.toMatchObject({ code: "database_unavailable", message: "the books cannot be read now" });
  await away.end();
  const locker = await pool.connect();
  await locker.query("BEGIN; LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE");
  await expect(readReport(owner, ReportQuery.parse({}), { nowMs: NOW, timeoutMs: 50 })).rejects.toMatchObject({ code: "database_unavailable", message: expect.stringMatching(/took too long/) as string });
  await locker.query("ROLLBACK");
  locker.release();
});
