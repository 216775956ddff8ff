/**
 * Reconciliation on a schedule. Of all processes of a role one runs it at a time (a lock of Postgres, which ends with its connection), and none soon after
 * another has; all of them tell the same figures, which lie in Postgres.
 */
import { Counter, Gauge, type Registry } from "prom-client";
import type { Pool, PoolClient } from "pg";
import type { Logger } from "pino";

import { DifferenceKind } from "#shared/contracts/difference.ts";
import { every } from "#shared/runtime/lifecycle.ts";

import { keyOf } from "./difference.ts";
import type { Part } from "./parts.ts";
import { readBefore, readStanding, writeRun } from "./reconciled.ts";

export interface KeepOptions {
  /** Of the lock. */
  readonly role: string;
  /** Of its own: nobody else waits for these connections. */
  readonly pool: Pool;
  readonly parts: readonly Part[];
  /** Seconds; 0: never. */
  readonly everyS: number;
  readonly registry: Registry;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/** A run takes at most half of the time to the next. */
const TIME_SHARE = 0.5;
/** Processes look at different moments: a part that was run this share of the period ago is due. */
const DUE_SHARE = 0.9;
const MOST_LOGGED = 20;

/** Starts now, and then again until the signal. Never throws. */
export function keepReconciled(options: KeepOptions): void {
  if (options.everyS === 0) return;
  const run = makeRuns(options);
  void run();
  every(options.everyS * 1_000, options.signal, run);
}

/** One look: runs what is due and nobody else runs. Resolves to the parts that were run. Never rejects. */
export function makeRuns({ role, pool, parts, everyS, registry, log, signal, now }: KeepOptions): () => Promise<readonly string[]> {
  const metrics = makeMetrics(registry, everyS);
  const names = parts.map(({ name }) => name);
  let hasFailed = false;
  const lookAt = async (part: Part): Promise<boolean> => {
    const { mark, finishedAtMs, open } = await readBefore(pool, part.name);
    if (finishedAtMs !== null && now() - finishedAtMs < DUE_SHARE * everyS * 1_000) return false;
    const endsAtMs = now() + (TIME_SHARE * everyS * 1_000) / parts.length;
    const found = await part.run({ mark, open, isOver: () => signal.aborted || now() >= endsAtMs });
    const added = await writeRun(pool, part.name, found);
    for (const { meaning, ...difference } of added.slice(0, MOST_LOGGED)) log.error({ ...difference, part: part.name }, `money differs: ${meaning}`);
    const still = new Set(found.open.map(keyOf));
    const gone = open.filter((one) => !still.has(keyOf(one))).length;
    if (gone > 0) log.info({ part: part.name, gone }, "differences are gone");
    metrics.checked.inc({ part: part.name }, found.checked);
    return true;
  };
  return async () => {
    try {
      const ran = await withLock(pool, `infer reconcile ${role}`, async () => {
        const done: string[] = [];
        for (const part of parts) if (!signal.aborted && (await lookAt(part))) done.push(part.name);
        return done;
      });
      metrics.show(await readStanding(pool, names));
      hasFailed = false;
      return ran ?? [];
    } catch (error) {
      if (!hasFailed && !signal.aborted) log.warn({ err: error }, "not reconciled now; the next run goes on from there");
      hasFailed = true;
      return [];
    }
  };
}

/** `null`: another process has it. */
async function withLock<T>(pool: Pool, name: string, run: () => Promise<T>): Promise<T | null> {
  const client: PoolClient = await pool.connect();
  let broken: Error | undefined;
  try {
    const { rows: [lock] } = await client.query<{ mine: boolean }>("SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS mine", [name]);
    if (lock?.mine !== true) return null;
    try {
      return await run();
    } finally {
      await client.query("SELECT pg_advisory_unlock(hashtextextended($1, 0))", [name]).catch((error: unknown) => { broken = error as Error; });
    }
  } finally {
    client.release(broken); // its end frees the lock
  }
}

function makeMetrics(registry: Registry, everyS: number) {
  const registers = [registry];
  const differences = new Gauge({ name: "infer_reconcile_differences", help: "Open differences between places that must say the same of a request's money, by kind (docs/reconcile.md). All processes of a role say the same.", labelNames: ["kind"], registers });
  const behind = new Gauge({ name: "infer_reconcile_behind", help: "Messages, or accounts of budgets, that were not reconciled yet when the part's last run ended.", labelNames: ["part"], registers });
  const finished = new Gauge({ name: "infer_reconcile_last_success_timestamp_seconds", help: "When all parts had last been run to their end, whichever process did; 0 before the first time.", registers });
  const period = new Gauge({ name: "infer_reconcile_period_seconds", help: "INFER_RECONCILE_EVERY_S.", registers });
  const checked = new Counter({ name: "infer_reconcile_checked_total", help: "Outcomes, requests, calls and counters that this process has reconciled, by part.", labelNames: ["part"], registers });
  for (const kind of DifferenceKind.options) differences.set({ kind }, 0);
  period.set(everyS);
  return {
    checked,
    show(standing: Awaited<ReturnType<typeof readStanding>>): void {
      for (const kind of DifferenceKind.options) differences.set({ kind }, standing.open.get(kind) ?? 0);
      for (const [part, count] of standing.behind) behind.set({ part }, count);
      finished.set(standing.finishedAtS);
    },
  };
}
