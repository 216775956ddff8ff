import type { Pool } from "pg";
import type { Logger } from "pino";

import { AppError } from "#shared/contracts/errors.ts";
import { every } from "#shared/runtime/lifecycle.ts";

import { type Erasure, type Erasures, groupErasures, NOBODY_ERASED } from "./erasures.ts";

interface Row {
  readonly tenant_id: string;
  readonly subject: string;
  readonly salt: string;
  readonly covers: Date;
}
export const COLUMNS = "tenant_id, subject, salt, covers_until AS covers";
export const toErasure = ({ tenant_id, subject, salt, covers }: Row): Erasure => ({ tenantId: tenant_id, subject, salt, coversUntilMs: covers.getTime() });

/** All of them: there are few. Throws `database_unavailable`. */
export async function readErasures(pool: Pick<Pool, "query">): Promise<Erasures> {
  try {
    const { rows } = await pool.query<Row>(`SELECT ${COLUMNS} FROM erasures`);
    return groupErasures(rows.map(toErasure));
  } catch (cause) {
    throw new AppError("database_unavailable", "the list of erasures cannot be read now", { cause });
  }
}

const FOLLOW_EVERY_MS = 10_000;

/** For who answers from the streams: what is known by now, not older than 10 s while Postgres answers. */
export function followErasures(pool: Pool, log: Logger, signal: AbortSignal): () => Erasures {
  let known = NOBODY_ERASED;
  const look = () => void readErasures(pool).then((found) => { known = found; }, (error: unknown) => { log.debug({ err: error }, "the list of erasures is not known anew"); });
  look();
  every(FOLLOW_EVERY_MS, signal, look);
  return () => known;
}
