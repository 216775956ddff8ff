/**
 * Requests one by one, the latest first. Which hours have any of those that are asked for is known from `request_hours`, so only these are looked through,
 * and rare ones are found as fast as common ones.
 */
import type { ClientBase } from "pg";
import { z } from "zod";

import type { ConsoleRequestRow, ConsoleRequests, ConsoleRequestsQuery } from "#shared/contracts/console.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { WITHIN_SLO } from "#shared/ledger/hourSums.ts";

import { iso, type Scope } from "./readSums.ts";

const HOUR_MS = 3_600_000;
type Filters = Pick<ConsoleRequestsQuery, "outcome" | "policy" | "escalated" | "slo" | "min_latency_ms" | "before" | "limit">;

/** Of the last request of a page, by what pages are in the order of. */
const Place = z.tuple([z.iso.datetime(), z.string().max(128), z.string().max(128)]);
type Place = z.infer<typeof Place>;
const placeText = (place: Place): string => Buffer.from(JSON.stringify(place)).toString("base64url");
function placeIn(text: string): Place {
  try {
    return Place.parse(JSON.parse(Buffer.from(text, "base64url").toString("utf8")));
  } catch (cause) {
    throw new AppError("invalid_request", "before: is no `next` of a page", { cause });
  }
}

const COLUMNS = `r.tenant_id, r.request_id, r.user_id, r.outcome, r.degraded_reason, r.error_code, r.policy, r.task, r.tier, r.model, r.confidence, r.attempt_count AS attempts, r.cache IS NOT NULL AS is_cached,
  r.cost_nano_usd::text AS cost_nano_usd, r.baseline_cost_nano_usd::text AS baseline_cost_nano_usd, r.latency_ms, r.accepted_at, r.trace_id`;
type Row = Omit<ConsoleRequestRow, "accepted_at"> & { readonly accepted_at: Date };
const shown = ({ accepted_at, ...row }: Row): ConsoleRequestRow => ({ ...row, accepted_at: accepted_at.toISOString() });

export async function readRequestList(client: ClientBase, scope: Scope, filters: Filters): Promise<ConsoleRequests> {
  const { limit } = filters;
  const before = filters.before === undefined ? null : placeIn(filters.before);
  const hours = await hoursWithAny(client, scope, filters, before);
  const found: ConsoleRequestRow[] = [];
  // The hours that have enough by their sums; more of them where a filter is finer than sums are, or the first and the last are of the time in part only.
  for (let from = 0, wanted = limit + 1; from < hours.length && found.length <= limit;) {
    let to = from;
    for (let sum = 0; to < hours.length && sum < wanted; to++) sum += to === 0 ? 0 : (hours[to]?.requests ?? 0);
    found.push(...(await readHours(client, scope, filters, { before, hours: hours.slice(from, to), most: limit + 1 - found.length })));
    [from, wanted] = [to, wanted * 4];
  }
  const page = found.slice(0, limit);
  const last = page.at(-1);
  return { requests: page, next: found.length > limit && last !== undefined ? placeText([last.accepted_at, last.request_id, last.tenant_id]) : null };
}

interface Hour {
  readonly hour: Date;
  readonly requests: number;
}
async function hoursWithAny(client: ClientBase, { span, tenantId, tier }: Scope, { outcome, policy, escalated, slo, min_latency_ms }: Filters, before: Place | null): Promise<Hour[]> {
  const toMs = before === null ? span.toMs : Math.min(span.toMs, Date.parse(before[0]) + 1);
  const values: unknown[] = [tenantId ?? "", iso(Math.floor(span.fromMs / HOUR_MS) * HOUR_MS), iso(toMs)];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const wheres = [
    ...(tier === null ? [] : [`tier = ${bind(tier)}`]), ...(policy === undefined ? [] : [`policy = ${bind(policy)}`]),
    ...(escalated === undefined ? [] : [`path ${escalated === "true" ? "LIKE" : "NOT LIKE"} '>%>%'`]), ...(min_latency_ms === undefined ? [] : [`slowest_ms >= ${bind(min_latency_ms)}`]),
    ...(slo === undefined ? [] : [slo === "within" ? "within_slo > 0" : "with_slo > within_slo"]),
  ].map((one) => ` AND ${one}`).join("");
  const requests = outcome ?? "completed + degraded + failed + rejected"; // a name of a column, by its schema
  const { rows } = await client.query<Hour>(`SELECT hour, sum(${requests})::int AS requests FROM request_hours WHERE tenant_id = $1 AND hour >= $2 AND hour < $3${wheres} GROUP BY hour HAVING sum(${requests}) > 0 ORDER BY hour DESC`, values);
  return rows;
}

async function readHours(client: ClientBase, { span, tenantId, tier }: Scope, { outcome, policy, escalated, slo, min_latency_ms }: Filters, { before, hours, most }: { readonly before: Place | null; readonly hours: readonly Hour[]; readonly most: number }): Promise<ConsoleRequestRow[]> {
  const values: unknown[] = [hours.map(({ hour }) => hour.toISOString()), iso(span.fromMs), iso(span.toMs), most];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const wheres = [
    ...(tenantId === null ? [] : [`q.tenant_id = ${bind(tenantId)}`]), ...(tier === null ? [] : [`q.tier = ${bind(tier)}`]), ...(policy === undefined ? [] : [`q.policy = ${bind(policy)}`]),
    ...(outcome === undefined ? [] : [`q.outcome = ${bind(outcome)}`]), ...(escalated === undefined ? [] : [`${escalated === "true" ? "" : "NOT "}COALESCE(q.cache IS NULL AND q.attempted LIKE '%,%', false)`]),
    ...(min_latency_ms === undefined ? [] : [`q.latency_ms >= ${bind(min_latency_ms)}`]),
    ...(slo === undefined ? [] : [slo === "within" ? `(${WITHIN_SLO})` : `q.latency_slo_ms IS NOT NULL AND NOT (${WITHIN_SLO})`]),
    ...(before === null ? [] : [`q.at <= ${bind(before[0])}`, `(q.at, q.request_id, q.tenant_id) < (${before.map(bind).join(", ")})`]),
  ].map((one) => ` AND ${one}`).join("");
  // The audit forgets sooner than the books, and has the first use of an id alone. As a value the look-up is made row by row, and never for more than a page.
  const { rows } = await client.query<Row>(`
    WITH page AS MATERIALIZED (
      SELECT picked.* FROM unnest($1::timestamptz[]) AS one(hour) CROSS JOIN LATERAL (
        SELECT q.at, q.request_id, q.tenant_id FROM ledger_requests q
        WHERE q.at >= GREATEST(one.hour, $2::timestamptz) AND q.at < LEAST(one.hour + interval '1 hour', $3::timestamptz)${wheres}
          AND (SELECT true FROM requests r WHERE r.request_id = q.request_id AND r.tenant_id = q.tenant_id AND r.accepted_at = q.at)
        ORDER BY q.at DESC, q.request_id DESC, q.tenant_id DESC LIMIT $4) AS picked
      ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT $4)
    SELECT ${COLUMNS} FROM page JOIN requests r ON r.request_id = page.request_id AND r.tenant_id = page.tenant_id AND r.accepted_at = page.at ORDER BY page.at DESC, page.request_id DESC, page.tenant_id DESC`, values);
  return rows.map(shown);
}

/** Of whatever tenant uses this id. */
export async function findRequests(client: ClientBase, requestId: string, tenantId: string | null): Promise<ConsoleRequests> {
  const { rows } = await client.query<Row>(`SELECT ${COLUMNS} FROM requests r WHERE r.request_id = $1 AND ($2::text IS NULL OR r.tenant_id = $2) ORDER BY r.accepted_at DESC LIMIT 200`, [requestId, tenantId]);
  return { requests: rows.map(shown), next: null };
}

/** Where the audit is: the sequence in COMPLETIONS of what ended last. `null`: it has nothing. */
export async function latestSequence(client: ClientBase): Promise<number | null> {
  const { rows: [row] } = await client.query<{ seq: string }>("SELECT stream_seq AS seq FROM requests ORDER BY completed_at DESC LIMIT 1");
  return row === undefined ? null : Number(row.seq);
}
export interface Written {
  readonly seq: number;
  readonly tenantId: string;
  readonly tier: string | null;
}
export async function writtenAfter(client: ClientBase, seq: number, most: number): Promise<Written[]> {
  const { rows } = await client.query<{ seq: string; tenant_id: string; tier: string | null }>("SELECT stream_seq AS seq, tenant_id, tier FROM requests WHERE stream_seq > $1 ORDER BY stream_seq LIMIT $2", [seq, most]);
  return rows.map((row) => ({ seq: Number(row.seq), tenantId: row.tenant_id, tier: row.tier }));
}
export async function readBySequence(client: ClientBase, seqs: readonly number[]): Promise<(ConsoleRequestRow & { readonly seq: number })[]> {
  const { rows } = await client.query<Row & { seq: string }>(`SELECT ${COLUMNS}, r.stream_seq AS seq FROM requests r WHERE r.stream_seq = ANY($1::bigint[]) ORDER BY r.stream_seq`, [seqs]);
  return rows.map(({ seq, ...row }) => ({ ...shown(row as Row), seq: Number(seq) }));
}
