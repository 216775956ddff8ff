/** An export: a header, one line of JSON for each event, a footer with the checksum of all lines before it. */
import { z } from "zod";

import type { Completion } from "#shared/contracts/events.ts";

/** `source`: where the events come from, for a person. `schema`: of the events. */
export const ExportHeader = z.object({ type: z.literal("audit_export.v1"), made_at: z.iso.datetime(), prefix: z.string(), source: z.string(), redacted: z.boolean(), schema: z.string() });
export type ExportHeader = z.infer<typeof ExportHeader>;

/** `sha256`: in hex, over the uncompressed lines before this one, from the header on, each with its line end. */
export const ExportFooter = z.object({ type: z.literal("audit_export_end.v1"), events: z.int().nonnegative(), first_seq: z.int().positive().nullable(), last_seq: z.int().positive().nullable(), sha256: z.string().regex(/^[0-9a-f]{64}$/) });
export type ExportFooter = z.infer<typeof ExportFooter>;

/** `seq` comes first: whoever only checks a file finds it without reading the event. */
export const lineOf = (seq: number | null, completion: Completion): string => `${JSON.stringify({ seq, completion })}\n`;
export const headerLine = (header: ExportHeader): string => `${JSON.stringify(header)}\n`;
export const footerLine = (footer: ExportFooter): string => `${JSON.stringify(footer)}\n`;

const HEADER_START = Buffer.from('{"type":"audit_export.v'), FOOTER_START = Buffer.from('{"type":"audit_export_end.v');
const startsWith = (line: Buffer, start: Buffer): boolean => line.length >= start.length && line.compare(start, 0, start.length, 0, start.length) === 0;
export const isHeader = (line: Buffer): boolean => startsWith(line, HEADER_START);
export const isFooter = (line: Buffer): boolean => startsWith(line, FOOTER_START);

const SEQ = /^\{"seq":(\d{1,15}),/;
/** Of a line as `lineOf` makes it; else `null`. */
export function seqOf(line: Buffer): number | null {
  const [, digits] = SEQ.exec(line.subarray(0, 32).toString("latin1")) ?? [];
  return digits === undefined ? null : Number(digits);
}
