import type { ClientBase, Pool } from "pg";

import { makeBatchInsert } from "#shared/db/batchInsert.ts";
import { attempts, requests } from "#shared/db/schema.ts";

import type { RequestRow, Rows } from "./toRows.ts";
import { makeWriter, type Writer } from "./writer.ts";

const insertRequests = makeBatchInsert(requests);
const insertAttempts = makeBatchInsert(attempts);

/**
 * `stream_seq` tells an event that is read again from another outcome of a used id. An id is unique for as long as
 * COMPLETIONS keeps it; when it is used again after that, the first row stays as it is and the later event is not ok.
 */
export const makeAuditWriter = (pool: Pool): Writer<Rows> => makeWriter(pool, insert);

/** Attempts are written for the events whose own row is there only. */
async function insert(client: ClientBase, batch: readonly Rows[]): Promise<ReadonlySet<number>> {
  const inserted = batch.map(({ request }) => request);
  const newRows = await insertRequests(client, inserted);
  const written = newRows === batch.length ? new Set(batch.keys()) : await placesOfOwnRows(client, inserted);
  await insertAttempts(client, batch.flatMap((rows, i) => (written.has(i) ? rows.attempts : [])));
  return written;
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
