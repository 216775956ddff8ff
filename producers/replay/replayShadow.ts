/**
 * Asks recorded requests again of chosen tiers, off the live path: the jobs are those of shadow sampling, so workers run them in slots of their
 * own, SHADOWS has the labels, and the ledger books what they cost as `shadow`, which no tenant pays.
 */
import { setMaxListeners } from "node:events";

import type { AuditSource } from "#shared/audit/auditSource.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { Shadow, type ShadowJob, ShadowTierEvent } from "#shared/contracts/shadow.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { shadowSubject, shadowTierSubject } from "#shared/messaging/topology.ts";
import { pause } from "#shared/runtime/lifecycle.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { countIn } from "./liveTally.ts";
import { makeSchedule } from "./pace.ts";
import { patiently } from "./patiently.ts";
import { addEvents, mergedShadowTallies, newShadowTally, type ShadowSkip, type ShadowTally, spentOf } from "./shadowTally.ts";
import { workThrough } from "./workThrough.ts";

/** `shadow`: the request has the baseline's answer itself, so its label is known without a call. */
export interface ShadowTask {
  readonly shadow: Shadow | null;
  readonly job: ShadowJob | null;
  /** The most that the calls may cost. */
  readonly mostNanoUsd: number;
}
export type ShadowPlan = ShadowTask | { readonly skipped: ShadowSkip };
export interface ShadowRun {
  readonly source: Pick<AuditSource, "batches">;
  readonly after?: string | undefined;
  /** Of the batches before. */
  readonly tally: ShadowTally;
  /** By its id, so that a run that goes on samples the same. */
  readonly isSampled: (completion: Completion) => boolean;
  readonly plan: (completion: Completion) => Promise<ShadowPlan>;
  readonly perS: number;
  readonly concurrency: number;
  /** What has been spent, and what is under way at its most, never pass it together. */
  readonly budgetNanoUsd: number;
  readonly publisher: Pick<Publisher, "emit">;
  readonly streams: Pick<StoredMessages, "last">;
  readonly prefix: string;
  readonly signal: AbortSignal;
  readonly keep: (progress: { readonly cursor: string; readonly tally: ShadowTally }) => Promise<void>;
  readonly onProgress: (tally: ShadowTally, underWay: number) => void;
  /** Without news of a request for so long, no more is expected of it. */
  readonly patienceMs: number;
  /** Monotonic, in milliseconds. */
  readonly now: () => number;
}
export type ShadowEnd = "all" | "interrupted" | "budget";

const LOOK_EVERY_MS = 200;
/** What is under way at Ctrl-C: its results are found by whoever goes on. */
const LAST_RESULTS_MS = 10_000;

export async function replayShadow(run: ShadowRun): Promise<{ readonly end: ShadowEnd; readonly tally: ShadowTally }> {
  const { signal, concurrency, plan, isSampled, budgetNanoUsd, now } = run;
  setMaxListeners(0, signal); // each request that is under way listens
  let end = "all" as ShadowEnd;
  let kept = run.tally;
  let spentNanoUsd = spentOf(run.tally);
  let committedNanoUsd = 0;
  let underWay = 0;
  let whenOneEnds: () => void = () => undefined;
  const startedMs = now();
  const dueAt = makeSchedule({ kind: "rate", perS: run.perS });
  const open = new Set<ShadowTally>();
  let lastLookMs = Infinity;
  signal.addEventListener("abort", () => { lastLookMs = now() + LAST_RESULTS_MS; whenOneEnds(); }, { once: true });

  const ask = async (task: ShadowTask, tally: ShadowTally): Promise<"done" | "unfinished"> => {
    try {
      const results = await publishAndAwait(run, task, () => lastLookMs);
      if (results === null) return "unfinished";
      const before = spentOf(tally);
      addEvents(tally, results.events, { mostNanoUsd: task.mostNanoUsd, isComplete: results.isComplete });
      spentNanoUsd += spentOf(tally) - before;
      return "done";
    } finally {
      // In one go with the above: there is no moment when it counts as neither.
      underWay -= 1;
      committedNanoUsd -= task.mostNanoUsd;
      run.onProgress([...open].reduce(mergedShadowTallies, kept), underWay);
      whenOneEnds();
    }
  };
  /** Whether there is money for it, perhaps once what is under way has come back and cost less than it might have. */
  const canAfford = async ({ mostNanoUsd }: ShadowTask): Promise<boolean> => {
    const fits = () => spentNanoUsd + committedNanoUsd + mostNanoUsd <= budgetNanoUsd;
    while (!fits() && underWay > 0 && !signal.aborted) await new Promise<void>((resolve) => { whenOneEnds = resolve; });
    return fits();
  };

  const left = await workThrough<ShadowTally, ShadowPlan>({
    source: run.source, after: run.after, signal, concurrency,
    newTally: () => { const tally = newShadowTally(); open.add(tally); return tally; },
    unreadable: (batch, tally) => { for (const { why, count = 1 } of batch.unreadable) countIn(tally.unreadable, why, count); },
    prepare: ({ completion }) => (isSampled(completion) ? plan(completion) : Promise.resolve({ skipped: "not_sampled" as const })),
    async begin({ completion }, task, tally) {
      if ("skipped" in task) {
        countIn(tally.skipped, task.skipped);
        return null;
      }
      if (!(await canAfford(task))) {
        if (!signal.aborted) end = "budget";
        return "stop";
      }
      const dueMs = startedMs + dueAt(completion.accepted_at_ms);
      if (dueMs > now()) await pause(dueMs - now(), signal);
      if (signal.aborted) return "stop";
      underWay += 1;
      committedNanoUsd += task.mostNanoUsd;
      return () => ask(task, tally);
    },
    async ended(cursor, tally) {
      kept = mergedShadowTallies(kept, tally);
      open.delete(tally);
      await run.keep({ cursor, tally: kept });
    },
  });
  if (end === "all" && signal.aborted) end = "interrupted";
  return { end, tally: left.reduce(mergedShadowTallies, kept) };
}

interface Results {
  readonly events: readonly (Shadow | ShadowTierEvent)[];
  readonly isComplete: boolean;
}
/** `null`: not known yet, at the end of an interrupted run. Safe to repeat: the first job and the first event of a subject are the only ones. */
async function publishAndAwait(run: ShadowRun, { shadow, job }: ShadowTask, lastLookMs: () => number): Promise<Results | null> {
  const { publisher, signal, now, patienceMs } = run;
  const traceparent = newTraceparent();
  try {
    if (shadow !== null) await patiently(run, () => publisher.emit(shadow, traceparent));
    if (job !== null) await patiently(run, () => publisher.emit(job, traceparent));
  } catch (error) {
    if (signal.aborted && error === signal.reason) return null;
    throw error;
  }
  let missing: readonly string[] = job === null ? [] : [job.tier, ...job.next_tiers];
  const events: (Shadow | ShadowTierEvent)[] = shadow === null ? [] : [shadow];
  for (let newsMs = now(); missing.length > 0 && job !== null;) {
    const still: string[] = [];
    for (const tier of missing) {
      const found = await lookFor(run, job, tier);
      if (found === null) still.push(tier);
      else events.push(found);
    }
    if (still.length < missing.length) newsMs = now();
    missing = still;
    // Without a sound answer of the baseline there is nothing to compare others with: nobody else is asked.
    if (missing.length === 0 || events.some((event) => event.type === "shadow.v1" && event.agreement === null)) break;
    if (now() >= lastLookMs()) return null;
    if (now() - newsMs >= patienceMs) return { events, isComplete: false };
    await pause(LOOK_EVERY_MS, signal.aborted ? new AbortController().signal : signal);
  }
  return { events, isComplete: true };
}

async function lookFor({ streams, prefix }: ShadowRun, job: ShadowJob, tier: string): Promise<Shadow | ShadowTierEvent | null> {
  const isLabel = tier === job.baseline_tier;
  const stored = await streams.last("SHADOWS", isLabel ? shadowSubject(prefix, job) : shadowTierSubject(prefix, job, tier));
  if (stored === null) return null;
  return isLabel ? readStored(Shadow, stored) : readStored(ShadowTierEvent, stored);
}
