import type { Pool } from "pg";
import type { Logger } from "pino";

import { every } from "#shared/runtime/lifecycle.ts";

import { noteDone } from "./eraseRows.ts";
import type { Erasure } from "./erasures.ts";
import { COLUMNS, toErasure } from "./readErasures.ts";

export interface KeepErasedDeps {
  readonly pool: Pool;
  readonly what: "rows" | "keys";
  /** Resolves to what was deleted or renamed, by table or area. Safe to repeat. */
  readonly erase: (erasure: Erasure) => Promise<Record<string, number>>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const LOOK_EVERY_MS = 10_000;
const AGAIN_EVERY_MS = 600_000;
/** Of those that are done: for as long as something of theirs may come anew, out of a stream or from a request that was under way. */
const MAY_COME_BACK = { rows: "streams_clear_at > now()", keys: "covers_until > now() - make_interval(hours => 2)" };
/** Keys go after the rows: a counter that is loaded anew must not find what a user spent under its name. */
const IS_READY = { rows: "true", keys: "rows_done_at IS NOT NULL" };

/** Does what was asked for within seconds, and again every 10 minutes until nothing can come back. Ends at the signal; never throws. */
export function keepErased({ pool, what, erase, log, signal }: KeepErasedDeps): void {
  let againAtMs = 0;
  const look = async (): Promise<void> => {
    const isAgain = performance.now() >= againAtMs;
    try {
      const { rows } = await pool.query<Parameters<typeof toErasure>[0]>(`SELECT ${COLUMNS} FROM erasures WHERE ${IS_READY[what]} AND (${what}_done_at IS NULL${isAgain ? ` OR ${MAY_COME_BACK[what]}` : ""}) ORDER BY asked_at`);
      for (const erasure of rows.map(toErasure)) {
        const counts = await erase(erasure);
        if (signal.aborted) return; // it may have ended early
        await noteDone(pool, erasure, what, counts);
        if (Object.keys(counts).length > 0) log.info({ tenant_id: erasure.tenantId, subject: erasure.subject, counts }, `erased ${what}`);
      }
      if (isAgain) againAtMs = performance.now() + AGAIN_EVERY_MS;
    } catch (error) {
      if (!signal.aborted) log.warn({ err: error }, `${what} of somebody who is to be erased are not gone yet; it is tried again`);
    }
  };
  void look();
  every(LOOK_EVERY_MS, signal, look);
}
