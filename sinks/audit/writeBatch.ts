import type { Pool } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import { makeBatchInsert } from "#shared/db/batchInsert.ts";
import { isBadRow } from "#shared/db/pool.ts";
import { attempts, requests } from "#shared/db/schema.ts";

import type { Rows } from "./toRows.ts";

/** What became of each event of a batch, in its order: written (or there already), or the reason why Postgres refuses it. */
export type Written = readonly ({ readonly ok: true } | { readonly ok: false; readonly reason: string })[];
export interface AuditWriter {
  /** Committed when it resolves. Idempotent. Throws `database_unavailable` when nothing is known to be written. */
  write(batch: readonly Rows[]): Promise<Written>;
}

const insertRequests = makeBatchInsert(requests);
const insertAttempts = makeBatchInsert(attempts);

/** One transaction per batch. A batch that Postgres refuses is halved until the bad event is alone. */
export function makeAuditWriter(pool: Pool): AuditWriter {
  const write = async (batch: readonly Rows[]): Promise<Written> => {
    try {
      await insert(pool, batch);
      return batch.map(() => ({ ok: true }));
    } catch (error) {
      if (!isBadRow(error)) throw new AppError("database_unavailable", "the audit rows cannot be written now", { cause: error });
      if (batch.length === 1) return [{ ok: false, reason: (error as Error).message }];
      const half = Math.ceil(batch.length / 2);
      return [...(await write(batch.slice(0, half))), ...(await write(batch.slice(half)))];
    }
  };
  return { write };
}

async function insert(pool: Pool, batch: readonly Rows[]): Promise<void> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query("BEGIN");
    await insertRequests(client, batch.map(({ request }) => request));
    await insertAttempts(client, batch.flatMap((rows) => rows.attempts));
    await client.query("COMMIT");
  } catch (error) {
    broken = error as Error;
    await client.query("ROLLBACK").then(() => { broken = undefined; }, () => undefined);
    throw error;
  } finally {
    client.release(broken); // a connection that cannot roll back is not used again
  }
}
