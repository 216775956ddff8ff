/**
 * Reports over the books, with the rights of whoever asks. A group by tier or model has what was paid to it, and the baseline's cost of the
 * answers that it gave; any other group has its requests with all that was paid for them. So groups add up to the total, and the
 * total is the ledger's sum in that time.
 */
import type { PoolClient } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import type { Report, ReportBy, ReportQuery, Statement, StatementQuery } from "#shared/contracts/report.ts";
import { type Rights, withRights } from "#shared/tenancy/database.ts";

import { WITHIN_SLO } from "./hourSums.ts";
import { forecastOf, type Labels, rowOf, type Sums, togetherLabels, type Window } from "./figures.ts";

export interface ReportOptions {
  readonly nowMs: number;
  /** Longest time of one query; absent: the pool's. */
  readonly timeoutMs?: number;
}

export const readReport = (rights: Rights, query: ReportQuery, options: ReportOptions): Promise<Report> => reading(rights, options, async (client) => {
  const { by, tz, tenant_id = null, limit } = query;
  const window = await windowOf(client, query, options.nowMs);
  const values = [iso(window.fromMs), iso(window.toMs), tenant_id];
  const { rows: sums } = await client.query<Sums & { is_total: boolean; groups: string }>(sumsQuery(by), [...values, limit, ...(by === "day" ? [tz] : [])]);
  const { rows: labels } = await client.query<Labels>(labelsQuery(by), [...values, ...(by === "day" ? [tz] : [])]);
  const { rows: baselines } = await client.query<{ baseline_tier: string }>(BASELINES, values);
  const labelsOf = new Map(labels.map((one) => [one.group, one]));
  const rows = sums.filter(({ is_total }) => !is_total).map((one) => rowOf(one, labelsOf.get(one.group)));
  const whole = sums.find(({ is_total }) => is_total);
  if (whole === undefined) throw new Error("the total is of nothing, too");
  const total = rowOf(whole, togetherLabels(labels));
  return {
    by, from: iso(window.fromMs), to: iso(window.toMs), time_zone: tz, baseline_tiers: baselines.map(({ baseline_tier }) => baseline_tier),
    rows: by === "day" ? rows.sort((a, b) => ((a.group ?? "") < (b.group ?? "") ? -1 : 1)) : rows,
    rows_left_out: Number(whole.groups) - rows.length,
    total, forecast: forecastOf(total, window, options.nowMs),
  };
});

/** Two days: the longest deadline, and what is redelivered after an outage. */
const SETTLED_MS = 2 * 86_400_000;

export const readStatement = async (rights: Rights, { month, tz, tenant_id }: StatementQuery & { readonly tenant_id: string }, options: ReportOptions): Promise<Statement> => {
  const { total: summary, from, to } = await readReport(rights, { by: "tenant", from: `${month}-01`, tz, tenant_id, limit: 1, to: undefined }, options);
  const lines = await reading(rights, options, async (client) => (await client.query<Statement["lines"][number]>(LINES, [from, to, tenant_id])).rows);
  const sumOf = (isCharged: boolean): string => String(lines.filter(({ is_charged }) => is_charged === isCharged).reduce((sum, { cost_nano_usd }) => sum + BigInt(cost_nano_usd), 0n));
  return {
    tenant_id, month, from, to, time_zone: tz, is_final: options.nowMs > Date.parse(to) + SETTLED_MS,
    lines, charged_nano_usd: sumOf(true), not_charged_nano_usd: sumOf(false), summary: { ...summary, group: tenant_id },
  };
};

const iso = (epochMs: number) => new Date(epochMs).toISOString();
const [CANCELED, BAD_VALUE] = ["57014", "22023"];
async function reading<R>(rights: Rights, { timeoutMs }: ReportOptions, run: (client: PoolClient) => Promise<R>): Promise<R> {
  const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : undefined);
  try {
    return await withRights(rights, async (client) => {
      await client.query("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)");
      if (timeoutMs !== undefined) await client.query("SELECT set_config('statement_timeout', $1, true)", [String(timeoutMs)]);
      return run(client);
    });
  } catch (error) {
    if (codeOf(error) === BAD_VALUE) throw new AppError("invalid_request", "tz: Postgres does not know this time zone", { cause: error });
    if (error instanceof AppError && codeOf(error.cause) === CANCELED) throw new AppError("database_unavailable", "the report took too long: ask for a shorter time, or of one tenant", { cause: error.cause });
    if (error instanceof AppError && error.code === "database_unavailable") throw new AppError("database_unavailable", "the books cannot be read now", { cause: error.cause });
    throw error;
  }
}

async function windowOf(client: PoolClient, { from, to, tz }: Pick<ReportQuery, "from" | "to" | "tz">, nowMs: number): Promise<Window> {
  const { rows: [found] } = await client.query<{ from_at: Date; to_at: Date }>(
    `WITH asked AS (SELECT COALESCE(${momentOf("$1")}, date_trunc('month', $4::timestamptz AT TIME ZONE $3) AT TIME ZONE $3) AS from_at)
     SELECT from_at, COALESCE(${momentOf("$2")}, (date_trunc('month', from_at AT TIME ZONE $3) + interval '1 month') AT TIME ZONE $3) AS to_at FROM asked`, [from ?? null, to ?? null, tz, iso(nowMs)]);
  if (found === undefined) throw new Error("one row was selected"); // it was
  const window = { fromMs: found.from_at.getTime(), toMs: found.to_at.getTime() };
  if (window.fromMs >= window.toMs) throw new AppError("invalid_request", "to: must be after from");
  return window;
}
/** A day in the time zone, or a time with its offset. */
const momentOf = (value: string): string => `CASE WHEN length(${value}::text) = 10 THEN ${value}::text::timestamp AT TIME ZONE $3 ELSE ${value}::text::timestamptz END`;

const within = (one: string): string => `${one}.at >= $1::timestamptz AND ${one}.at < $2::timestamptz AND ($3::text IS NULL OR ${one}.tenant_id = $3)`;
/** Own lines do not know whose request it was, and may come before its row: it is looked up for those alone. */
const ofRequest = (one: string, column: "user_id" | "policy"): string =>
  `(SELECT r.${column} FROM ledger_requests r WHERE r.request_id = ${one}.request_id AND r.tenant_id = ${one}.tenant_id AND r.at <= ${one}.at ORDER BY r.at DESC LIMIT 1)`;

/**
 * By what a row of `ledger_requests`, `ledger` and `shadows` is grouped: a day is of the query's last parameter. `own`: lines that are in the group of
 * their request's row, whose sum that row has in `paid`, and that know it by themselves (`ownLine`).
 */
function groupOf(by: ReportBy, day: string): { readonly asked: string; readonly line: string; readonly label: string; readonly own: string; readonly ownLine?: string; readonly paid: string } {
  const whole = { own: OF_COMPLETION, paid: PAID_IN_ALL };
  switch (by) {
    case "tenant": return { asked: "q.tenant_id", line: "l.tenant_id", label: "s.tenant_id", ...whole };
    case "user": return { asked: "q.user_id", line: `COALESCE(l.user_id, ${ofRequest("l", "user_id")})`, label: ofRequest("s", "user_id"), ownLine: "l.user_id", ...whole };
    case "policy": return { asked: "q.policy", line: `COALESCE(l.policy, ${ofRequest("l", "policy")})`, label: "s.policy", ownLine: "l.policy", ...whole };
    case "tier": return { asked: "q.tier", line: "l.tier", label: "s.kept_tier", own: "l.is_to_answer_tier", paid: "q.paid_to_answer_tier_nano_usd" };
    case "model": return { asked: "q.model", line: "l.model", label: "s.kept_model", own: "l.is_to_answer_model", paid: "q.paid_to_answer_model_nano_usd" };
    case "day": {
      const dayOf = (one: string): string => `to_char(${one}.at AT TIME ZONE ${day}, 'YYYY-MM-DD')`;
      return { asked: dayOf("q"), line: dayOf("l"), label: dayOf("s"), ...whole };
    }
  }
}
const PAID_IN_ALL = "q.paid_nano_usd";
const OF_COMPLETION = "l.stream = 'COMPLETIONS'";

const COUNTED = ["requests", "completed", "degraded", "failed", "rejected", "unknown_baselines", "cached", "partly_known", "with_slo", "within_slo", "baseline", "cached_saved"] as const;
const PAID = ["attempt", "verification", "exploration", "shadow", "cache_audit", "waste"] as const;
const ANSWERED = "outcome IN ('completed', 'degraded')";
const outcomeIs = (outcome: string): string => `COALESCE(sum(n) FILTER (WHERE outcome = '${outcome}'), 0)`;
/** Over counts of requests of a kind. Without an answer nothing was saved. */
const OF_COUNTS: Readonly<Record<(typeof COUNTED)[number], string>> = {
  requests: "sum(n)", completed: outcomeIs("completed"), degraded: outcomeIs("degraded"), failed: outcomeIs("failed"), rejected: outcomeIs("rejected"),
  unknown_baselines: `COALESCE(sum(n) FILTER (WHERE ${ANSWERED} AND is_unknown), 0)`,
  cached: "COALESCE(sum(n) FILTER (WHERE is_cached), 0)",
  partly_known: "COALESCE(sum(n) FILTER (WHERE cost_is_partial), 0)",
  with_slo: "COALESCE(sum(with_slo), 0)",
  within_slo: "COALESCE(sum(within_slo), 0)",
  baseline: `COALESCE(sum(cost) FILTER (WHERE ${ANSWERED}), 0)`,
  cached_saved: `COALESCE(sum(cost) FILTER (WHERE ${ANSWERED} AND is_cached), 0)`,
};
const OF_LINES = PAID.map((kind) => `COALESCE(sum(cost) FILTER (WHERE kind = '${kind}'), 0) AS ${kind}`).join(", ");
/** Of a group, the unknown one, and the total: `grp` may be `null`, and joins by nothing. */
const KNOWN = "CASE WHEN grp IS NULL THEN 'n' ELSE 'v' || grp END";
const KEY = `CASE WHEN GROUPING(grp) = 1 THEN 't' ELSE ${KNOWN} END AS key`;
const TOTAL_TOO = "GROUP BY GROUPING SETS ((grp), ())";
const ofTotal = (total: string, group: string): string => `CASE WHEN GROUPING(grp) = 1 THEN ${total} ELSE ${group} END`;

/**
 * One statement, so that groups and total are of one moment. Sums are made of few counted kinds first, exactly. The spread is of one difference for each
 * request (of each group), and exact, so that the console's sums by the hour give the same: a request's row has what was paid for it (`net` of its group, `whole` of the total), so
 * only lines apart from it are brought together with it (`moved`: by how much they change number, sum and squares). Of those, a completion's own are in no group of its request's row. 200,000 requests: docs/benchmarks.md.
 */
function sumsQuery(by: ReportBy): string {
  const { asked, line, own, ownLine = line, paid } = groupOf(by, "$5::text");
  const gained = (cost: string): string => `CASE WHEN q.${ANSWERED} THEN COALESCE(q.baseline_cost_nano_usd, 0) ELSE 0 END - ${cost}`;
  const whole = paid === PAID_IN_ALL ? "net" : "whole"; // the same, and summed once
  const rows = `SELECT q.*, ${asked} AS grp, ${gained(paid)} AS net, ${gained("q.paid_nano_usd")} AS whole FROM ledger_requests q WHERE ${within("q")}`;
  const numbers = [...COUNTED, ...PAID].map((name) => `COALESCE(${name}, 0)::text AS ${name}`).join(", ");
  return `
    WITH asked AS (
      SELECT ${KEY}, ${COUNTED.map((name) => `${OF_COUNTS[name]} AS ${name}`).join(", ")}, ${ofTotal("sum(whole)", "sum(net)")} AS net, ${ofTotal("sum(whole_square)", "sum(square)")} AS square
      FROM (SELECT grp, outcome, cache IS NOT NULL AS is_cached, cost_is_partial, baseline_cost_nano_usd IS NULL AS is_unknown, count(*) AS n, count(latency_slo_ms) AS with_slo, count(*) FILTER (WHERE ${WITHIN_SLO}) AS within_slo, COALESCE(sum(baseline_cost_nano_usd), 0) AS cost,
          sum(net) AS net, sum(net::numeric * net) AS square, sum(${whole}) AS whole, sum(${whole}::numeric * ${whole}) AS whole_square
        FROM (${rows}) AS one GROUP BY 1, 2, 3, 4, 5) AS kinds ${TOTAL_TOO}
    ),
    apart AS MATERIALIZED (
      SELECT l.tenant_id, l.request_id, ${line} AS grp, l.kind, ${OF_COMPLETION} AS is_of_completion, sum(l.cost_nano_usd) AS cost FROM ledger l WHERE NOT (${own}) AND ${within("l")} GROUP BY 1, 2, 3, 4, 5
    ),
    paid AS (
      SELECT ${KEY}, sum(cost) AS paid, ${OF_LINES}
      FROM (SELECT ${ownLine} AS grp, l.kind, sum(l.cost_nano_usd) AS cost FROM ledger l WHERE ${own} AND ${within("l")} GROUP BY 1, 2 UNION ALL SELECT grp, kind, cost FROM apart) AS kinds ${TOTAL_TOO}
    ),
    lines AS MATERIALIZED (
      SELECT tenant_id, request_id, ${KNOWN} AS key, sum(cost) AS cost, bool_and(is_of_completion) AS are_of_completion FROM apart GROUP BY 1, 2, 3
      UNION ALL SELECT tenant_id, request_id, 't', sum(cost), false FROM apart WHERE NOT is_of_completion GROUP BY 1, 2
    ),
    moved AS (
      SELECT key, sum(1 - had) AS pairs, sum(-cost) AS net, sum((had_net - cost) * (had_net - cost) - had_square) AS square FROM (
        SELECT key, cost, 0 AS had, 0::numeric AS had_net, 0::numeric AS had_square FROM lines WHERE are_of_completion
        UNION ALL
        SELECT lines.key, lines.cost, count(one.request_id) AS had, COALESCE(sum(gain), 0) AS had_net, COALESCE(sum(gain::numeric * gain), 0) AS had_square
        FROM (SELECT * FROM lines WHERE NOT are_of_completion) AS lines
        LEFT JOIN LATERAL (SELECT rows.request_id, CASE WHEN lines.key = 't' THEN whole ELSE net END AS gain FROM (${rows}) AS rows
          WHERE rows.request_id = lines.request_id AND rows.tenant_id = lines.tenant_id AND lines.key IN ('t', ${KNOWN})) AS one ON true
        GROUP BY lines.tenant_id, lines.request_id, lines.key, lines.cost
      ) AS each_one GROUP BY key
    ),
    sums AS (
      SELECT key, ${[...COUNTED, ...PAID].join(", ")}, paid, COALESCE(requests, 0) + COALESCE(moved.pairs, 0) AS pairs, COALESCE(asked.net, 0) + COALESCE(moved.net, 0) AS net, COALESCE(asked.square, 0) + COALESCE(moved.square, 0) AS square
      FROM asked FULL JOIN (paid LEFT JOIN moved USING (key)) USING (key)
    )
    SELECT key = 't' AS is_total, CASE WHEN key LIKE 'v%' THEN substr(key, 2) END AS "group", pairs::text, net::text, square::text,
      ${numbers}, (count(*) OVER () - 1)::text AS groups
    FROM sums ORDER BY key = 't' DESC, ${by === "day" ? "" : "paid DESC NULLS LAST, "}2 LIMIT $4::int + 1`;
}

/** From this agreement on two answers are the same in most of their words, as audits of the cache have it too. */
export const AGREES_FROM = 0.5;
const labelsQuery = (by: ReportBy): string => `
  SELECT ${groupOf(by, "$4::text").label} AS "group", count(*)::int AS labels, (count(*) FILTER (WHERE s.agreement >= ${AGREES_FROM}))::int AS agreeing, avg(s.agreement) AS mean
  FROM shadows s WHERE s.agreement IS NOT NULL AND ${within("s")} GROUP BY 1`;

const BASELINES = `SELECT DISTINCT q.baseline_tier FROM ledger_requests q WHERE q.baseline_tier IS NOT NULL AND ${within("q")} ORDER BY 1`;
const LINES = `
  SELECT l.kind, l.tier, l.model, count(*)::int AS calls, sum(l.cost_nano_usd)::text AS cost_nano_usd, l.is_charged
  FROM ledger l WHERE ${within("l")} GROUP BY l.kind, l.tier, l.model, l.is_charged ORDER BY l.is_charged DESC, sum(l.cost_nano_usd) DESC, 1, 2, 3`;
