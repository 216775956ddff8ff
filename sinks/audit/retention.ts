import type { Logger } from "pino";
import type { Pool } from "pg";

import { inTransactionAs } from "#shared/db/transaction.ts";
import { every } from "#shared/runtime/lifecycle.ts";

const HOUR_MS = 3_600_000;
/** Small enough for the statement timeout and for other writers. */
const CHUNK = 5_000;

/**
 * Rows of a table that are older than their tenant keeps them, or than all others do. The second part looks at the few tenants with a
 * time of their own; the first finds the oldest by an index. `rows` has their place as `at_row`.
 */
const tooOld = (rows: string, time: string, key = "at_row") => `
  SELECT ${key} FROM (
    (SELECT ${key} FROM ${rows} LEFT JOIN tenants USING (tenant_id) WHERE ${time} < now() - make_interval(days => $1) AND (settings #>> '{retention,days}') IS NULL ORDER BY ${time} LIMIT ${CHUNK})
    UNION ALL
    (SELECT ${key} FROM ${rows} JOIN tenants USING (tenant_id) WHERE ${time} < now() - make_interval(days => (settings #>> '{retention,days}')::int) LIMIT ${CHUNK})
  ) AS old LIMIT ${CHUNK}`;
const rowsOf = (table: string, where = "true") => `(SELECT ctid AS at_row, * FROM ${table} AS one WHERE ${where}) AS ${table}`;
/** By place, not by key: a table that has just grown has no statistics yet, and a join would go through it once for each row. */
const deleteFrom = (table: string, time: string, where?: string) => `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(${tooOld(rowsOf(table, where), time)}))`;
/** With its attempts. */
const OLD_REQUESTS = `
  WITH old AS (${deleteFrom("requests", "completed_at")} RETURNING tenant_id, request_id),
  gone AS (DELETE FROM attempts a USING old o WHERE a.tenant_id = o.tenant_id AND a.request_id = o.request_id)
  SELECT 1 FROM old`;
/** By its own age: it may come long after the outcome, and without one. */
const OLD_FEEDBACK = deleteFrom("feedback", "at");
const OLD_SHADOWS = deleteFrom("shadows", "at");
const OLD_SHADOW_TIERS = deleteFrom("shadow_tiers", "at");
const OLD_CACHE_AUDITS = deleteFrom("cache_audits", "at");
/** They hold answers too, so they are kept as long; what is still to be sent until it is delivered or dead. */
const OLD_WEBHOOKS = deleteFrom("webhook_deliveries", "webhook_deliveries.created_at", "status <> 'pending'");
/** Of those that were removed: when no delivery names them any more. */
const OLD_ENDPOINTS = deleteFrom("webhook_endpoints", "webhook_endpoints.updated_at", `
  status = 'removed' AND NOT EXISTS (SELECT 1 FROM webhook_deliveries AS delivery WHERE delivery.tenant_id = one.tenant_id AND delivery.endpoint_id = one.endpoint_id)`);
/** Also those that were never started: they hold what was to be asked. What runs is kept. */
const BATCH_ENDED = "COALESCE(batches.finished_at, batches.created_at)";
const OLD_BATCH_ITEMS = `
  DELETE FROM batch_items WHERE ctid = ANY (ARRAY(SELECT item.ctid FROM batch_items AS item JOIN (${tooOld(rowsOf("batches", "status <> 'running'"), BATCH_ENDED, "tenant_id, batch_id")}) AS batch USING (tenant_id, batch_id) LIMIT ${CHUNK}))`;
const OLD_BATCHES = deleteFrom("batches", BATCH_ENDED, "status <> 'running'");

/** Money: kept for one time for all, whatever a tenant's audit rows are kept for. */
const oldLines = (table: "ledger" | "ledger_requests" | "beside_requests") => `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ${table} WHERE at < now() - make_interval(days => $1) ORDER BY at LIMIT ${CHUNK}))`;
/** Sums of hours that are over by then, whole. */
const oldHours = (table: "request_hours" | "line_hours") => `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ${table} WHERE hour < now() - make_interval(days => $1, hours => 1) LIMIT ${CHUNK}))`;

/** In days. */
export interface Kept {
  /** Of tenants that say nothing else. */
  readonly auditDays: number;
  readonly ledgerDays: number;
}

/** Deletes what is older, in chunks, now and every hour until the signal. */
export function keepFor(pool: Pool, kept: Kept, log: Logger, signal: AbortSignal): void {
  const deleteAll = async () => ({ rows: await deleteOld(pool, kept.auditDays, signal), lines: await deleteOldLines(pool, kept.ledgerDays, signal) });
  const run = () => void deleteAll().then(
    ({ rows, lines }) => { if (rows + lines > 0) log.info({ rows, lines, ...kept }, "deleted audit rows and lines of the ledger past their retention"); },
    (error: unknown) => { log.warn({ err: error }, "retention was not finished; the next hour repeats it"); },
  );
  run();
  every(HOUR_MS, signal, run);
}

/** Returns how many rows were deleted, attempts not counted. */
export async function deleteOld(pool: Pool, days: number, signal: AbortSignal): Promise<number> {
  let total = 0;
  for (const sql of [OLD_REQUESTS, OLD_FEEDBACK, OLD_SHADOWS, OLD_SHADOW_TIERS, OLD_CACHE_AUDITS, OLD_WEBHOOKS, OLD_ENDPOINTS, OLD_BATCH_ITEMS, OLD_BATCHES]) total += await deleteChunks(pool, sql, days, signal);
  return total;
}

/** Returns how many lines of the ledger were deleted, rows of requests not counted. */
export async function deleteOldLines(pool: Pool, days: number, signal: AbortSignal): Promise<number> {
  const lines = await deleteChunks(pool, oldLines("ledger"), days, signal);
  for (const table of ["ledger_requests", "beside_requests"] as const) await deleteChunks(pool, oldLines(table), days, signal);
  for (const table of ["request_hours", "line_hours"] as const) await deleteChunks(pool, oldHours(table), days, signal);
  return lines;
}

async function deleteChunks(pool: Pool, sql: string, days: number, signal: AbortSignal): Promise<number> {
  let total = 0;
  while (!signal.aborted) {
    const { rowCount } = await inTransactionAs(pool, "retention", (client) => client.query(sql, [days]));
    total += rowCount ?? 0;
    if ((rowCount ?? 0) < CHUNK) break;
  }
  return total;
}
