/** The console's API over a real Postgres: that its money is what reports say, whoever asks sees no more than is theirs, and lists are whole. */
import type { FastifyInstance } from "fastify";
import { Redis } from "ioredis";
import type { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { z } from "zod";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import { ConsoleBudgets, ConsoleFlow, ConsoleFrontier, ConsoleLatency, ConsoleOverview, ConsoleRequest, ConsoleRequests, ConsoleSeries } from "#shared/contracts/console.ts";
import { type Attempt, Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import letterFixture from "#shared/contracts/fixtures/dead_letter.v1.json" with { type: "json" };
import shadowTierFixture from "#shared/contracts/fixtures/shadow_tier.v1.json" with { type: "json" };
import { DeadLetter } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { type ReportQuery, ReportQuery as ReportQuerySchema } from "#shared/contracts/report.ts";
import { ShadowTierEvent } from "#shared/contracts/shadow.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { makeBatchInsert } from "#shared/db/batchInsert.ts";
import { makePool } from "#shared/db/pool.ts";
import { ledger } from "#shared/db/schema/books.ts";
import { inTransaction } from "#shared/db/transaction.ts";
import { makeCallers } from "#shared/http/callers.ts";
import { addBeside, addLines, addRequests, LINE_COLUMNS, LINE_KEY, lineSums, REQUEST_COLUMNS, REQUEST_KEY, requestSums } from "#shared/ledger/hourSums.ts";
import { linesOfLetter, linesOfShadow } from "#shared/ledger/linesOf.ts";
import { readReport } from "#shared/ledger/report.ts";
import { NewTenant } from "#shared/contracts/tenant.ts";
import { createTenant } from "#shared/tenancy/tenants.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";
import type { Directory } from "#shared/tenancy/directory.ts";
import { toRows } from "#sinks/audit/toRows.ts";
import { makeAuditWriter } from "#sinks/audit/writeBatch.ts";

import { buildConsole } from "./app.ts";
import { makeLiveFeed } from "./liveFeed.ts";
import { NO_ROUTING } from "./routingNow.ts";
import { unknownTiers } from "./tierStates.ts";

const COMPLETION = Completion.parse(fixture);
const TIERS = TierFile.parse(tierFixture);
const FROM = Date.parse("2026-11-20T00:00:00Z"), DAYS = 9;
const NOW = Date.parse("2026-11-28T13:20:00Z");
const log = pino({ level: "silent" });
const end = new AbortController();
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
let reader: Pool;
let app: FastifyInstance;
let redis: Redis;
const events: Completion[] = [];

const random = seededRandom(11);
const draw = (most: number): number => Math.floor(random() * most);
const attempt = (number: number, tier: string, cost: number): Attempt => ({ ...(COMPLETION.attempts[1] as Attempt), attempt: number, tier, model: `${tier}-1`, cost_nano_usd: nanoUsd(cost), cost_is_partial: draw(50) === 0 });

function completion(i: number): Completion {
  const kind = draw(10);
  const isCached = kind === 0, isRejected = kind === 1;
  const attempts = isCached || isRejected ? [] : [attempt(1, "small", draw(1e6)), ...(kind < 5 ? [attempt(2, "medium", 1 + draw(1e7))] : []), ...(kind < 4 ? [attempt(3, "large", 1 + draw(1e9))] : [])];
  const isLate = kind === 9 && draw(3) === 0;
  const tier = isRejected || isLate ? null : isCached ? "large" : (attempts.at(draw(8) === 0 ? 0 : -1)?.tier ?? null);
  return {
    ...COMPLETION, tenant_id: `t${draw(3)}`, request_id: `r${i}`, user_id: `u${draw(5)}`, policy: draw(3) === 0 ? "cascade" : "cascade-routing", outcome: isRejected ? "rejected" : isLate ? "failed" : draw(9) === 0 ? "degraded" : "completed",
    error: isLate ? { code: "deadline_exceeded", message: "late" } : isRejected ? { code: "budget_exceeded", message: "none left" } : null,
    tier, model: tier === null ? null : `${tier}-1`, attempts, decisions: [], baseline_tier: isRejected ? null : "large", baseline_cost_nano_usd: draw(10) === 0 ? null : nanoUsd(draw(2e9)),
    accepted_at_ms: FROM + draw(DAYS * 86_400_000), latency_ms: Math.round(Math.exp(random() * 9)), ...(draw(3) === 0 ? { latency_slo_ms: 1 + draw(2_000) } : {}), cost_nano_usd: nanoUsd(attempts.reduce((sum, one) => sum + one.cost_nano_usd, 0)),
    ...(isCached ? { cache: { kind: "exact" as const, stored_at_ms: 1, age_ms: 1, source_request_id: "earlier" } } : {}),
  };
}

const HOLDERS: Readonly<Record<string, Awaited<ReturnType<Directory["holderOf"]>>>> = {
  "key-of-t1": { tenant_id: "t1", key_id: "k1", roles: new Set(["read"]) }, "key-that-asks": { tenant_id: "t1", key_id: "k2", roles: new Set(["infer", "read"]) }, "key-of-operator": { tenant_id: null, key_id: "k3", roles: new Set(["admin", "read"]) },
};

beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "console");
  pool = makePool(database.url, "test", () => undefined);
  reader = makePool(database.url, "test", () => undefined, { service: "console", isReader: true });
  events.push(...Array.from({ length: 1_500 }, (_, i) => completion(i)));
  const sink = makePool(database.url, "test", () => undefined, { service: "audit_sink" });
  const writer = makeAuditWriter(sink);
  for (let i = 0; i < events.length; i += 300) expect((await writer.write(events.slice(i, i + 300).map((event, place) => toRows(event, i + place + 1)))).every(({ ok }) => ok)).toBe(true);
  const lines = events.slice(0, 200).flatMap((event, i) => {
    const at_ms = event.accepted_at_ms + (i % 9 === 0 ? 3_600_000 : 700);
    const shadow = ShadowTierEvent.parse({ ...shadowTierFixture, is_shadow: true, tenant_id: event.tenant_id, request_id: i % 17 === 0 ? `gone${i}` : event.request_id, tier: ["small", "medium", "large"][i % 3], model: "m", cost_nano_usd: 1 + draw(1e9), at_ms });
    const letter = DeadLetter.parse({ ...letterFixture, tenant_id: event.tenant_id, request_id: event.request_id, late_attempt: { ...attempt(1, "small", 1 + draw(1e8)), started_at_ms: at_ms } });
    return [...linesOfShadow(shadow, i + 1), ...(i % 5 === 0 ? linesOfLetter(letter, i + 1) : [])];
  });
  const insertLines = makeBatchInsert(ledger);
  await inTransaction(sink, (client) => insertLines(client, lines));
  for (const event of events.slice(0, 300)) {
    if (event.tier === null) continue;
    await pool.query(`INSERT INTO shadows (tenant_id, request_id, policy, kept_tier, kept_model, kept_confidence, reference_tier, agreement, cost_nano_usd, cost_is_partial, tiers, at, stream_seq)
      VALUES ($1, $2, $3, $4, 'm', 1, 'large', $5, 0, false, $6, $7, 1)`, [event.tenant_id, event.request_id, event.policy, event.tier, random(), JSON.stringify([{ tier: "small", agreement_with_baseline: random(), confidence: 0.5 }, { tier: "large", agreement_with_baseline: null, confidence: null }]), new Date(event.accepted_at_ms).toISOString()]);
  }
  await sink.end();
  redis = new Redis(inject("redisUrl"));
  const live = makeLiveFeed({ pool: reader, tiers: () => unknownTiers(TIERS, NOW), log, signal: end.signal });
  app = await buildConsole({
    api: { pool: reader, redis, prefix: "console", tierFile: TIERS, routing: () => NO_ROUTING, tiers: () => unknownTiers(TIERS, NOW), live, now: () => NOW },
    callers: makeCallers({ directory: { holderOf: (key) => Promise.resolve(HOLDERS[key] ?? null), standingOf: () => Promise.resolve(null) }, isKeyless: false, log }), isKeyless: false, pageFolder: "/nowhere", registry: new Registry(), problems: () => [], log,
  });
  await app.ready();
}, 120_000);
afterAll(async () => {
  end.abort();
  await app.close();
  redis.disconnect();
  await Promise.all([pool.end(), reader.end()]);
  await database.drop();
});

async function ask(path: string, query: Readonly<Record<string, string>> = {}, key = "key-of-operator"): Promise<{ readonly status: number; readonly body: unknown }> {
  const answer = await app.inject({ url: `/console/api/${path}?${new URLSearchParams(query).toString()}`, headers: key === "" ? {} : { authorization: `Bearer ${key}` } });
  return { status: answer.statusCode, body: answer.json() };
}
async function view<T extends z.ZodType>(schema: T, path: string, query: Readonly<Record<string, string>> = {}, key?: string): Promise<z.infer<T>> {
  const { status, body } = await ask(path, query, key);
  expect([status, status === 200 ? "" : body]).toEqual([200, ""]);
  return schema.parse(body);
}
const report = (query: Partial<ReportQuery>) => readReport({ pool, tenantId: null }, ReportQuerySchema.parse(query), { nowMs: NOW });
const apart = <T extends { agreement: { mean: number } | null }>(row: T | undefined) => (row === undefined ? undefined : { ...row, agreement: row.agreement === null ? null : { ...row.agreement, mean: Math.round(row.agreement.mean * 1e9) } });

const TIMES: readonly (readonly [from: string, to: string])[] = [
  ["2026-11-20T00:00:00Z", "2026-11-29T00:00:00Z"], ["2026-11-21T10:17:31.250Z", "2026-11-27T03:59:59.999Z"], ["2026-11-23T05:00:00Z", "2026-11-23T06:00:00Z"], ["2026-11-23T05:10:00Z", "2026-11-23T05:55:00Z"], ["2026-11-22T22:30:00+05:30", "2026-11-25T00:15:00+05:45"],
];

describe("money", () => {
  it.each(TIMES)("from %s to %s is what a report says of it, the interval included, of all tenants and of each", async (from, to) => {
    for (const tenant_id of [undefined, "t0", "t1", "t2"]) {
      const asked = { from, to, ...(tenant_id === undefined ? {} : { tenant_id }) };
      const overview = await view(ConsoleOverview, "overview", asked);
      const whole = await report({ ...asked, by: "tier" });
      expect(apart(overview.range)).toEqual(apart({ ...whole.total, group: null }));
      expect(overview.baseline_tiers).toEqual(whole.baseline_tiers);
      const byGroup = (rows: readonly { group: string | null }[]) => [...rows].sort((a, b) => (String(a.group) < String(b.group) ? -1 : 1));
      expect(byGroup(overview.by_tier).map((row) => apart(row as typeof overview.range))).toEqual(byGroup(whole.rows).map((row) => apart(row as typeof overview.range)));
    }
  });

  it("of today and this month is that of the days of a time zone", async () => {
    for (const tz of ["UTC", "Asia/Kathmandu", "America/New_York"]) {
      const { today, month } = await view(ConsoleOverview, "overview", { tz });
      const day = (await report({ by: "day", tz, from: "2026-11-01" })).rows.find(({ group }) => group === new Intl.DateTimeFormat("sv-SE", { timeZone: tz }).format(NOW));
      expect([today.requests > 0, apart({ ...today, group: "" })]).toEqual([true, apart(day === undefined ? undefined : { ...day, group: "" })]);
      expect(apart(month)).toEqual(apart((await report({ by: "tier", tz })).total));
    }
  });

  it("with a tier is that of its group", async () => {
    const { range, by_tier } = await view(ConsoleOverview, "overview", { from: "2026-11-20T03:07:00Z", tier: "medium" });
    const group = (await report({ by: "tier", from: "2026-11-20T03:07:00Z", to: new Date(NOW).toISOString() })).rows.find((row) => row.group === "medium");
    expect([apart(range), by_tier.map(({ group: one }) => one)]).toEqual([apart(group), ["medium"]]);
  });

  it("by steps adds up to the whole, whatever their length", async () => {
    for (const [from, to] of [...TIMES, ["2026-11-27T00:00:00Z", "2026-11-28T13:20:00Z"], ["2026-11-28T01:00:00Z", "2026-11-28T09:00:00Z"]] as const) {
      const { buckets } = await view(ConsoleSeries, "series", { from, to });
      const { range, escalated } = await view(ConsoleOverview, "overview", { from, to });
      const sum = (of: (one: (typeof buckets)[number]) => string | number): string => String(buckets.reduce((total, one) => total + BigInt(of(one)), 0n));
      expect(buckets.length >= 24 && buckets.length <= 200).toBe(true);
      expect([sum((one) => one.total_nano_usd), sum((one) => one.baseline_nano_usd), sum((one) => one.net_saving_nano_usd), sum((one) => one.requests), sum((one) => one.cached), sum((one) => one.escalated), sum((one) => one.degraded)])
        .toEqual([range.total_nano_usd, range.baseline_nano_usd, range.net_saving_nano_usd, String(range.requests), String(range.cached), String(escalated), String(range.outcomes.degraded)]);
    }
  });
});

it("what triggers keep is what rows sum up to, as the migration fills it", async () => {
  for (const [table, rows, key, columns, sums, add] of [["request_hours", "ledger_requests", REQUEST_KEY, REQUEST_COLUMNS, requestSums, addRequests], ["line_hours", "ledger", LINE_KEY, LINE_COLUMNS, lineSums, addLines]] as const) {
    const kept = `SELECT ${[...key, ...columns].join(", ")} FROM ${table} ORDER BY ${key.join(", ")}`;
    const { rows: ofTenants } = await pool.query(`SELECT * FROM (${kept}) AS kept WHERE tenant_id <> '' ORDER BY ${key.join(", ")}`);
    expect(ofTenants.length).toBeGreaterThan(100);
    expect(ofTenants).toEqual((await pool.query(`${sums(rows, key)} ORDER BY ${key.join(", ")}`)).rows);
    const { rows: before } = await pool.query(kept);
    await inTransaction(pool, async (client) => {
      await client.query(`DELETE FROM ${table}`);
      await client.query(add(rows));
      expect((await client.query(kept)).rows).toEqual(before);
    });
  }
  const beside = "SELECT * FROM beside_requests ORDER BY request_id, tenant_id, at";
  const { rows: before } = await pool.query(beside);
  expect(before.length).toBeGreaterThan(150);
  await inTransaction(pool, async (client) => {
    await client.query("DELETE FROM beside_requests");
    await client.query(addBeside("ledger"));
    expect((await client.query(beside)).rows).toEqual(before);
  });
});

it("what was paid for a request before it was booked is brought together with it all the same", async () => {
  const at = "2026-09-10T10:00:00.000Z", range = { from: "2026-09-10T00:00:00Z", to: "2026-09-11T00:00:00Z" };
  const sink = makePool(database.url, "test", () => undefined, { service: "audit_sink" });
  const early = Array.from({ length: 40 }, (_, i): Completion => ({ ...completion(0), tenant_id: "early", request_id: `early${i}`, accepted_at_ms: Date.parse(at) + i * 1_000, completed_at_ms: Date.parse(at) + i * 1_000 + 50 }));
  const insertLines = makeBatchInsert(ledger);
  const shadows = early.map((event) => ShadowTierEvent.parse({ ...shadowTierFixture, is_shadow: true, tenant_id: "early", request_id: event.request_id, tier: "medium", model: "m", cost_nano_usd: 1 + draw(1e9), at_ms: event.accepted_at_ms + 100 }));
  await inTransaction(sink, (client) => insertLines(client, shadows.flatMap((event, i) => linesOfShadow(event, 10_000 + i))));
  await makeAuditWriter(sink).write(early.map((event, i) => toRows(event, 90_000 + i)));
  expect((await pool.query("SELECT 1 FROM beside_requests WHERE tenant_id = 'early'")).rowCount).toBe(0);
  const { range: found, by_tier } = await view(ConsoleOverview, "overview", range);
  const whole = await report({ ...range, by: "tier" });
  expect(found.net_saving_95).not.toBeNull();
  expect([found, by_tier.find(({ group }) => group === "medium")]).toEqual([whole.total, whole.rows.find(({ group }) => group === "medium")]);
  await sink.end();
});

it("flow has every request once at its beginning and once at its end", async () => {
  const asked = { from: "2026-11-20T10:30:00Z", to: "2026-11-27T10:30:00Z" };
  const { links } = await view(ConsoleFlow, "flow", asked);
  const { range } = await view(ConsoleOverview, "overview", asked);
  const sum = (of: (link: (typeof links)[number]) => boolean): number => links.filter(of).reduce((total, { requests }) => total + requests, 0);
  const isOutcome = (name: string): boolean => ["completed", "degraded", "failed", "rejected"].includes(name);
  expect([sum(({ from }) => from === "asked"), sum(({ to }) => isOutcome(to))]).toEqual([range.requests, range.requests]);
  expect(links.find(({ from, to }) => from === "asked" && to === "cache")?.requests).toBe(range.cached);
  for (const place of new Set(links.map(({ to }) => to).filter((to) => !isOutcome(to)))) expect(sum(({ to }) => to === place), place).toBe(sum(({ from }) => from === place));
});

const isWithinSlo = ({ outcome, latency_ms, latency_slo_ms = -1 }: Completion): boolean => (outcome === "completed" || outcome === "degraded") && latency_ms <= latency_slo_ms;

it("latencies are those of answered requests, within what a bucket is wide", async () => {
  const { rows, on_time } = await view(ConsoleLatency, "latency", { from: "2026-11-20T00:00:00Z", to: "2026-11-29T00:00:00Z" });
  const answered = events.filter(({ outcome }) => outcome === "completed" || outcome === "degraded").map(({ latency_ms }) => latency_ms).sort((a, b) => a - b);
  const exact = answered[Math.floor(answered.length * 0.95)] ?? 0;
  expect(rows[0]).toMatchObject({ tier: null, requests: answered.length });
  expect(rows[0]?.histogram.reduce((sum, { requests }) => sum + requests, 0)).toBe(answered.length);
  expect(Math.abs((rows[0]?.p95_ms ?? 0) / exact - 1)).toBeLessThan(0.3);
  const accepted = events.filter(({ outcome }) => outcome !== "rejected");
  expect(on_time).toEqual({ requests: accepted.length, within: accepted.filter(({ error }) => error?.code !== "deadline_exceeded").length });
  const sloOf = (of: readonly Completion[]) => { const asked = of.filter((event) => event.latency_slo_ms !== undefined); return { requests: asked.length, within: asked.filter(isWithinSlo).length }; };
  expect(rows.map(({ tier, slo }) => [tier, slo])).toEqual([[null, sloOf(events)], ...["large", "medium", "small"].map((tier) => [tier, sloOf(events.filter((event) => event.tier === tier))])]);
  expect(rows.every(({ slo }) => slo.within > 0 && slo.within < slo.requests)).toBe(true);
});

it("the frontier has each tier and each policy, and the baseline's own quality is 1", async () => {
  const { points, baseline_tier } = await view(ConsoleFrontier, "frontier", { from: "2026-11-20T00:00:00Z", to: "2026-11-29T00:00:00Z" });
  expect([baseline_tier, points.map(({ kind, label }) => `${kind} ${label}`).sort()]).toEqual([TIERS.baseline_tier, ["policy cascade", "policy cascade-routing", "tier large", "tier medium", "tier small"]]);
  expect(points.find(({ label }) => label === TIERS.baseline_tier)).toMatchObject({ quality: 1 });
  const small = points.find(({ label }) => label === "small");
  expect([small?.labels ?? 0, small?.lower, small?.quality, small?.upper].every((value, i, all) => i < 2 || (value ?? 0) >= (all[i - 1] as number) || i === 1)).toBe(true);
});

it("where there are no shadow labels, the frontier says how good those found the answers who got them", async () => {
  const isApart = ({ accepted_at_ms }: Completion) => !events.slice(0, 300).some((other) => Math.abs(other.accepted_at_ms - accepted_at_ms) < 61_000);
  const judged = events.slice(300).find((event) => event.tier !== null && isApart(event));
  if (judged === undefined) throw new Error("each request is near one with labels");
  for (const [source, score] of [["user", 1], ["judge", 0.4]] as const) {
    await pool.query("INSERT INTO feedback (tenant_id, request_id, source, score, stream_seq, at) VALUES ($1, $2, $3, $4, 1, $5)", [judged.tenant_id, judged.request_id, source, score, new Date(judged.accepted_at_ms + 90_000).toISOString()]);
  }
  const time = { from: new Date(judged.accepted_at_ms).toISOString(), to: new Date(judged.accepted_at_ms + 60_000).toISOString() };
  const { points, quality_by } = await view(ConsoleFrontier, "frontier", { ...time, tenant_id: judged.tenant_id });
  expect([quality_by, points.filter(({ labels }) => labels > 0)]).toMatchObject(["feedback", [{ kind: "policy", label: judged.policy, labels: 1, quality: 1, upper: 1 }]]);
  expect((await view(ConsoleFrontier, "frontier", { ...time, tenant_id: judged.tenant_id === "t0" ? "t1" : "t0" })).quality_by).toBe("agreement");
});

describe("the list of requests", () => {
  const ids = (query: Readonly<Record<string, string>>) => async (): Promise<string[]> => {
    const found: string[] = [];
    let before: string | null = null;
    do {
      const page: ConsoleRequests = await view(ConsoleRequests, "requests", { from: "2026-11-20T00:00:00Z", to: "2026-11-29T00:00:00Z", ...query, ...(before === null ? {} : { before }) });
      found.push(...page.requests.map(({ request_id }) => request_id));
      before = page.next;
    } while (before !== null);
    return found;
  };
  const expected = (is: (event: Completion) => boolean): string[] => events.filter(is).sort((a, b) => b.accepted_at_ms - a.accepted_at_ms || (a.request_id < b.request_id ? 1 : -1)).map(({ request_id }) => request_id);
  it.each<[string, Readonly<Record<string, string>>, (event: Completion) => boolean]>([
    ["all", { limit: "200" }, () => true],
    ["of a tier", { tier: "medium", limit: "37" }, ({ tier }) => tier === "medium"],
    ["that failed", { outcome: "failed", limit: "5" }, ({ outcome }) => outcome === "failed"],
    ["that were slow", { min_latency_ms: "7000", limit: "3" }, ({ latency_ms }) => latency_ms >= 7_000],
    ["that were answered within their SLO", { slo: "within", limit: "50" }, isWithinSlo],
    ["that missed it, of a tier", { slo: "missed", tier: "large", limit: "4" }, (one) => one.tier === "large" && one.latency_slo_ms !== undefined && !isWithinSlo(one)],
    ["that escalated, of a tenant and a policy", { tenant_id: "t1", policy: "cascade", escalated: "true" }, (one) => one.tenant_id === "t1" && one.policy === "cascade" && one.attempts.length > 1],
    ["that did not", { escalated: "false", limit: "100" }, ({ attempts }) => attempts.length < 2],
    ["of a time", { from: "2026-11-22T03:20:00Z", to: "2026-11-22T19:40:00Z", limit: "10" }, ({ accepted_at_ms }) => accepted_at_ms >= Date.parse("2026-11-22T03:20:00Z") && accepted_at_ms < Date.parse("2026-11-22T19:40:00Z")],
  ])("%s, page by page, has each once, the latest first", async (_what, query, is) => {
    expect(await ids(query)()).toEqual(expected(is));
  });

  it("finds one by its id, and has all that is known of it", async () => {
    const event = events.find(({ attempts, tenant_id }) => attempts.length === 3 && tenant_id === "t1") as Completion;
    expect((await view(ConsoleRequests, "requests", { request_id: event.request_id, limit: "10" })).requests).toMatchObject([{ tenant_id: "t1", request_id: event.request_id, attempts: 3, cost_nano_usd: String(event.cost_nano_usd) }]);
    const { completion: found, lines } = await view(ConsoleRequest, `requests/t1/${event.request_id}`);
    expect(found.attempts.map(({ tier }) => tier)).toEqual(["small", "medium", "large"]);
    expect(lines.filter(({ is_charged }) => is_charged).reduce((sum, { cost_nano_usd }) => sum + BigInt(cost_nano_usd), 0n)).toBe(BigInt(event.cost_nano_usd));
    expect((await ask("requests/t1/none")).status).toBe(404);
    expect((await ask("requests", { before: "nonsense" })).status).toBe(400);
  });
});

describe("who may see what", () => {
  it("without a key, or with one that asks models, nobody sees anything", async () => {
    expect([(await ask("overview", {}, "")).status, (await ask("overview", {}, "wrong")).status, (await ask("overview", {}, "key-that-asks")).status]).toEqual([401, 401, 403]);
  });

  it("a tenant's key sees its tenant alone", async () => {
    const range = { from: "2026-11-20T00:00:00Z", to: "2026-11-29T00:00:00Z" };
    const own = await view(ConsoleOverview, "overview", range, "key-of-t1");
    expect([own.tenants, own.range.requests]).toEqual([["t1"], events.filter(({ tenant_id }) => tenant_id === "t1").length]);
    const { requests } = await view(ConsoleRequests, "requests", { ...range, limit: "200" }, "key-of-t1");
    expect(new Set(requests.map(({ tenant_id }) => tenant_id))).toEqual(new Set(["t1"]));
    expect((await ask("overview", { tenant_id: "t2" }, "key-of-t1")).status).toBe(404);
    const other = events.find(({ tenant_id }) => tenant_id === "t2") as Completion;
    expect([(await ask(`requests/t2/${other.request_id}`, {}, "key-of-t1")).status, (await view(ConsoleRequests, "requests", { request_id: other.request_id }, "key-of-t1")).requests]).toEqual([404, []]);
  });

  it("the rows' own rights would hold a tenant to its rows whatever is asked, and nobody may write", async () => {
    const client = await reader.connect();
    try {
      await client.query("BEGIN; SET LOCAL ROLE infer_viewer; SELECT set_config('app.tenant', 't1', true)");
      for (const table of ["requests", "ledger", "ledger_requests", "request_hours", "line_hours", "attempts", "shadows"]) expect((await client.query<{ tenant_id: string }>(`SELECT DISTINCT tenant_id FROM ${table}`)).rows).toEqual([{ tenant_id: "t1" }]);
      await client.query("ROLLBACK; SET default_transaction_read_only = off");
      await expect(client.query("UPDATE tenants SET name = 'x'")).rejects.toThrow(/permission denied/);
      await expect(client.query("INSERT INTO request_hours (tenant_id) VALUES ('x')")).rejects.toThrow(/permission denied/);
    } finally {
      client.release();
    }
  });
});

it("budgets have their window, and what is not known of them is said so; of a tenant's key its own", async () => {
  const budgets = { tenant: { month: { usd: 500, kind: "hard" } } };
  for (const tenant_id of ["t1", "t2"]) await createTenant({ pool, tenantId: null }, { kind: "inferctl" }, NewTenant.parse({ tenant_id, settings: { budgets } }));
  const all = await view(ConsoleBudgets, "budgets");
  expect(all.budgets).toMatchObject(["t1", "t2"].map((tenant_id) => ({ tenant_id, scope: "tenant", window: "2026-11", limit_usd: 500, spent_usd: null, lambda_per_usd: null, elapsed: expect.closeTo((NOW - Date.parse("2026-11-01T00:00:00Z")) / (30 * 86_400_000), 6) as number })));
  expect((await view(ConsoleBudgets, "budgets", {}, "key-of-t1")).budgets.map(({ tenant_id }) => tenant_id)).toEqual(["t1"]);
});

it("a time that is none is refused", async () => {
  expect((await ask("overview", { from: "2026-11-20T00:00:00Z", to: "2026-11-20T00:00:00Z" })).status).toBe(400);
  expect((await ask("overview", { form: "2026-11-20T00:00:00Z" })).status).toBe(400);
});

it("until the page was built, its path says so", async () => {
  const answer = await app.inject({ url: "/console/requests" });
  expect([answer.statusCode, answer.json()]).toMatchObject([404, { error: { code: "not_found", message: expect.stringContaining("npm run build") as string } }]);
});
