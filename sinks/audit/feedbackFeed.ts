/** FEEDBACK into the table `feedback`: the latest of each source stays. */
import type { Pool } from "pg";
import { Counter, type Registry } from "prom-client";

import { AppError } from "#shared/contracts/errors.ts";
import { FeedbackMessage } from "#shared/contracts/feedback.ts";
import { makeBatchReplace } from "#shared/db/batchInsert.ts";
import { feedback } from "#shared/db/schema/audit.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import { parseMessage } from "#shared/messaging/parseMessage.ts";
import { idOf, sourcesOf } from "#shared/messaging/topology.ts";

import type { Feed } from "./drain.ts";
import { placesOfErased } from "./leftOut.ts";
import { makeWriter } from "./writer.ts";

export type FeedbackRow = typeof feedback.$inferInsert;

const replaceFeedback = makeBatchReplace(feedback, { key: ["request_id", "tenant_id", "source"], version: "stream_seq" });
/** Any other is counted as `other`: a caller chooses the word, and must not make series. */
const COUNTED_SOURCES: readonly string[] = ["user", "judge", "label"];

/** Pure. `at` is the broker's time, so that reading it again gives the same row. Throws what `parseMessage` throws, and `bad_subject`. */
export function toFeedbackRow(prefix: string, { subject, data, seq, storedAtMs }: Pick<Delivery, "subject" | "data" | "seq" | "storedAtMs">): FeedbackRow {
  const id = idOf(prefix, subject);
  if (id === null) throw new AppError("bad_subject", "the subject must be <prefix>.feedback.<tenant>.<request id>");
  const { source, score, comment = null } = parseMessage(FeedbackMessage, "feedback.v1", data);
  return { ...id, source, score, comment, stream_seq: seq, at: new Date(storedAtMs).toISOString() };
}

export function feedbackFeed(pool: Pool, registry: Registry, prefix: string): Feed<FeedbackRow> {
  const counted = new Counter({ name: "infer_feedback_total", help: "Feedback that was recorded, by source: user, judge, label, or other.", labelNames: ["source"], registers: [registry] });
  return {
    source: sourcesOf(prefix).auditFeedback,
    table: "feedback",
    read: (delivery) => toFeedbackRow(prefix, delivery),
    writer: makeWriter(pool, async (client, rows: readonly FeedbackRow[]) => {
      const erased = await placesOfErased(client, rows);
      await replaceFeedback(client, rows.filter((_row, place) => !erased.has(place)));
      return new Set(rows.keys()); // one that a later one replaced was said, too
    }),
    observe: ({ source }) => { counted.inc({ source: COUNTED_SOURCES.includes(source) ? source : "other" }); },
  };
}
