import { type Erasures, isErased } from "#shared/erasure/erasures.ts";

import type { AuditBatch, AuditRecord, AuditSource, Unreadable } from "./auditSource.ts";

const unreadableOf = ({ seq, completion: { request_id } }: AuditRecord): Unreadable => ({ at: seq === null ? request_id : `#${seq}`, why: "erased", what: "its tenant or user was erased" });

/** The same source, with events of those who were erased counted and not given: a file or a stream may hold them for longer than they may be used. */
export const withoutErased = (source: AuditSource, erasures: Erasures): AuditSource => ({
  ...source,
  async *batches(options): AsyncIterable<AuditBatch> {
    for await (const { records, unreadable, cursor } of source.batches(options)) {
      const erased = records.filter(({ completion }) => isErased(erasures, completion));
      if (erased.length === 0) yield { records, unreadable, cursor };
      else yield { records: records.filter((record) => !erased.includes(record)), unreadable: [...unreadable, ...erased.map(unreadableOf)], cursor };
    }
  },
});
