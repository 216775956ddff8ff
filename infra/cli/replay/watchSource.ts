/** What every reader of audit events does with a source: it tells how far it is, and names and counts what cannot be read. */
import { SetupError } from "#infra/embedded/setupError.ts";
import type { AuditSource, Unreadable } from "#shared/audit/auditSource.ts";

import { EXIT_DATA } from "../command.ts";
import { progressBar } from "../progressBar.ts";

export interface WatchOptions {
  /** Events that were read by an earlier run. */
  readonly readBefore: number;
  readonly isStrict: boolean;
  readonly tell: ((how: string) => void) | undefined;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}
export interface WatchedSource {
  readonly source: AuditSource;
  /** Events that were handed over, those before this run among them. */
  readonly read: () => number;
  /** By why. */
  readonly unread: () => Readonly<Partial<Record<Unreadable["why"], number>>>;
  /** For a person; empty when everything could be read. */
  readonly unreadLines: () => readonly string[];
}

const TELL_EVERY_MS = 200;
const MOST_NAMED = 10;
/** What is in order: the first of two is read, and what was erased was to be gone. */
const HARMLESS: ReadonlySet<Unreadable["why"]> = new Set(["duplicate", "erased"]);
const WHY: Readonly<Record<Unreadable["why"], string>> = {
  not_json: "not JSON", invalid: "not as its schema says", newer_version: "of a later release", unknown_type: "of an unknown type", truncated: "cut off", duplicate: "there before", gone: "not there any more", erased: "erased",
};

/** With `isStrict` reading throws a `SetupError` (65) at the first that cannot be read. */
export function watchSource(source: AuditSource, { readBefore, isStrict, tell, now }: WatchOptions): WatchedSource {
  let read = readBefore;
  const counts = new Map<Unreadable["why"], number>();
  const named: string[] = [];
  let startedMs = now();
  let toldMs = -Infinity;
  const note = (one: Unreadable): void => {
    if (isStrict && !HARMLESS.has(one.why)) throw new SetupError(`${source.name}, ${one.at}: ${one.what}`, "Without --strict it is skipped and counted.", { exitCode: EXIT_DATA });
    counts.set(one.why, (counts.get(one.why) ?? 0) + (one.count ?? 1));
    if (named.length < MOST_NAMED) named.push(`${one.at}: ${one.what}`);
  };
  return {
    source: {
      name: source.name, total: source.total, start: source.start,
      /** Counts anew: a mode may look through all of it before it begins. */
      async *batches(options) {
        [read, startedMs, named.length] = [readBefore, now(), 0];
        counts.clear();
        for await (const batch of source.batches(options)) {
          batch.unreadable.forEach(note);
          read += batch.records.length;
          yield batch;
          if (now() - toldMs < TELL_EVERY_MS) continue;
          toldMs = now();
          tell?.(howFar({ read, readNow: read - readBefore, total: source.total, forMs: toldMs - startedMs }));
        }
      },
    },
    read: () => read,
    unread: () => Object.fromEntries(counts),
    unreadLines() {
      const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
      if (all === 0) return [];
      const kinds = [...counts].map(([why, count]) => `${count.toLocaleString("en")} ${WHY[why]}`).join(", ");
      return [`not read: ${kinds}`, ...named.map((line) => `  ${line}`), ...(all > named.length ? [`  and more`] : [])];
    },
  };
}

/** Pure. */
export function howFar({ read, readNow, total, forMs }: { readonly read: number; readonly readNow: number; readonly total: number | null; readonly forMs: number }): string {
  const perSecond = forMs <= 0 ? 0 : (1_000 * readNow) / forMs;
  const speed = `${Math.round(perSecond).toLocaleString("en")}/s`;
  if (total === null) return `${read.toLocaleString("en")} events, ${speed}`;
  const left = perSecond === 0 ? "" : `, ${Math.ceil(Math.max(0, total - read) / perSecond)} s left`;
  return `${progressBar(read, total)} events, ${speed}${left}`;
}
