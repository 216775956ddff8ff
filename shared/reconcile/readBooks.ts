/** What Postgres says about what streams hold: of ids, of places in COMPLETIONS, of days. Throws `database_unavailable`. */
import type { Pool, QueryResultRow } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import type { Erasures } from "#shared/erasure/erasures.ts";
import { readErasures } from "#shared/erasure/readErasures.ts";
import { GLOBAL } from "#shared/ledger/accounts.ts";
import { type Id, tokens } from "#shared/messaging/topology.ts";

import type { BookedDay } from "./compareBill.ts";
import type { AuditRow, BookedRow, LineRow } from "./compareOutcomes.ts";

const columns = (keys: readonly Id[]): [string[], string[]] => [keys.map(({ tenant_id }) => tenant_id), keys.map(({ request_id }) => request_id)];
/** Each id once. */
const ASKED = "(SELECT DISTINCT tenant_id, request_id FROM unnest($1::text[], $2::text[]) AS one(tenant_id, request_id)) AS asked";
const MS = (time: string): string => `round(extract(epoch FROM ${time}) * 1000)::float8`;

async function rowsOf<R extends QueryResultRow>(pool: Pool, what: string, text: string, values: readonly unknown[]): Promise<R[]> {
  try {
    return (await pool.query<R>(text, [...values])).rows;
  } catch (cause) {
    throw new AppError("database_unavailable", `${what} cannot be read`, { cause });
  }
}

const AUDIT = `SELECT r.tenant_id, r.request_id, r.stream_seq::float8 AS stream_seq, r.outcome, r.cost_nano_usd::float8 AS cost, a.attempts, a.attempts_cost AS "attemptsCost"`;
const ATTEMPTS = `CROSS JOIN LATERAL (SELECT count(*)::int AS attempts, COALESCE(sum(a.cost_nano_usd), 0)::float8 AS attempts_cost FROM attempts a WHERE a.request_id = r.request_id AND a.tenant_id = r.tenant_id) AS a`;

export const readAudit = (pool: Pool, keys: readonly Id[]): Promise<AuditRow[]> =>
  rowsOf(pool, "the audit", `${AUDIT} FROM ${ASKED} JOIN requests r USING (tenant_id, request_id) ${ATTEMPTS}`, columns(keys));

/** Rows of events of this stream: what ended before it was made is of one before it. */
export interface OfStream {
  readonly createdAt: string;
  readonly tenantId?: string | undefined;
}
const OF_STREAM = "r.completed_at >= $2::timestamptz AND ($3::text IS NULL OR r.tenant_id = $3)";
/** Rows that say they are from one of these places in COMPLETIONS. */
export const readAuditAt = (pool: Pool, seqs: readonly number[], { createdAt, tenantId }: OfStream): Promise<AuditRow[]> =>
  rowsOf(pool, "the audit", `${AUDIT} FROM requests r ${ATTEMPTS} WHERE r.stream_seq = ANY($1::bigint[]) AND ${OF_STREAM}`, [seqs, createdAt, tenantId ?? null]);
/** Rows from places after the last one. */
export const readAuditBeyond = (pool: Pool, lastSeq: number, { createdAt, tenantId }: OfStream): Promise<AuditRow[]> =>
  rowsOf(pool, "the audit", `${AUDIT} FROM requests r ${ATTEMPTS} WHERE r.stream_seq > $1 AND ${OF_STREAM} ORDER BY r.stream_seq LIMIT 1000`, [lastSeq, createdAt, tenantId ?? null]);

export const readBooked = (pool: Pool, keys: readonly Id[]): Promise<BookedRow[]> =>
  rowsOf(pool, "the books", `SELECT q.tenant_id, q.request_id, ${MS("q.at")} AS at_ms, q.outcome FROM ${ASKED} JOIN ledger_requests q USING (tenant_id, request_id)`, columns(keys));

const LINE = `l.tenant_id, l.request_id, l.kind, l.part, ${MS("l.at")} AS at_ms, l.cost_nano_usd::float8 AS cost, l.is_charged`;
export const readLines = (pool: Pool, keys: readonly Id[], stream: string): Promise<LineRow[]> =>
  rowsOf(pool, "the ledger", `SELECT ${LINE} FROM ${ASKED} JOIN ledger l USING (tenant_id, request_id) WHERE l.stream = $3`, [...columns(keys), stream]);

const LONE = `SELECT ${LINE} FROM ledger l
  WHERE l.stream = 'COMPLETIONS' AND NOT EXISTS (SELECT 1 FROM ledger_requests q WHERE q.request_id = l.request_id AND q.tenant_id = l.tenant_id AND q.at = l.at)`;
/** Lines booked from COMPLETIONS, of no request in the books. Line and request are written in one transaction. */
export const readLoneLines = (pool: Pool, { fromMs, toMs, tenantId, most }: { readonly fromMs: number; readonly toMs: number; readonly tenantId?: string | undefined; readonly most: number }): Promise<LineRow[]> =>
  rowsOf(pool, "the ledger", `${LONE} AND l.at >= $1 AND l.at < $2 AND ($3::text IS NULL OR l.tenant_id = $3) ORDER BY l.at LIMIT $4`, [new Date(fromMs), new Date(toMs), tenantId ?? null, most]);
export const readLoneLinesOf = (pool: Pool, keys: readonly Id[]): Promise<LineRow[]> =>
  rowsOf(pool, "the ledger", `${LONE} AND (l.tenant_id, l.request_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))`, columns(keys));

/** Those of the requests, accepted at their time (epoch milliseconds) or later, that are in the books. An id may have been used before. As `tokens` has them. */
export async function readEnded(pool: Pool, asked: readonly (Id & { readonly acceptedAtMs: number })[]): Promise<ReadonlySet<string>> {
  const rows = await rowsOf<{ place: number }>(pool, "the books",
    `SELECT place::int AS place FROM unnest($1::text[], $2::text[], $3::timestamptz[]) WITH ORDINALITY AS one(tenant_id, request_id, accepted_at, place)
     WHERE EXISTS (SELECT 1 FROM ledger_requests q WHERE q.request_id = one.request_id AND q.tenant_id = one.tenant_id AND q.at >= one.accepted_at)`,
    [...columns(asked), asked.map(({ acceptedAtMs }) => new Date(acceptedAtMs))]);
  return new Set(rows.flatMap(({ place }) => asked[place - 1] ?? []).map(tokens));
}

/** All lines by day (UTC) and model; nano-dollars. `from` and `to` are days, both included. */
export async function readDays(pool: Pool, { from, to }: { readonly from: string; readonly to: string }): Promise<BookedDay[]> {
  const rows = await rowsOf<{ day: string; model: string; cost: string }>(pool, "the ledger",
    `SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, model, sum(cost_nano_usd)::text AS cost FROM ledger
     WHERE at >= $1::date AT TIME ZONE 'UTC' AND at < ($2::date + 1) AT TIME ZONE 'UTC' GROUP BY 1, 2`, [from, to]);
  return rows.map(({ day, model, cost }) => ({ day, model, cost: BigInt(cost) }));
}

export interface TenantRules {
  /** Days for which a tenant's audit rows are kept, where it has a time of its own. */
  readonly days: ReadonlyMap<string, number>;
  readonly erasures: Erasures;
}
export async function readTenantRules(pool: Pool): Promise<TenantRules> {
  const rows = await rowsOf<{ tenant_id: string; days: number }>(pool, "the tenants", "SELECT tenant_id, (settings #>> '{retention,days}')::int AS days FROM tenants WHERE settings #>> '{retention,days}' IS NOT NULL", []);
  return { days: new Map(rows.map(({ tenant_id, days }) => [tenant_id, days])), erasures: await readErasures(pool) };
}

/** What a window's charged lines cost, by user and key; of the global one, of all tenants. */
export interface SpentBy {
  readonly user_id: string | null;
  readonly key_id: string | null;
  readonly spent: number;
}
export interface SpentIn {
  readonly tenantId: string;
  readonly fromMs: number;
  readonly toMs: number;
  /** Up to this place of COMPLETIONS; what was accepted before that stream was made counts whatever its place is. */
  readonly upTo: number;
  readonly createdAt: string;
}
export const readSpent = (pool: Pool, { tenantId, fromMs, toMs, upTo, createdAt }: SpentIn): Promise<SpentBy[]> =>
  rowsOf(pool, "what was spent",
    `SELECT user_id, key_id, sum(cost_nano_usd)::float8 AS spent FROM ledger
     WHERE ($1 = '${GLOBAL}' OR tenant_id = $1) AND is_charged AND at >= $2 AND at < $3 AND stream = 'COMPLETIONS' AND (stream_seq <= $4 OR at < $5::timestamptz) GROUP BY 1, 2`,
    [tenantId, new Date(fromMs), new Date(toMs), upTo, createdAt]);
