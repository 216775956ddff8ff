/** The late runs of DEAD_LETTERS into the ledger, as waste: they were paid, and are in no outcome. Other letters are passed over. */
import type { Pool } from "pg";
import { Counter, type Registry } from "prom-client";

import { AppError } from "#shared/contracts/errors.ts";
import { DeadLetter } from "#shared/contracts/events.ts";
import { makeBatchInsert } from "#shared/db/batchInsert.ts";
import { ledger } from "#shared/db/schema/books.ts";
import { type Line, linesOfLetter } from "#shared/ledger/linesOf.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import { parseMessage } from "#shared/messaging/parseMessage.ts";
import { deadLetterSubject, sourcesOf } from "#shared/messaging/topology.ts";

import type { Feed } from "./drain.ts";
import { makeWriter } from "./writer.ts";

const insertLines = makeBatchInsert(ledger);

/** Pure. Throws what `parseMessage` throws, and `bad_subject`. A letter about that is read again here, and says nothing of a late run. */
function toLines(prefix: string, { subject, data, seq }: Pick<Delivery, "subject" | "data" | "seq">): readonly Line[] {
  const letter = parseMessage(DeadLetter, "dead_letter.v1", data);
  if (deadLetterSubject(prefix, letter.stream, letter.tenant_id) !== subject) throw new AppError("bad_subject", "body and subject differ");
  return linesOfLetter(letter, seq);
}

export function lateFeed(pool: Pool, registry: Registry, prefix: string): Feed<readonly Line[]> {
  const waste = new Counter({ name: "infer_waste_cost_nano_usd_total", help: "What late and duplicate runs cost. No request pays for it.", registers: [registry] });
  return {
    source: sourcesOf(prefix).auditDeadLetters,
    table: "ledger",
    read: (delivery) => toLines(prefix, delivery),
    writer: makeWriter(pool, async (client, batch: readonly (readonly Line[])[]) => {
      await insertLines(client, batch.flat());
      return new Set(batch.keys()); // one that another letter has booked was booked, too
    }),
    observe: (lines) => { for (const { cost_nano_usd } of lines) waste.inc(cost_nano_usd); },
  };
}
