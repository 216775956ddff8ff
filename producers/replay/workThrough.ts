/**
 * Works through a source with many events under way at once, and keeps its place in order: a batch is kept once it and all
 * before it have ended. So an interrupted run goes on with the first batch that had not, and what had been done of that one is
 * done again, which every mode makes harmless by ids that stay the same.
 */
import type { AuditBatch, AuditRecord, AuditSource } from "#shared/audit/auditSource.ts";

import { preparedInOrder } from "./preparedInOrder.ts";

/** Round trips to the broker are made side by side. */
export const AHEAD = 64;
export interface WorkOptions<T, P> {
  readonly source: Pick<AuditSource, "batches">;
  readonly after?: string | undefined;
  /** No more is begun. What is under way ends. */
  readonly signal: AbortSignal;
  /** Most that are under way at once. */
  readonly concurrency: number;
  readonly newTally: () => T;
  /** Looks up what is to be known of an event; of several at once, a little ahead. */
  readonly prepare: (record: AuditRecord) => Promise<P>;
  /** One after the other. `null`: nothing is to be done; "stop": neither with this one nor with those after it. Else what to do beside others; "unfinished": it has to be done again, so that its batch is not kept. */
  readonly begin: (record: AuditRecord, prepared: P, tally: T) => Promise<Work | null | "stop">;
  readonly unreadable: (batch: Pick<AuditBatch, "unreadable">, tally: T) => void;
  /** Of a batch that has ended, in order. */
  readonly ended: (cursor: string, tally: T) => Promise<void>;
}
export type Work = () => Promise<"done" | "unfinished">;
interface Open<T> {
  readonly cursor: string;
  readonly tally: T;
  /** Events that are under way, and one more until all have begun. */
  pending: number;
}

/** Resolves when all that was begun has ended, with what the batches that are not kept came to. Throws the first error of a piece of work, then begins no more. */
export async function workThrough<T, P>({ source, after, signal, concurrency, newTally, prepare, begin, unreadable, ended }: WorkOptions<T, P>): Promise<readonly T[]> {
  const failing = new AbortController();
  const stop = AbortSignal.any([signal, failing.signal]);
  const open: Open<T>[] = [];
  let keeping = Promise.resolve();
  let underWay = 0;
  let roomFor: (() => void) | null = null;
  let failure: { readonly error: unknown } | null = null;
  const fail = (error: unknown) => {
    failure ??= { error };
    failing.abort();
  };
  const settle = () => {
    while (open[0]?.pending === 0) {
      const { cursor, tally } = open.shift() as Open<T>;
      keeping = keeping.then(() => (failure === null ? ended(cursor, tally) : undefined)).catch(fail);
    }
  };
  const changed = async (isWanted: () => boolean) => {
    while (!isWanted()) await new Promise<void>((resolve) => { roomFor = resolve; });
  };
  const run = async (work: Work, batch: Open<T>): Promise<void> => {
    underWay += 1;
    batch.pending += 1;
    const came = await work().catch((error: unknown) => { fail(error); return "unfinished" as const; });
    underWay -= 1;
    if (came === "done") batch.pending -= 1;
    settle();
    roomFor?.();
  };

  try {
    reading: for await (const batch of source.batches({ ...(after === undefined ? {} : { after }), signal: stop })) {
      const one: Open<T> = { cursor: batch.cursor, tally: newTally(), pending: 1 };
      open.push(one);
      unreadable(batch, one.tally);
      // As they were accepted: a stream has them as they ended.
      const records = batch.records.toSorted((a, b) => a.completion.accepted_at_ms - b.completion.accepted_at_ms);
      for await (const [record, prepared] of preparedInOrder(records, prepare, AHEAD)) {
        await changed(() => underWay < concurrency);
        if (stop.aborted) break reading;
        const work = await begin(record, prepared, one.tally);
        if (work === "stop") break reading;
        if (work !== null) void run(work, one);
      }
      one.pending -= 1;
      settle();
    }
  } catch (error) {
    if (!signal.aborted) fail(error);
  }
  await changed(() => underWay === 0);
  await keeping;
  const failed = failure as { readonly error: unknown } | null; // assigned in a callback
  if (failed !== null) throw failed.error;
  return open.map(({ tally }) => tally);
}
