import type { ClientBase, Pool } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import { makeBatchInsert } from "#shared/db/batchInsert.ts";
import { isBadRow } from "#shared/db/pool.ts";
import { attempts, requests } from "#shared/db/schema.ts";

import type { RequestRow, Rows } from "./toRows.ts";

/** What became of each event of a batch, in its order: written (or there already), or the reason why it never will be. */
export type Written = readonly ({ readonly ok: true } | { readonly ok: false; readonly reason: string })[];
export interface AuditWriter {
  /**
   * Committed when it resolves. Idempotent: `stream_seq` tells an event that is read again from another outcome of a used
   * id. An id is unique for as long as COMPLETIONS keeps it; when it is used again after that, the first row stays as it
   * is and the later event is not ok. Throws `database_unavailable` when nothing is known to be written.
   */
  write(batch: readonly Rows[]): Promise<Written>;
}

const DUPLICATE = { ok: false, reason: "duplicate_id: another outcome of this id is in the audit already" } as const;

const insertRequests = makeBatchInsert(requests);
const insertAttempts = makeBatchInsert(attempts);

/** One transaction per batch. A batch that Postgres refuses is halved until the bad event is alone. */
export function makeAuditWriter(pool: Pool): AuditWriter {
  const write = async (batch: readonly Rows[]): Promise<Written> => {
    try {
      const written = await insert(pool, batch);
      return batch.map((_rows, i) => (written.has(i) ? { ok: true } : DUPLICATE));
    } catch (error) {
      if (!isBadRow(error)) throw new AppError("database_unavailable", "the audit rows cannot be written now", { cause: error });
      if (batch.length === 1) return [{ ok: false, reason: `Postgres refuses this row: ${(error as Error).message}` }];
      const half = Math.ceil(batch.length / 2);
      return [...(await write(batch.slice(0, half))), ...(await write(batch.slice(half)))];
    }
  };
  return { write };
}

/** Returns the places in the batch of the events whose own row is there; attempts are written for these only. */
async function insert(pool: Pool, batch: readonly Rows[]): Promise<ReadonlySet<number>> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query("BEGIN");
    const inserted = batch.map(({ request }) => request);
    const newRows = await insertRequests(client, inserted);
    const written = newRows === batch.length ? new Set(batch.keys()) : await placesOfOwnRows(client, inserted);
    await insertAttempts(client, batch.flatMap((rows, i) => (written.has(i) ? rows.attempts : [])));
    await client.query("COMMIT");
    return written;
  } catch (error) {
    broken = error as Error;
    await client.query("ROLLBACK").then(() => { broken = undefined; }, () => undefined);
    throw error;
  } finally {
    client.release(broken); // a connection that cannot roll back is not used again
  }
}

const OWN_ROWS = {
  name: "audit_own_rows",
  text: `SELECT place::int - 1 AS place
         FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS event(tenant_id, request_id, stream_seq, place)
         JOIN requests USING (tenant_id, request_id, stream_seq)`,
};
async function placesOfOwnRows(client: ClientBase, events: readonly RequestRow[]): Promise<ReadonlySet<number>> {
  const values = (["tenant_id", "request_id", "stream_seq"] as const).map((column) => events.map((event) => event[column]));
  const { rows } = await client.query<{ place: number }>({ ...OWN_ROWS, values });
  return new Set(rows.map(({ place }) => place));
}
