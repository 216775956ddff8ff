/** Audit events in files, of any size: one line after the other, and no more than a batch in memory. */
import { isStorable } from "#shared/contracts/text.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";
import { z } from "zod";

import { type AuditFile, type AuditLine, auditLines } from "./auditLines.ts";
import type { AuditBatch, AuditRecord, AuditSource, Unreadable } from "./auditSource.ts";
import { seqOf } from "./exportFormat.ts";
import { readAuditEvent } from "./readAuditEvent.ts";
import { makeSeenIds } from "./seenIds.ts";

/** The last line of which file was read. */
const Cursor = z.object({ file: z.int().nonnegative(), line: z.int().nonnegative() });
const MOST_LINES = 500;
const MOST_BYTES = 8 * 2 ** 20;
/** So many lines that are none of JSON at the beginning of a file are no accident. */
const LINES_TO_JUDGE_BY = 3;

/**
 * First wins where two events are of one request, as far as the last two million tell. Events with sequences have to ascend. Going on after a cursor
 * reads the lines before it too, so that all is as if there had been no interruption.
 */
export function fileSource(files: readonly AuditFile[], { total }: { readonly total: number | null }): AuditSource {
  const cursorOf = (file: number, line: number): string => JSON.stringify({ file, line } satisfies z.infer<typeof Cursor>);
  return {
    name: files.map(({ name }) => name).join(", "),
    total,
    start: cursorOf(0, 0),
    async *batches({ after, signal }) {
      const seen = makeSeenIds();
      const done = after === undefined ? null : Cursor.parse(JSON.parse(after));
      const isDone = (file: number, line: number): boolean => done !== null && (file < done.file || (file === done.file && line <= done.line));
      let lastSeq = 0;
      for (const [index, file] of files.entries()) {
        let batch = newBatch();
        const whole = (line: number): AuditBatch => ({ records: batch.records, unreadable: batch.unreadable, cursor: cursorOf(index, line) });
        const begun = { lines: 0, notJson: 0 };
        let line = 0;
        for await (const one of auditLines(file)) {
          if (signal.aborted) break;
          line = one.number;
          if ("footer" in one) continue;
          const at = `${file.name}, line ${line}`;
          const read = "cutOff" in one ? { why: "truncated" as const, what: one.cutOff } : readLine(one);
          if ("bytes" in one && begun.lines < LINES_TO_JUDGE_BY) {
            begun.lines++;
            if ("why" in read && read.why === "not_json") begun.notJson++;
            if (begun.notJson === LINES_TO_JUDGE_BY) throw noJsonLines(file);
          }
          if ("record" in read) {
            const { seq, completion } = read.record;
            if (seq !== null && seq < lastSeq) throw new AppError("invalid_request", `${at}: #${seq} comes after #${lastSeq}: events must be in the order of their sequences. Name files in that order`);
            lastSeq = seq ?? lastSeq;
            if (!seen.add(completion.tenant_id, completion.request_id)) add({ at, why: "duplicate", what: `${completion.tenant_id}/${completion.request_id} was there before; the first is taken` });
            else if (!isDone(index, line)) batch.records.push(read.record);
          } else add({ at, ...read });
          batch.bytes += "bytes" in one ? one.bytes.length : 0;
          if (batch.records.length + batch.unreadable.length < MOST_LINES && batch.bytes < MOST_BYTES) continue;
          if (batch.records.length + batch.unreadable.length > 0) yield whole(line);
          batch = newBatch();
        }
        if (begun.notJson > 0 && begun.notJson === begun.lines && !signal.aborted) throw noJsonLines(file); // fewer than are judged by, and that is all
        if (batch.records.length + batch.unreadable.length > 0) yield whole(line);
        if (signal.aborted) return;

        function add(unreadable: Unreadable): void {
          if (!isDone(index, line)) batch.unreadable.push(unreadable);
        }
      }
    },
  };
}

/** Without it no text can have what cannot be stored. */
const ESCAPE = Buffer.from("\\u");
const noJsonLines = ({ name }: AuditFile): AppError => new AppError("invalid_json", `${name}: is no file of JSON lines`);
const newBatch = () => ({ records: [] as AuditRecord[], unreadable: [] as Unreadable[], bytes: 0 });

const Line = z.object({ seq: z.int().positive().nullable(), completion: z.unknown() });

/** As an export has it, or the event alone. Pure. */
function readLine({ bytes, isUnended }: Pick<AuditLine, "bytes" | "isUnended">): { readonly record: AuditRecord } | Pick<Unreadable, "why" | "what"> {
  let value: unknown;
  try {
    value = parseJson(bytes);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return isUnended ? { why: "truncated", what: "the last line has no end" } : { why: "not_json", what: error.message };
  }
  if (bytes.includes(ESCAPE) && !isStorable(value, bytes.toString("utf8"))) return { why: "invalid", what: "has text with NUL or a lone surrogate, which no event of ours has" };
  const line = Line.safeParse(value);
  const read = readAuditEvent(line.success && !(typeof value === "object" && value !== null && "type" in value) ? line.data.completion : value);
  return "completion" in read ? { record: { seq: line.success ? line.data.seq : null, completion: read.completion } } : read;
}

export interface CheckedFiles {
  /** Events, as far as lines tell. */
  readonly lines: number;
}
/** Reads all files to their ends and uses nothing of them: a checksum that does not agree, or an order that is none, is known before anything was done. Throws as `auditLines` does. */
export async function checkFiles(files: readonly AuditFile[], signal: AbortSignal): Promise<CheckedFiles> {
  let lines = 0, lastSeq = 0;
  for (const file of files) {
    for await (const one of auditLines(file)) {
      if (signal.aborted) return { lines };
      if (!("bytes" in one)) continue;
      lines++;
      const seq = seqOf(one.bytes) ?? lastSeq;
      if (seq < lastSeq) throw new AppError("invalid_request", `${file.name}, line ${one.number}: #${seq} comes after #${lastSeq}: events must be in the order of their sequences. Name files in that order`);
      lastSeq = seq;
    }
  }
  return { lines };
}
