/** Audit events from Postgres: rows that were there when it began, in the order of their time or of their sequence. */
import type { Pool } from "pg";
import { z } from "zod";

import { type AuditKey, type AuditWanted, countAudit, readAuditPage } from "#shared/db/readAuditPage.ts";

import type { AuditRecord, AuditSource, Unreadable } from "./auditSource.ts";
import { readAuditEvent } from "./readAuditEvent.ts";

/** What ended before `since_ms` or later than `until_ms` is not of this run, whenever it goes on. `key`: of the last row; `null` before the first. */
const Cursor = z.object({ since_ms: z.int().nullable(), until_ms: z.int(), key: z.tuple([z.string(), z.string(), z.string()]).nullable() });
/** An event has a megabyte at most, and some kilobytes as a rule. */
const PAGE_ROWS = 250;

/** Throws `database_unavailable`. */
export async function openTableSource(pool: Pool, wanted: AuditWanted): Promise<AuditSource> {
  const cursorOf = (sinceMs: number | null, untilMs: number, key: AuditKey | null): string => JSON.stringify({ since_ms: sinceMs, until_ms: untilMs, key: key === null ? null : [...key] } satisfies z.infer<typeof Cursor>);
  return {
    name: "the audit",
    total: await countAudit(pool, wanted),
    start: cursorOf(wanted.sinceMs, wanted.untilMs, null),
    async *batches({ after, signal }) {
      const done = after === undefined ? null : Cursor.parse(JSON.parse(after));
      const sinceMs = done === null ? wanted.sinceMs : done.since_ms;
      const untilMs = done?.until_ms ?? wanted.untilMs;
      let key: AuditKey | null = done?.key ?? null;
      while (!signal.aborted) {
        const rows = await readAuditPage(pool, { ...wanted, sinceMs, untilMs }, key, PAGE_ROWS);
        const last = rows.at(-1);
        if (last === undefined) return;
        key = last.key;
        const records: AuditRecord[] = [], unreadable: Unreadable[] = [];
        for (const { key: [, tenantId, requestId], seq, event } of rows) {
          const read = readAuditEvent(event);
          if ("completion" in read) records.push({ seq, completion: read.completion });
          else unreadable.push({ at: `${tenantId}/${requestId}`, ...read });
        }
        yield { records, unreadable, cursor: cursorOf(sinceMs, untilMs, key) };
        if (rows.length < PAGE_ROWS) return;
      }
    },
  };
}
