/** Audit events from wherever they are kept, in order, in batches that fit into memory. */
import type { Completion } from "#shared/contracts/events.ts";

export interface AuditRecord {
  /** Sequence in COMPLETIONS; `null`: the source does not know it. */
  readonly seq: number | null;
  readonly completion: Completion;
}
/** What is there and is no event that can be read here. */
export interface Unreadable {
  /** For a person: `line 17`, `#4711`. */
  readonly at: string;
  readonly why: "not_json" | "invalid" | "newer_version" | "unknown_type" | "truncated" | "duplicate" | "gone" | "erased";
  /** In words, one line. */
  readonly what: string;
  /** Events that it stands for. Absent: one. */
  readonly count?: number;
}
export interface AuditBatch {
  readonly records: readonly AuditRecord[];
  readonly unreadable: readonly Unreadable[];
  /** After this batch: where a later run goes on. */
  readonly cursor: string;
}
export interface AuditSource {
  /** For a person: where the events come from. */
  readonly name: string;
  /** Events that it holds, as far as it can tell without reading them. */
  readonly total: number | null;
  /** Cursor before the first event: whoever begins there, whenever, reads the events that this source has now. */
  readonly start: string;
  /** From the cursor on, or from the start. Ends early when the signal aborts; at most one batch is in memory. Throws `AppError`, or what a file system throws. */
  batches(options: { readonly after?: string; readonly signal: AbortSignal }): AsyncIterable<AuditBatch>;
}
