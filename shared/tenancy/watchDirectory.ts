import type { Pool } from "pg";

import { every } from "#shared/runtime/lifecycle.ts";

import { PATIENCE_MS } from "./directory.ts";

const LOOK_EVERY_MS = 2_000;

/**
 * For `/readyz` of who asks for keys or knows tenants by them. While Postgres is away it goes on with what it has read, so it can work; not before it has
 * read anything, and not once nothing that it has read is believed any more. The first look is taken before this resolves, and waits for no more than a connection.
 */
export async function watchDirectory(pool: Pick<Pool, "query">, signal: AbortSignal, now: () => number = () => performance.now()): Promise<() => readonly string[]> {
  let answeredAtMs: number | null = null;
  let reason = "";
  const look = async () => {
    try {
      await pool.query("SELECT 1 FROM tenants LIMIT 0");
      answeredAtMs = now();
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    }
  };
  await look();
  every(LOOK_EVERY_MS, signal, look);
  return () => {
    if (answeredAtMs === null) return [`tenants and keys cannot be read: Postgres has not answered yet (${reason})`];
    return now() - answeredAtMs > PATIENCE_MS ? [`tenants and keys are not believed any more: Postgres has not answered for ${PATIENCE_MS / 60_000} minutes (${reason})`] : [];
  };
}
