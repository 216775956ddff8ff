/** Rows of a report over any time, of all and by tier, from sums by the hour: what `shared/ledger/report.ts` says of it, to the digit. */
import type { ClientBase } from "pg";

import type { ReportRow } from "#shared/contracts/report.ts";
import { type Labels, rowOf, togetherLabels } from "#shared/ledger/figures.ts";
import { NETS } from "#shared/ledger/hourSums.ts";
import { AGREES_FROM } from "#shared/ledger/report.ts";

import { addUp, iso, readLineSums, readRequestSums, requestsOf, type Scope, type Sums } from "./readSums.ts";

export interface ReportRows {
  readonly total: ReportRow;
  /** What cost most first. */
  readonly byTier: readonly ReportRow[];
  readonly baselineTiers: readonly string[];
  /** By tier, policy, path and baseline tier. */
  readonly sums: readonly Sums[];
}

interface Moved {
  /** `null`: of the total. */
  readonly tier: string | null;
  readonly pairs: string;
  readonly net: string;
  readonly square: string;
}

/**
 * Lines beside completions, as of shadows and late runs: by how much they change number, sum and sum of squares of the differences of requests. They are few,
 * and may be of another hour than their request, so they are brought together with it here. `$1`, `$2`: the time; `$3`: the tenant.
 */
function movedQuery(tenantId: string | null, isByTier: boolean): string {
  const within = (one: string): string => `${one}.at >= $1 AND ${one}.at < $2${tenantId === null ? "" : ` AND ${one}.tenant_id = $3`}`;
  const lookUp = (table: string, of: string): string => `${table}.request_id = ${of}.request_id AND ${table}.tenant_id = ${of}.tenant_id`;
  const isWanted = `l.stream <> 'COMPLETIONS' AND ${within("l")}`;
  // `n`: a number for each request, since names are slow to compare, and compared many times.
  const total = `
    WITH whose AS MATERIALIZED (SELECT row_number() OVER () AS n, one.* FROM (SELECT l.tenant_id, l.request_id, sum(l.cost_nano_usd) AS cost FROM ledger l WHERE ${isWanted} GROUP BY 1, 2) AS one),
    kept AS MATERIALIZED (SELECT whose.n, one.at, one.tier, one.attempted, one.net, one.net_of_tier FROM whose LEFT JOIN beside_requests one ON ${lookUp("one", "whose")}),
    known AS MATERIALIZED (
      SELECT * FROM kept WHERE at IS NOT NULL
      UNION ALL
      SELECT whose.n, q.* FROM (SELECT n FROM kept WHERE at IS NULL) AS missing JOIN whose USING (n)
      CROSS JOIN LATERAL (SELECT at, tier, attempted, ${NETS} FROM ledger_requests WHERE ${lookUp("ledger_requests", "whose")} OFFSET 0) AS q),
    asked AS MATERIALIZED (SELECT * FROM known WHERE at >= $1 AND at < $2),
    total AS (
      SELECT whose.cost, count(asked.n) AS had, COALESCE(sum(net), 0) AS gained, COALESCE(sum(net * net), 0) AS square
      FROM whose LEFT JOIN asked USING (n) GROUP BY whose.n, whose.cost)`;
  const ofTotal = "SELECT NULL AS tier, sum(1 - had)::text AS pairs, sum(-cost)::text AS net, sum((gained - cost) * (gained - cost) - square)::text AS square FROM total HAVING count(*) > 0";
  if (!isByTier) return `${total} ${ofTotal}`;
  // A tier that was asked beside, and by the request as well without giving its answer: looked for where the request says that it was asked, or where it does not say.
  return `${total},
    beside AS MATERIALIZED (SELECT whose.n, l.tier, sum(l.cost_nano_usd) AS cost FROM ledger l JOIN whose USING (tenant_id, request_id) WHERE ${isWanted} GROUP BY 1, 2),
    twice AS MATERIALIZED (
      SELECT n, beside.tier, tenant_id, request_id FROM beside JOIN whose USING (n)
      WHERE NOT EXISTS (SELECT FROM known WHERE known.n = beside.n AND position(',' || beside.tier || ',' IN ',' || known.attempted || ',') = 0)),
    apart AS MATERIALIZED (
      SELECT n, tier, sum(cost) AS cost, count(*) AS pairs, sum(cost * cost) AS square FROM (
        SELECT n, tier, l.at, sum(l.cost_nano_usd) AS cost FROM twice CROSS JOIN LATERAL (
          SELECT one.at, one.cost_nano_usd FROM ledger one WHERE ${lookUp("one", "twice")} AND one.tier = twice.tier AND one.stream = 'COMPLETIONS' AND NOT one.is_to_answer_tier AND ${within("one")} OFFSET 0) AS l
        GROUP BY 1, 2, 3) AS each_one GROUP BY 1, 2),
    tiers AS (
      SELECT beside.tier, beside.cost, COALESCE(apart.cost, 0) AS apart, COALESCE(apart.pairs, 0) AS counted, COALESCE(apart.square, 0) AS apart_square,
        count(asked.n) AS had, COALESCE(sum(net_of_tier), 0) AS gained, COALESCE(sum(net_of_tier * net_of_tier), 0) AS square
      FROM beside LEFT JOIN apart USING (n, tier) LEFT JOIN asked USING (n, tier) GROUP BY beside.n, 1, 2, 3, 4, 5)
    ${ofTotal}
    UNION ALL
    SELECT tier, sum(1 - had - counted)::text, sum(-cost)::text, sum((gained - cost - apart) * (gained - cost - apart) - square - apart_square)::text FROM tiers GROUP BY tier`;
}

const labelsQuery = (tenantId: string | null): string => `
  SELECT kept_tier AS "group", count(*)::int AS labels, (count(*) FILTER (WHERE agreement >= ${AGREES_FROM}))::int AS agreeing, avg(agreement) AS mean
  FROM shadows WHERE agreement IS NOT NULL AND at >= $1 AND at < $2${tenantId === null ? "" : " AND tenant_id = $3"} GROUP BY 1`;

/** With a tier, `total` is the row of that tier, and the only one of `byTier`. Without `isByTier` rows of tiers have no interval that holds. */
export async function readReportRows(client: ClientBase, scope: Scope, { columns, isByTier = scope.tier !== null }: { readonly columns?: readonly string[]; readonly isByTier?: boolean } = {}): Promise<ReportRows> {
  const { span, tenantId, tier } = scope;
  const values = [iso(span.fromMs), iso(span.toMs), ...(tenantId === null ? [] : [tenantId])];
  const sums = await readRequestSums(client, scope, ["tier", "policy", "path", "baseline_tier"], columns === undefined ? {} : { columns });
  const lines = await readLineSums(client, scope, ["tier"]);
  const { rows: moved } = await client.query<Moved>(movedQuery(tenantId, isByTier), values);
  const { rows: labels } = await client.query<Labels>(labelsQuery(tenantId), values);
  const tiers = [...new Set([...sums, ...lines].map(({ key }) => String(key["tier"])).concat(moved.flatMap((one) => one.tier ?? [])))].filter((one) => tier === null || one === tier);
  const rows = tiers.map((one) => ({
    paid: addUp(lines.filter(({ key }) => key["tier"] === one), paidOf),
    row: rowOf(figuresOf(one, sums.filter(({ key }) => key["tier"] === one), lines.filter(({ key }) => key["tier"] === one), moved.find((of) => of.tier === one)), labels.find(({ group }) => group === one)),
  })).sort((a, b) => (a.paid === b.paid ? (String(a.row.group) < String(b.row.group) ? -1 : 1) : a.paid < b.paid ? 1 : -1)).map(({ row }) => row);
  const total = tier === null ? rowOf(figuresOf(null, sums, lines, moved.find((of) => of.tier === null)), togetherLabels(labels)) : (rows[0] ?? rowOf(figuresOf(tier, [], [], undefined), undefined));
  const baselineTiers = [...new Set(sums.map(({ key }) => String(key["baseline_tier"])))].filter((one) => one !== "").sort();
  return { total, byTier: isByTier ? rows : [], baselineTiers, sums };
}

const paidOf = ({ sum }: Sums): bigint => sum("attempt") + sum("verification") + sum("exploration") + sum("shadow") + sum("cache_audit") + sum("waste");
const isCached = ({ key }: Sums): boolean => key["path"] === "cache";

/** `tier`: `null` for the total. */
function figuresOf(tier: string | null, sums: readonly Sums[], lines: readonly Sums[], moved: Moved | undefined): Parameters<typeof rowOf>[0] {
  const of = (column: string): bigint => addUp(sums, ({ sum }) => sum(column));
  const paid = (column: string): bigint => addUp(lines, ({ sum }) => sum(column));
  const isTotal = tier === null;
  const net = of("baseline_nano_usd") - of(isTotal ? "paid_nano_usd" : "paid_to_answer_tier_nano_usd") - (isTotal ? 0n : paid("apart_nano_usd"));
  const square = of(isTotal ? "net_square" : "net_of_tier_square") + (isTotal ? 0n : paid("apart_square"));
  const text = (...names: readonly string[]) => Object.fromEntries(names.map((name) => [name, String(of(name))]));
  return {
    group: tier === "" ? null : tier, requests: String(addUp(sums, requestsOf)), ...text("completed", "degraded", "failed", "rejected", "unknown_baselines", "partly_known", "with_slo", "within_slo"),
    cached: String(addUp(sums.filter(isCached), requestsOf)), baseline: String(of("baseline_nano_usd")), cached_saved: String(addUp(sums.filter(isCached), ({ sum }) => sum("baseline_nano_usd"))),
    ...Object.fromEntries(["attempt", "verification", "exploration", "shadow", "cache_audit", "waste"].map((kind) => [kind, String(paid(kind))])),
    pairs: String(addUp(sums, requestsOf) + (isTotal ? 0n : paid("apart")) + BigInt(moved?.pairs ?? 0)), net: String(net + BigInt(moved?.net ?? 0)), square: String(square + BigInt(moved?.square ?? 0)),
  } as Parameters<typeof rowOf>[0];
}
