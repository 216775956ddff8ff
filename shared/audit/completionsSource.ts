/** Audit events from COMPLETIONS, up to what was there when it began. */
import { z } from "zod";

import { AppError } from "#shared/contracts/errors.ts";
import type { CompletionsReader } from "#shared/messaging/readCompletions.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";

import type { AuditRecord, AuditSource, Unreadable } from "./auditSource.ts";
import { readAuditEvent, type ReadEvent } from "./readAuditEvent.ts";

export interface CompletionsWanted {
  readonly prefix: string;
  /** `null`: of all. */
  readonly tenantId: string | null;
  /** Both included. */
  readonly fromSeq: number | null;
  readonly toSeq: number | null;
  /** When it was stored, epoch milliseconds: not before, and before. */
  readonly sinceMs: number | null;
  readonly untilMs: number | null;
}

/** `to`: what was stored later is not of this run, whenever it goes on. */
const Cursor = z.object({ created: z.string(), next: z.int().positive(), to: z.int().nonnegative() });

/** Throws `broker_unavailable`; `invalid_request` for a cursor of a stream that was made anew since. */
export async function openCompletionsSource(reader: CompletionsReader, { prefix, tenantId, fromSeq, toSeq, sinceMs, untilMs }: CompletionsWanted): Promise<AuditSource> {
  const stand = await reader.stand();
  const first = fromSeq ?? (sinceMs === null ? stand.firstSeq : await reader.sequenceAt(stand, sinceMs));
  const last = Math.min(stand.lastSeq, toSeq ?? (untilMs === null ? stand.lastSeq : (await reader.sequenceAt(stand, untilMs)) - 1));
  const cursorOf = (next: number, to: number): string => JSON.stringify({ created: stand.created, next, to } satisfies z.infer<typeof Cursor>);
  return {
    name: "COMPLETIONS",
    total: tenantId === null ? Math.max(0, last - first + 1) : null,
    start: cursorOf(first, last),
    async *batches({ after, signal }) {
      const { created, next, to } = after === undefined ? { created: stand.created, next: first, to: last } : Cursor.parse(JSON.parse(after));
      if (created !== stand.created) throw new AppError("invalid_request", "COMPLETIONS was made anew since this run began: its sequences are those of other events now");
      for await (const { messages, gone, nextSeq } of reader.read({ prefix, tenantId, from: next, to, signal })) {
        const records: AuditRecord[] = [];
        const unreadable: Unreadable[] = gone.map((gap) => ({
          at: gap.from === gap.to ? `#${gap.from}` : `#${gap.from} to #${gap.to}`, why: "gone", what: "not in COMPLETIONS any more: it aged out, or was lost", count: gap.to - gap.from + 1,
        }));
        for (const { seq, data } of messages) {
          const read = readMessage(data);
          if ("completion" in read) records.push({ seq, completion: read.completion });
          else unreadable.push({ at: `#${seq}`, ...read });
        }
        yield { records, unreadable, cursor: cursorOf(nextSeq, to) };
      }
    },
  };
}

function readMessage(data: Uint8Array): ReadEvent {
  try {
    return readAuditEvent(parseJson(data));
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { why: "not_json", what: error.message };
  }
}
