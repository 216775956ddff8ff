/** What the page shows of the books, view by view. */
import type { ClientBase } from "pg";

import type { ConsoleFlow, ConsoleFrontier, ConsoleLatency, ConsoleOverview, ConsoleSeries } from "#shared/contracts/console.ts";
import { LATENCY_BOUNDS_MS, latencyColumns, quantileOf } from "#shared/ledger/latencyBuckets.ts";
import { AGREES_FROM } from "#shared/ledger/report.ts";
import { windowOf } from "#shared/ledger/windows.ts";
import { clopperPearson } from "#shared/statistics/clopperPearson.ts";

import { addCounts, addUp, iso, latenciesOf, readLineSums, readRequestSums, requestsOf, type Scope, type Sums, WITH_LATENCIES } from "./readSums.ts";
import { readReportRows } from "./reportRows.ts";
import { stepsOf } from "./timeSpan.ts";

const answeredOf = ({ sum }: Sums): number => Number(sum("completed") + sum("degraded"));
const pathOf = ({ key }: Sums): string => String(key["path"] ?? "");
/** Tiers of the attempts. */
const attemptedIn = (path: string): string[] => (path.startsWith(">") ? path.slice(1).split(">") : []);
const isEscalated = (one: Sums): boolean => attemptedIn(pathOf(one)).length > 1;
const toNumber = (all: readonly Sums[], of: (one: Sums) => bigint): number => Number(addUp(all, of));

/** In milliseconds; `null`: nothing was answered. */
const rounded = (ms: number | null): number | null => (ms === null ? null : Math.round(ms * 10) / 10);
const quantiles = (counts: readonly number[]) => ({ p50: rounded(quantileOf(counts, 0.5)), p95: rounded(quantileOf(counts, 0.95)), p99: rounded(quantileOf(counts, 0.99)) });

/** A transaction of its own, so that several run side by side. */
export type Reading = <R>(run: (client: ClientBase) => Promise<R>) => Promise<R>;

export async function readOverview(reading: Reading, scope: Scope, { nowMs, tz }: { readonly nowMs: number; readonly tz: string }): Promise<Omit<ConsoleOverview, "model_version" | "floor" | "tiers">> {
  const [day, month] = (["day", "month"] as const).map((kind) => windowOf(kind, nowMs, tz)) as [ReturnType<typeof windowOf>, ReturnType<typeof windowOf>];
  const inWindow = ({ startsAtMs, endsAtMs }: typeof day): Scope => ({ ...scope, span: { fromMs: startsAtMs, toMs: endsAtMs } });
  const [range, { total: today }, { total: thisMonth }, tenants] = await Promise.all([
    reading((client) => readReportRows(client, scope, { columns: WITH_LATENCIES, isByTier: true })),
    reading((client) => readReportRows(client, inWindow(day))), reading((client) => readReportRows(client, inWindow(month))), reading(tenantsOf),
  ]);
  return {
    at: iso(nowMs), from: iso(scope.span.fromMs), to: iso(scope.span.toMs), baseline_tiers: [...range.baselineTiers],
    today, month: thisMonth, range: range.total, by_tier: [...range.byTier],
    latency_ms: quantiles(addCounts(range.sums.map(latenciesOf))),
    escalated: toNumber(range.sums.filter(isEscalated), requestsOf),
    // Narrowed to one tenant, a page still offers the others, to whom sees them.
    tenants: tenants.length === 0 && scope.tenantId !== null ? [scope.tenantId] : tenants,
  };
}

const MOST_TENANTS = 1_000;
/** From one tenant the index leads to the next. */
const TENANTS = `
  WITH RECURSIVE seen(tenant_id, place) AS (
    (SELECT tenant_id, 1 FROM request_hours WHERE tenant_id > '' ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant_id FROM request_hours AS next WHERE next.tenant_id > seen.tenant_id ORDER BY tenant_id LIMIT 1), place + 1 FROM seen WHERE tenant_id IS NOT NULL AND place < ${MOST_TENANTS})
  SELECT tenant_id FROM seen WHERE tenant_id IS NOT NULL`;
const tenantsOf = async (client: ClientBase): Promise<string[]> => (await client.query<{ tenant_id: string }>(TENANTS)).rows.map(({ tenant_id }) => tenant_id);

const HOUR_MS = 3_600_000;
export async function readSeries(client: ClientBase, scope: Scope): Promise<ConsoleSeries> {
  const { stepMs, firstMs, count } = stepsOf(scope.span);
  const step = { stepMs, firstMs };
  const lessThanHours = stepMs < HOUR_MS;
  const requests = byStep(await readRequestSums(client, scope, [step, "path"], { columns: WITH_LATENCIES, lessThanHours }));
  const lines = byStep(await readLineSums(client, scope, [step], { lessThanHours }));
  return {
    step_s: stepMs / 1_000,
    buckets: Array.from({ length: count }, (_, i) => {
      const asked = requests.get(i) ?? [];
      const total = addUp(lines.get(i) ?? [], paidOf), baseline = addUp(asked, ({ sum }) => sum("baseline_nano_usd"));
      const of = (column: string) => toNumber(asked, ({ sum }) => sum(column));
      const { p50, p95 } = quantiles(addCounts(asked.map(latenciesOf)));
      return {
        at: iso(firstMs + i * stepMs), requests: toNumber(asked, requestsOf), completed: of("completed"), degraded: of("degraded"), failed: of("failed"), rejected: of("rejected"),
        cached: toNumber(asked.filter((one) => pathOf(one) === "cache"), requestsOf), escalated: toNumber(asked.filter(isEscalated), requestsOf),
        total_nano_usd: String(total), baseline_nano_usd: String(baseline), net_saving_nano_usd: String(baseline - total), latency_ms_p50: p50, latency_ms_p95: p95,
      };
    }),
  };
}
const paidOf = ({ sum }: Sums): bigint => ["attempt", "verification", "exploration", "shadow", "cache_audit", "waste"].reduce((total, kind) => total + sum(kind), 0n);
function byStep(all: readonly Sums[]): Map<number, Sums[]> {
  const steps = new Map<number, Sums[]>();
  for (const one of all) {
    const at = Number(one.key["step"]);
    steps.set(at, [...(steps.get(at) ?? []), one]);
  }
  return steps;
}

const OUTCOMES = ["completed", "degraded", "failed", "rejected"] as const;
export async function readFlow(client: ClientBase, scope: Scope): Promise<ConsoleFlow> {
  const links = new Map<string, { from: string; to: string; requests: number }>();
  const add = (from: string, to: string, requests: number): void => {
    const found = links.get(`${from} ${to}`) ?? { from, to, requests: 0 };
    links.set(`${from} ${to}`, { ...found, requests: found.requests + requests });
  };
  for (const one of await readRequestSums(client, scope, ["path"])) {
    const places = pathOf(one) === "cache" ? ["asked", "cache"] : ["asked", ...attemptedIn(pathOf(one)).map((tier, i) => `${i + 1}:${tier}`)];
    const requests = Number(requestsOf(one));
    if (requests === 0) continue;
    places.slice(1).forEach((to, i) => { add(places[i] ?? "asked", to, requests); });
    for (const outcome of OUTCOMES) if (one.sum(outcome) > 0n) add(places.at(-1) ?? "asked", outcome, Number(one.sum(outcome)));
  }
  return { links: [...links.values()] };
}

export async function readLatency(client: ClientBase, scope: Scope): Promise<ConsoleLatency> {
  const sums = await readRequestSums(client, scope, ["tier"], { columns: [...latencyColumns, ...OUTCOMES, "late", "with_slo", "within_slo"] });
  const rowOf = (tier: string | null, of: readonly Sums[]): ConsoleLatency["rows"][number] => {
    const counts = addCounts(of.map(latenciesOf));
    const { p50, p95, p99 } = quantiles(counts);
    const slo = { requests: toNumber(of, ({ sum }) => sum("with_slo")), within: toNumber(of, ({ sum }) => sum("within_slo")) };
    return { tier, requests: of.reduce((total, one) => total + answeredOf(one), 0), p50_ms: p50, p95_ms: p95, p99_ms: p99, slo, histogram: counts.map((requests, i) => ({ below_ms: LATENCY_BOUNDS_MS[i] ?? null, requests })) };
  };
  const tiers = [...new Set(sums.map(({ key }) => String(key["tier"])))].filter((tier) => tier !== "").sort();
  const accepted = toNumber(sums, (one) => requestsOf(one) - one.sum("rejected"));
  return {
    rows: [rowOf(null, sums), ...tiers.map((tier) => rowOf(tier, sums.filter(({ key }) => key["tier"] === tier)))],
    on_time: { requests: accepted, within: accepted - toNumber(sums, ({ sum }) => sum("late")) },
  };
}

/** What each tier answered to the same requests, wherever it was asked, as labels have it; and answers that each policy kept. */
const LABELS = (tenant: string): string => `
  SELECT 'policy' AS kind, policy AS label, count(*)::int AS labels, (count(*) FILTER (WHERE agreement >= ${AGREES_FROM}))::int AS agreeing
  FROM shadows WHERE agreement IS NOT NULL AND at >= $1 AND at < $2${tenant} GROUP BY 2
  UNION ALL
  SELECT 'tier', call ->> 'tier', count(*)::int, (count(*) FILTER (WHERE (call ->> 'agreement_with_baseline')::float8 >= ${AGREES_FROM}))::int
  FROM (SELECT tiers FROM shadows WHERE agreement IS NOT NULL AND at >= $1 AND at < $2${tenant} ORDER BY at DESC LIMIT 5000) AS latest CROSS JOIN LATERAL jsonb_array_elements(tiers) AS call
  WHERE call ->> 'agreement_with_baseline' IS NOT NULL GROUP BY 2`;

/** What those who got an answer said of it. */
const JUDGED = (tenant: string): string => `
  SELECT 'policy' AS kind, r.policy AS label, count(*)::int AS labels, (count(*) FILTER (WHERE f.score >= 0.5))::int AS agreeing
  FROM (SELECT tenant_id, request_id, avg(score) AS score FROM (SELECT tenant_id, request_id, score FROM feedback WHERE at >= $1${tenant} ORDER BY at DESC LIMIT 10000) AS latest GROUP BY 1, 2) AS f
  JOIN requests r ON r.request_id = f.request_id AND r.tenant_id = f.tenant_id
  WHERE r.policy IS NOT NULL AND r.accepted_at >= $1 AND r.accepted_at < $2 GROUP BY r.policy`;

interface Label {
  readonly kind: "tier" | "policy";
  readonly label: string;
  readonly labels: number;
  readonly agreeing: number;
}
export async function readFrontier(client: ClientBase, scope: Scope, { floor, baselineTier }: { readonly floor: number | null; readonly baselineTier: string }): Promise<ConsoleFrontier> {
  const { span, tenantId, tier } = scope;
  const sums = await readRequestSums(client, scope, ["policy", "baseline_tier", "path"]);
  const lines = await readLineSums(client, { ...scope, tier: null }, ["tier"]);
  const ofTenant = tenantId === null ? "" : " AND tenant_id = $3";
  const values = [iso(span.fromMs), iso(span.toMs), ...(tenantId === null ? [] : [tenantId])];
  const { rows: shadowed } = await client.query<Label>(LABELS(ofTenant), values);
  const judged = shadowed.length > 0 ? [] : (await client.query<Label>(JUDGED(ofTenant), values)).rows;
  const labels = judged.length > 0 ? judged : shadowed;
  const point = (kind: "tier" | "policy", label: string, requests: number, cost: bigint): ConsoleFrontier["points"][number][] => {
    if (requests === 0) return [];
    const found = labels.find((one) => one.kind === kind && one.label === label);
    const isBaseline = kind === "tier" && label === baselineTier && judged.length === 0;
    const interval = isBaseline ? { lower: 1, upper: 1 } : found === undefined ? null : clopperPearson(found.agreeing, found.labels);
    return [{
      label, kind, requests, labels: found?.labels ?? 0, cost_nano_usd_per_request: Number(cost) / requests,
      quality: isBaseline ? 1 : found === undefined ? null : found.agreeing / found.labels, lower: interval?.lower ?? null, upper: interval?.upper ?? null,
    }];
  };
  const policies = [...new Set(sums.map(({ key }) => String(key["policy"])))].filter((policy) => policy !== "").sort();
  const known = sums.filter(({ key }) => key["baseline_tier"] === baselineTier);
  const answered = known.reduce((total, one) => total + answeredOf(one) - Number(one.sum("unknown_baselines")), 0);
  const ofTier = (one: Sums) => {
    const name = String(one.key["tier"]);
    // Of the baseline it is known what the same questions would have cost, all of them; of other tiers only what those cost that they were asked.
    if ((tier !== null && tier !== name) || (name === baselineTier && answered > 0)) return [];
    return point("tier", name, Number(one.sum("calls")), one.sum("attempt") + one.sum("verification") + one.sum("exploration"));
  };
  return {
    baseline_tier: baselineTier, floor, quality_by: judged.length > 0 ? "feedback" : "agreement",
    points: [
      ...lines.flatMap(ofTier), ...point("tier", baselineTier, answered, addUp(known, ({ sum }) => sum("baseline_nano_usd"))),
      ...policies.flatMap((policy) => {
        const own = sums.filter(({ key }) => key["policy"] === policy);
        return point("policy", policy, toNumber(own, requestsOf), addUp(own, ({ sum }) => sum("paid_nano_usd")));
      }),
    ],
  };
}
