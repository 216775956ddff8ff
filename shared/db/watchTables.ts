import { setTimeout as sleep } from "node:timers/promises";

import type { Logger } from "pino";
import type { Pool } from "pg";

import { every } from "#shared/runtime/lifecycle.ts";

const CHECK_EVERY_MS = 2_000;

/** Waits until the audit tables can be written, then keeps looking. Returns what `/readyz` should say. */
export async function watchTables(pool: Pool, log: Logger, signal: AbortSignal): Promise<() => readonly string[]> {
  let problem = await problemOf(pool);
  if (problem !== null) log.warn({ problem }, "waiting for Postgres");
  while (problem !== null && !signal.aborted) {
    await sleep(500, undefined, { signal }).catch(() => undefined);
    problem = await problemOf(pool);
  }
  every(CHECK_EVERY_MS, signal, () => void problemOf(pool).then((found) => { problem = found; }));
  return () => (problem === null ? [] : [problem]);
}

const UNDEFINED_TABLE = "42P01";
async function problemOf(pool: Pool): Promise<string | null> {
  try {
    await pool.query("SELECT 1 FROM requests, attempts, feedback, shadows, shadow_tiers, cache_audits, cache_audit_counts, ledger, ledger_requests, webhook_endpoints, webhook_deliveries LIMIT 0");
    return null;
  } catch (error) {
    const isMissing = (error as { code?: string }).code === UNDEFINED_TABLE;
    return isMissing ? "the audit tables are missing: run `inferctl migrate`" : `Postgres cannot be reached (${(error as Error).message})`;
  }
}
