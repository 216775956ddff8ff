import type { ClientBase, Pool } from "pg";

import { makeBatchInsert } from "#shared/db/batchInsert.ts";
import { attempts, requests } from "#shared/db/schema/audit.ts";
import { ledger, ledgerRequests } from "#shared/db/schema/books.ts";
import { failpoint } from "#shared/runtime/failpoint.ts";
import { insertDeliveries } from "#shared/webhooks/deliveries.ts";

import { makePlacesOfOwnRows } from "./ownRows.ts";
import type { Rows } from "./toRows.ts";
import { makeWriter, type Writer } from "./writer.ts";

const insertRequests = makeBatchInsert(requests);
const insertAttempts = makeBatchInsert(attempts);
const insertLines = makeBatchInsert(ledger);
const insertBooked = makeBatchInsert(ledgerRequests);
const placesOfOwnRows = makePlacesOfOwnRows("requests");

/**
 * `stream_seq` tells an event that is read again from another outcome of a used id. An id is unique for as long as
 * COMPLETIONS keeps it; when it is used again after that, the first row stays as it is and the later event is not ok.
 */
export const makeAuditWriter = (pool: Pool): Writer<Rows> => makeWriter(pool, insert);

/** Attempts and webhooks are written for the events whose own row is there only. The books have every event: another outcome of a used id was paid, too. */
async function insert(client: ClientBase, batch: readonly Rows[]): Promise<ReadonlySet<number>> {
  const inserted = batch.map(({ request }) => request);
  const newRows = await insertRequests(client, inserted);
  const written = newRows === batch.length ? new Set(batch.keys()) : await placesOfOwnRows(client, inserted);
  failpoint("in_batch");
  await insertAttempts(client, batch.flatMap((rows, i) => (written.has(i) ? rows.attempts : [])));
  await insertDeliveries(client, batch.flatMap(({ told }, i) => (told !== null && written.has(i) ? [told] : [])));
  await insertBooked(client, batch.map(({ booked }) => booked));
  await insertLines(client, batch.flatMap(({ lines }) => lines));
  return written;
}
