import type { ClientBase, Pool } from "pg";

import { makeBatchInsert } from "#shared/db/batchInsert.ts";
import { attempts, requests } from "#shared/db/schema/audit.ts";
import { ledger, ledgerRequests } from "#shared/db/schema/books.ts";
import { failpoint } from "#shared/runtime/failpoint.ts";
import { insertDeliveries } from "#shared/webhooks/deliveries.ts";

import { leaveOut } from "./leftOut.ts";
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

/**
 * Attempts and webhooks are written for the events whose own row is there only. The books have every event: another outcome of a used id was paid, too, and so
 * was one of somebody who was erased.
 */
async function insert(client: ClientBase, batch: readonly Rows[]): Promise<ReadonlySet<number>> {
  const allowed = await leaveOut(client, batch);
  const shown = [...allowed.entries()].filter(([, { isErased }]) => !isErased);
  const inserted = shown.map(([, { request }]) => request);
  const newRows = await insertRequests(client, inserted);
  const own = newRows === inserted.length ? null : await placesOfOwnRows(client, inserted);
  const written = new Set(shown.flatMap(([place], i) => (own === null || own.has(i) ? [place] : [])));
  failpoint("in_batch");
  await insertAttempts(client, allowed.flatMap((rows, i) => (written.has(i) ? rows.attempts : [])));
  await insertDeliveries(client, allowed.flatMap(({ told }, i) => (told !== null && written.has(i) ? [told] : [])));
  await insertBooked(client, allowed.map(({ booked }) => booked));
  await insertLines(client, allowed.flatMap(({ lines }) => lines));
  return new Set([...written, ...allowed.flatMap(({ isErased }, place) => (isErased ? [place] : []))]);
}
