import type { Logger } from "pino";
import type { Pool } from "pg";

import { every } from "#shared/runtime/lifecycle.ts";

const HOUR_MS = 3_600_000;
/** Small enough for the statement timeout and for other writers. */
const CHUNK = 5_000;

/** Deletes what is older than `days`, in chunks, now and every hour until the signal. */
export function keepFor(pool: Pool, days: number, log: Logger, signal: AbortSignal): void {
  const run = () => void deleteOld(pool, days, signal).then(
    (rows) => { if (rows > 0) log.info({ rows, days }, "deleted audit rows past their retention"); },
    (error: unknown) => { log.warn({ err: error }, "retention was not finished; the next hour repeats it"); },
  );
  run();
  every(HOUR_MS, signal, run);
}

/** Returns how many requests were deleted; their attempts go with them. */
export async function deleteOld(pool: Pool, days: number, signal: AbortSignal): Promise<number> {
  let total = 0;
  while (!signal.aborted) {
    const { rowCount } = await pool.query(
      `WITH old AS (
         DELETE FROM requests WHERE (tenant_id, request_id) IN (
           SELECT tenant_id, request_id FROM requests WHERE completed_at < now() - make_interval(days => $1) ORDER BY completed_at LIMIT ${CHUNK})
         RETURNING tenant_id, request_id),
       gone AS (DELETE FROM attempts a USING old o WHERE a.tenant_id = o.tenant_id AND a.request_id = o.request_id)
       SELECT 1 FROM old`,
      [days],
    );
    total += rowCount ?? 0;
    if ((rowCount ?? 0) < CHUNK) break;
  }
  return total;
}
