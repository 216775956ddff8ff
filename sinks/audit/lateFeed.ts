/** The late runs of DEAD_LETTERS into the ledger, as waste: they were paid, and are in no outcome. Other letters are passed over. */
import type { Pool } from "pg";
import { Counter, type Registry } from "prom-client";

import { AppError, ERROR_CODES } from "#shared/contracts/errors.ts";
import { DeadLetter } from "#shared/contracts/events.ts";
import { makeBatchInsert } from "#shared/db/batchInsert.ts";
import { ledger } from "#shared/db/schema/books.ts";
import { type Line, linesOfLetter } from "#shared/ledger/linesOf.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import { parseMessage } from "#shared/messaging/parseMessage.ts";
import { deadLetterSubject, sourcesOf, streamNamesOf } from "#shared/messaging/topology.ts";

import type { Feed } from "./drain.ts";
import type { CountWaste } from "./wasteMetric.ts";
import { makeWriter } from "./writer.ts";

const insertLines = makeBatchInsert(ledger);

interface Late {
  readonly letter: DeadLetter;
  readonly lines: readonly Line[];
}
/** What no error code says. */
const OTHER_REASONS = ["late_result", "shadow_input_gone"];
/** Whoever may write letters must not make series. */
const labelsOf = (prefix: string, { stream, reason }: DeadLetter) => ({
  stream: streamNamesOf(prefix).includes(stream) ? stream : "other",
  reason: reason in ERROR_CODES || OTHER_REASONS.includes(reason) ? reason : "other",
});

/** Pure. Throws what `parseMessage` throws, and `bad_subject`. A letter about that is read again here, and says nothing of a late run. */
function toLate(prefix: string, { subject, data, seq }: Pick<Delivery, "subject" | "data" | "seq">): Late {
  const letter = parseMessage(DeadLetter, "dead_letter.v1", data);
  if (deadLetterSubject(prefix, letter.stream, letter.tenant_id) !== subject) throw new AppError("bad_subject", "body and subject differ");
  return { letter, lines: linesOfLetter(letter, seq) };
}

export function lateFeed(pool: Pool, registry: Registry, prefix: string, countWaste: CountWaste): Feed<Late> {
  const letters = new Counter({ name: "infer_dead_letters_total", help: "Letters in DEAD_LETTERS by the stream of the message that was given up and by reason: an error code, late_result, shadow_input_gone, or other.", labelNames: ["stream", "reason"], registers: [registry] });
  return {
    source: sourcesOf(prefix).auditDeadLetters,
    table: "ledger",
    read: (delivery) => toLate(prefix, delivery),
    writer: makeWriter(pool, async (client, batch: readonly Late[]) => {
      await insertLines(client, batch.flatMap(({ lines }) => lines));
      return new Set(batch.keys()); // one that another letter has booked was booked, too
    }),
    observe({ letter, lines }) {
      letters.inc(labelsOf(prefix, letter));
      countWaste(lines);
    },
  };
}
