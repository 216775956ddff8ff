import { setTimeout as sleep } from "node:timers/promises";

import type { Logger } from "pino";
import type { Pool } from "pg";

import { every } from "#shared/runtime/lifecycle.ts";

import { type DatabaseService, tablesOf } from "./permissions.ts";

const CHECK_EVERY_MS = 2_000;

/** Waits until the tables that the service uses can be used, then keeps looking. Returns what `/readyz` should say. */
export async function watchTables(pool: Pool, service: DatabaseService, log: Logger, signal: AbortSignal): Promise<() => readonly string[]> {
  const tables = tablesOf(service);
  let problem = await problemOf(pool, tables);
  if (problem !== null) log.warn({ problem }, "waiting for Postgres");
  while (problem !== null && !signal.aborted) {
    await sleep(500, undefined, { signal }).catch(() => undefined);
    problem = await problemOf(pool, tables);
  }
  every(CHECK_EVERY_MS, signal, () => void problemOf(pool, tables).then((found) => { problem = found; }));
  return () => (problem === null ? [] : [problem]);
}

/** Connections of a role that is not there are refused with it. */
const INVALID_PARAMETER_VALUE = "22023";
async function problemOf(pool: Pool, tables: readonly string[]): Promise<string | null> {
  try {
    const { rows } = await pool.query<{ name: string; is_there: boolean }>(
      `SELECT name, to_regclass(quote_ident(name)) IS NOT NULL AS is_there FROM unnest($1::text[]) AS name
       WHERE to_regclass(quote_ident(name)) IS NULL OR NOT has_any_column_privilege(quote_ident(name), 'SELECT, INSERT')`, [tables]);
    if (rows.length === 0) return null;
    return rows.some(({ is_there }) => !is_there) ? "the audit tables are missing: run `inferctl migrate`" : `Postgres does not let this role use ${rows.map(({ name }) => name).join(", ")}: run \`inferctl migrate\``;
  } catch (error) {
    const isRoleMissing = (error as { code?: string }).code === INVALID_PARAMETER_VALUE;
    return isRoleMissing ? `${(error as Error).message} in Postgres: run \`inferctl migrate\`` : `Postgres cannot be reached (${(error as Error).message})`;
  }
}
