/**
 * The books summed: one text for the triggers that keep `request_hours` and `line_hours` (their migration has it as it was made from here), and for hours that a
 * time has only a part of, which are summed from the rows themselves. Sums are exact, so both give the same digits.
 */
import { LATENCY_BOUNDS_MS, latencyColumns } from "./latencyBuckets.ts";

const ANSWERED = "outcome IN ('completed', 'degraded')";
/** Of a request that named a latency SLO, whatever became of it: an answer came, and in time. */
export const WITHIN_SLO = `${ANSWERED} AND latency_ms <= latency_slo_ms`;
const PATH = "CASE WHEN cache IS NOT NULL THEN 'cache' WHEN attempted <> '' THEN '>' || replace(attempted, ',', '>') ELSE '' END";
const counted = (where: string): string => `(count(*) FILTER (WHERE ${where}))::int`;
const amount = (of: string, where = "true"): string => `COALESCE(sum(${of}) FILTER (WHERE ${where}), 0)`;

const GAIN = `CASE WHEN ${ANSWERED} THEN COALESCE(baseline_cost_nano_usd, 0) ELSE 0 END`;
/** What the baseline would have cost less what was paid for the request, and less what was paid to the tier that answered. */
export const NETS = `${GAIN} - paid_nano_usd AS net, ${GAIN} - paid_to_answer_tier_nano_usd AS net_of_tier`;

export const REQUEST_KEY = ["tenant_id", "hour", "tier", "policy", "path", "baseline_tier"] as const;
const REQUEST_SUMS: Readonly<Record<string, string>> = {
  completed: counted("outcome = 'completed'"), degraded: counted("outcome = 'degraded'"), failed: counted("outcome = 'failed'"), rejected: counted("outcome = 'rejected'"),
  late: counted("outcome = 'failed' AND error_code = 'deadline_exceeded'"),
  unknown_baselines: counted(`${ANSWERED} AND baseline_cost_nano_usd IS NULL`), partly_known: counted("cost_is_partial"),
  with_slo: counted("latency_slo_ms IS NOT NULL"), within_slo: counted(WITHIN_SLO),
  baseline_nano_usd: amount("baseline_cost_nano_usd", ANSWERED), paid_nano_usd: amount("paid_nano_usd"), paid_to_answer_tier_nano_usd: amount("paid_to_answer_tier_nano_usd"),
  net_square: amount("net::numeric * net"), net_of_tier_square: amount("net_of_tier::numeric * net_of_tier"),
  slowest_ms: "COALESCE(max(latency_ms), 0)",
  ...Object.fromEntries(latencyColumns.map((name, bucket) => [name, counted(`bucket = ${bucket}`)])),
};
export const REQUEST_COLUMNS = Object.keys(REQUEST_SUMS);

/** `key`: what to sum by, columns of a row (`at`, `hour`, `tenant_id`, `tier`, ...) or what is made of them. `rows`: of `ledger_requests`, with all its columns. */
export function requestSums(rows: string, key: readonly string[], columns: readonly string[] = REQUEST_COLUMNS): string {
  return `SELECT ${[...key, ...columns.map((name) => `${REQUEST_SUMS[name] ?? ""} AS ${name}`)].join(", ")}
  FROM (SELECT tenant_id, at, date_trunc('hour', at, 'UTC') AS hour, COALESCE(tier, '') AS tier, COALESCE(policy, '') AS policy, ${PATH} AS path, COALESCE(baseline_tier, '') AS baseline_tier,
      outcome, error_code, baseline_cost_nano_usd, cost_is_partial, paid_nano_usd, paid_to_answer_tier_nano_usd, latency_ms, latency_slo_ms, ${NETS},
      CASE WHEN ${ANSWERED} THEN width_bucket(latency_ms, ARRAY[${LATENCY_BOUNDS_MS.join(", ")}]) END AS bucket
    FROM ${rows} AS booked) AS one
  GROUP BY ${places(key)}`;
}
const places = (key: readonly string[]): string => key.map((_, i) => i + 1).join(", ");

export const LINE_KEY = ["tenant_id", "hour", "tier"] as const;
const KINDS = ["attempt", "verification", "exploration", "shadow", "cache_audit", "waste"] as const;
export const LINE_COLUMNS = [...KINDS, "calls", "apart", "apart_nano_usd", "apart_square"] as const;

/** Likewise of rows of `ledger`. What a completion paid to a tier that did not answer is brought together by request and tier first, since squares are of that. */
export function lineSums(rows: string, key: readonly string[]): string {
  const isApart = "stream = 'COMPLETIONS' AND NOT is_to_answer_tier";
  return `SELECT ${key.join(", ")}, ${KINDS.map((kind) => `sum(${kind}) AS ${kind}`).join(", ")}, sum(calls)::int AS calls,
    ${counted("apart > 0")} AS apart, COALESCE(sum(apart_nano_usd), 0) AS apart_nano_usd, COALESCE(sum(apart_nano_usd * apart_nano_usd), 0) AS apart_square
  FROM (SELECT tenant_id, at, date_trunc('hour', at, 'UTC') AS hour, tier, ${KINDS.map((kind) => `${amount("cost_nano_usd", `kind = '${kind}'`)} AS ${kind}`).join(", ")},
      count(*) FILTER (WHERE kind IN ('attempt', 'exploration')) AS calls, count(*) FILTER (WHERE ${isApart}) AS apart, sum(cost_nano_usd) FILTER (WHERE ${isApart}) AS apart_nano_usd
    FROM ${rows} AS booked GROUP BY tenant_id, request_id, at, tier) AS one
  GROUP BY ${places(key)}`;
}

/** Added to what is there, in the order of the key. */
function addedTo(table: string, key: readonly string[], columns: readonly string[], sums: string): string {
  const sets = columns.map((name) => `${name} = ${name === "slowest_ms" ? `GREATEST(kept.${name}, EXCLUDED.${name})` : `kept.${name} + EXCLUDED.${name}`}`);
  return `INSERT INTO ${table} AS kept (${[...key, ...columns].join(", ")})
  ${sums}
  ORDER BY ${key.join(", ")}
  ON CONFLICT (${key.join(", ")}) DO UPDATE SET ${sets.join(", ")}`;
}
/** Each row for its tenant and for all of them together. */
const twice = (columns: string, rows: string): string => `(SELECT shown.tenant_id, ${columns} FROM ${rows} AS row_of CROSS JOIN LATERAL (VALUES (row_of.tenant_id), ('')) AS shown(tenant_id))`;
const OF_REQUESTS = "at, tier, policy, cache, attempted, baseline_tier, outcome, error_code, baseline_cost_nano_usd, cost_is_partial, paid_nano_usd, paid_to_answer_tier_nano_usd, latency_ms, latency_slo_ms";
/** `rows`: the transition table of a trigger, or the table itself. */
export const addRequests = (rows: string): string => addedTo("request_hours", REQUEST_KEY, REQUEST_COLUMNS, requestSums(twice(OF_REQUESTS, rows), REQUEST_KEY));
/** An id is of one tenant alone, and two tenants may use the same: so it is told apart by both where all tenants are summed. */
export const addLines = (rows: string): string => addedTo("line_hours", LINE_KEY, LINE_COLUMNS, lineSums(twice("row_of.tenant_id || ' ' || request_id AS request_id, at, tier, kind, stream, is_to_answer_tier, cost_nano_usd", rows), LINE_KEY));
/** Of requests that lines beside completions are of. Looked for one by one, whatever the planner makes of the table of new rows. */
export const addBeside = (rows: string): string => `INSERT INTO beside_requests (tenant_id, request_id, at, tier, attempted, net, net_of_tier)
  SELECT asked.* FROM (SELECT DISTINCT tenant_id, request_id FROM ${rows} AS row_of WHERE stream <> 'COMPLETIONS') AS beside CROSS JOIN LATERAL (
    SELECT tenant_id, request_id, at, tier, attempted, ${NETS} FROM ledger_requests q WHERE q.request_id = beside.request_id AND q.tenant_id = beside.tenant_id OFFSET 0) AS asked
  ORDER BY asked.request_id, asked.tenant_id, asked.at ON CONFLICT DO NOTHING`;
