/** Of a source, the events that somebody wants: of one tenant, of nobody whose data was erased, and no more than so many. */
import type { Completion } from "#shared/contracts/events.ts";
import { z } from "zod";

import type { AuditRecord, AuditSource, Unreadable } from "./auditSource.ts";

export interface Chosen {
  /** `null`: of all. */
  readonly tenantId: string | null;
  /** `null`: no limit. */
  readonly limit: number | null;
  readonly isErased?: (completion: Completion) => boolean;
}

/** `taken`: with the events after the cursor that are not asked of the source any more. */
const Cursor = z.object({ taken: z.int().nonnegative(), cursor: z.string() });

export function chosenRecords(source: AuditSource, { tenantId, limit, isErased }: Chosen): AuditSource {
  const most = limit ?? Infinity;
  const cursorOf = (taken: number, cursor: string): string => JSON.stringify({ taken, cursor } satisfies z.infer<typeof Cursor>);
  return {
    name: tenantId === null ? source.name : `${source.name}, tenant ${tenantId}`,
    total: source.total === null ? null : Math.min(source.total, most),
    start: cursorOf(0, source.start),
    async *batches({ after, signal }) {
      const done = after === undefined ? null : Cursor.parse(JSON.parse(after));
      let taken = done?.taken ?? 0;
      if (taken >= most) return;
      for await (const batch of source.batches({ signal, ...(done === null ? {} : { after: done.cursor }) })) {
        const unreadable: Unreadable[] = [...batch.unreadable];
        const records: AuditRecord[] = [];
        for (const record of batch.records) {
          if (taken === most) break;
          if (tenantId !== null && record.completion.tenant_id !== tenantId) continue;
          if (isErased?.(record.completion) === true) {
            const { tenant_id, request_id } = record.completion;
            unreadable.push({ at: record.seq === null ? `${tenant_id}/${request_id}` : `#${record.seq}`, why: "erased", what: "erased at the wish of its tenant or user" });
            continue;
          }
          taken++;
          records.push(record);
        }
        yield { records, unreadable, cursor: cursorOf(taken, batch.cursor) };
        if (taken === most) return;
      }
    },
  };
}
