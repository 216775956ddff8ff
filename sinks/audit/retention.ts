import type { Logger } from "pino";
import type { Pool } from "pg";

import { every } from "#shared/runtime/lifecycle.ts";

const HOUR_MS = 3_600_000;
/** Small enough for the statement timeout and for other writers. */
const CHUNK = 5_000;

/**
 * Rows of a table that are older than their tenant keeps them, or than all others do. The second part looks at the few tenants with a
 * time of their own; the first finds the oldest by an index.
 */
const tooOld = (table: string, time: string, key: string) => `
  SELECT ${key} FROM (
    (SELECT ${key} FROM ${table} LEFT JOIN tenants USING (tenant_id) WHERE ${time} < now() - make_interval(days => $1) AND (settings #>> '{retention,days}') IS NULL ORDER BY ${time} LIMIT ${CHUNK})
    UNION ALL
    (SELECT ${key} FROM ${table} JOIN tenants USING (tenant_id) WHERE ${time} < now() - make_interval(days => (settings #>> '{retention,days}')::int) LIMIT ${CHUNK})
  ) AS old LIMIT ${CHUNK}`;
/** With its attempts. */
const OLD_REQUESTS = `
  WITH old AS (
    DELETE FROM requests WHERE (tenant_id, request_id) IN (${tooOld("requests", "completed_at", "tenant_id, request_id")})
    RETURNING tenant_id, request_id),
  gone AS (DELETE FROM attempts a USING old o WHERE a.tenant_id = o.tenant_id AND a.request_id = o.request_id)
  SELECT 1 FROM old`;
/** By its own age: it may come long after the outcome, and without one. */
const OLD_FEEDBACK = `
  DELETE FROM feedback WHERE (request_id, tenant_id, source) IN (${tooOld("feedback", "at", "request_id, tenant_id, source")})`;
const OLD_SHADOWS = `
  DELETE FROM shadows WHERE (request_id, tenant_id) IN (${tooOld("shadows", "at", "request_id, tenant_id")})`;
const OLD_SHADOW_TIERS = `
  DELETE FROM shadow_tiers WHERE (request_id, tenant_id, tier) IN (${tooOld("shadow_tiers", "at", "request_id, tenant_id, tier")})`;
const OLD_CACHE_AUDITS = `
  DELETE FROM cache_audits WHERE (request_id, tenant_id) IN (${tooOld("cache_audits", "at", "request_id, tenant_id")})`;
/** They hold answers too, so they are kept as long; what is still to be sent until it is delivered or dead. */
const OLD_WEBHOOKS = `
  DELETE FROM webhook_deliveries WHERE webhook_id IN (${tooOld("(SELECT * FROM webhook_deliveries WHERE status <> 'pending') AS webhook_deliveries", "webhook_deliveries.created_at", "webhook_id")})`;
/** Of those that were removed: when no delivery names them any more. */
const OLD_ENDPOINTS = `
  DELETE FROM webhook_endpoints WHERE endpoint_id IN (${tooOld(`(
    SELECT * FROM webhook_endpoints AS one WHERE status = 'removed' AND NOT EXISTS (SELECT 1 FROM webhook_deliveries AS delivery WHERE delivery.tenant_id = one.tenant_id AND delivery.endpoint_id = one.endpoint_id)) AS webhook_endpoints`, "webhook_endpoints.updated_at", "endpoint_id")})`;
/** Also those that were never started: they hold what was to be asked. What runs is kept. */
const oldBatches = tooOld("(SELECT * FROM batches WHERE status <> 'running') AS batches", "COALESCE(batches.finished_at, batches.created_at)", "tenant_id, batch_id");
const OLD_BATCH_ITEMS = `
  DELETE FROM batch_items WHERE ctid = ANY (ARRAY(SELECT item.ctid FROM batch_items AS item JOIN (${oldBatches}) AS batch USING (tenant_id, batch_id) LIMIT ${CHUNK}))`;
const OLD_BATCHES = `
  DELETE FROM batches WHERE (tenant_id, batch_id) IN (${oldBatches})`;

/** Deletes what is older than its tenant says, or else `days`, in chunks, now and every hour until the signal. */
export function keepFor(pool: Pool, days: number, log: Logger, signal: AbortSignal): void {
  const run = () => void deleteOld(pool, days, signal).then(
    (rows) => { if (rows > 0) log.info({ rows, days }, "deleted audit rows past their retention"); },
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

async function deleteChunks(pool: Pool, sql: string, days: number, signal: AbortSignal): Promise<number> {
  let total = 0;
  while (!signal.aborted) {
    const { rowCount } = await pool.query(sql, [days]);
    total += rowCount ?? 0;
    if ((rowCount ?? 0) < CHUNK) break;
  }
  return total;
}
