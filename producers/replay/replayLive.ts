/**
 * Publishes recorded requests as new ones, through the door that every NATS publisher uses: limits, budgets and admission hold for them as
 * for any. What is sent has been counted before and confirmed, and no more than that is sent.
 */
import { setMaxListeners } from "node:events";

import type { AuditSource } from "#shared/audit/auditSource.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { DIRECT_ORIGIN } from "#shared/contracts/ids.ts";
import type { Replies } from "#shared/messaging/replies.ts";
import type { SubmitRequest } from "#shared/messaging/submitRequest.ts";
import type { Id } from "#shared/messaging/topology.ts";
import { pause } from "#shared/runtime/lifecycle.ts";

import { addOutcome, countIn, type LiveTally, mergedTallies, newLiveTally, type SkipReason } from "./liveTally.ts";
import { makeSchedule, type Pace } from "./pace.ts";
import { patiently } from "./patiently.ts";
import { isOfRun } from "./replayedId.ts";
import { type Asked, type Content, type ReplayOptions, requestOf } from "./requestOf.ts";
import { workThrough } from "./workThrough.ts";

/** `skipped: null`: it came of this run itself, so it is none of its events, whenever it is read. */
export type Planned = { readonly id: Id; readonly content: Content } | { readonly skipped: SkipReason | null };
export interface PlanDeps extends ReplayOptions {
  readonly findAsked: (completion: Completion) => Promise<Asked | null>;
  /** Whether the service would serve it. */
  readonly isTenantKnown: (tenantId: string) => Promise<boolean>;
}
/** What becomes of one event; the same for the estimate and for the run. */
export const makePlan = ({ findAsked, isTenantKnown, ...options }: PlanDeps) => async (completion: Completion): Promise<Planned> => {
  if (isOfRun(options.runId, completion.request_id)) return { skipped: null };
  if (!(await isTenantKnown(options.tenantMap.get(completion.tenant_id) ?? completion.tenant_id))) return { skipped: "tenant_unknown" };
  const asked = await findAsked(completion);
  if (asked === null) return { skipped: "no_input" };
  const made = requestOf(completion, asked, options);
  return "problem" in made ? { skipped: "invalid" } : made;
};

export interface LiveProgress {
  readonly tally: LiveTally;
  readonly cursor: string;
}
export interface LiveRun {
  readonly source: Pick<AuditSource, "batches">;
  readonly after?: string | undefined;
  /** Of the batches before. */
  readonly tally: LiveTally;
  /** Requests that may be sent, those of the batches before included. */
  readonly most: number;
  /** Once all outcomes together have cost more than this, no more is sent. `null`: only the budgets bound it. */
  readonly maxCostNanoUsd: number | null;
  readonly pace: Pace;
  readonly concurrency: number;
  /** Something may have been sent under this run's id before: its outcome is looked for first, as REQUESTS forgets an id before COMPLETIONS does. */
  readonly looksFirst: boolean;
  readonly plan: (completion: Completion) => Promise<Planned>;
  readonly submit: SubmitRequest;
  readonly replies: Pick<Replies, "expect" | "find" | "giveUp">;
  /** Of an outcome, for a request that names no deadline: the service's longest. */
  readonly longestDeadlineMs: number;
  readonly signal: AbortSignal;
  readonly keep: (progress: LiveProgress) => Promise<void>;
  readonly onProgress: (tally: LiveTally, underWay: number) => void;
  /** Monotonic, in milliseconds: the clock of `replies`. */
  readonly now: () => number;
}
export type LiveEnd = "all" | "interrupted" | "max_cost";

/** After the deadline, until the sweeper has ended it. */
const GRACE_MS = 30_000;
/** What was sent before Ctrl-C: its outcomes are found by whoever goes on. */
const LAST_OUTCOMES_MS = 10_000;

/** Throws `AppError` when the broker is away for longer than a minute; then, as after an interruption, the same run can go on. */
export async function replayLive(run: LiveRun): Promise<{ readonly end: LiveEnd; readonly tally: LiveTally }> {
  const { signal, replies, concurrency, plan, now, pace } = run;
  const stop = new AbortController();
  const stopped = AbortSignal.any([signal, stop.signal]);
  setMaxListeners(0, signal, stopped); // each request that is under way listens
  let end = "all" as LiveEnd;
  let kept = run.tally;
  let begun = run.tally.requests;
  let spentNanoUsd = run.tally.now.cost_nano_usd;
  let holdUntilMs = 0;
  let underWay = 0;
  const startedMs = now();
  const dueAt = makeSchedule(pace);
  const open = new Set<LiveTally>();
  const told = () => { run.onProgress([...open].reduce(mergedTallies, kept), underWay); };
  const giveUp = setTimeoutAfter(signal, LAST_OUTCOMES_MS, () => { replies.giveUp(); });

  const hasCostTooMuch = (): boolean => {
    if (run.maxCostNanoUsd === null || spentNanoUsd <= run.maxCostNanoUsd) return false;
    end = "max_cost";
    return true;
  };

  const ask = async (recorded: Completion, id: Id, content: Content, tally: LiveTally): Promise<"done" | "unfinished"> => {
    underWay += 1;
    const outcome = await outcomeOf(run, id, content).finally(() => { underWay -= 1; });
    if (outcome === null && signal.aborted) return "unfinished"; // whoever goes on finds it
    addOutcome(tally, recorded, outcome);
    spentNanoUsd += outcome?.cost_nano_usd ?? 0;
    const waitMs = outcome?.outcome === "rejected" || outcome?.outcome === "failed" ? (outcome.error?.retry_after_ms ?? 0) : 0;
    if (pace.kind === "max") holdUntilMs = Math.max(holdUntilMs, now() + waitMs);
    if (hasCostTooMuch()) stop.abort();
    told();
    return "done";
  };

  try {
    const left = await workThrough<LiveTally, Planned>({
      source: run.source, after: run.after, signal: stopped, concurrency,
      newTally: () => { const tally = newLiveTally(); open.add(tally); return tally; },
      unreadable: (batch, tally) => { for (const { why, count = 1 } of batch.unreadable) countIn(tally.unreadable, why, count); },
      prepare: ({ completion }) => plan(completion),
      async begin({ completion }, planned, tally) {
        if ("skipped" in planned) {
          if (planned.skipped !== null) countIn(tally.skipped, planned.skipped);
          return null;
        }
        if (begun >= run.most) return "stop"; // it came after the estimate: nobody has confirmed it
        if (hasCostTooMuch()) return "stop"; // a run before this one, that went on from the same place, may have spent it
        const dueMs = Math.max(startedMs + dueAt(completion.accepted_at_ms), holdUntilMs);
        if (dueMs > now()) await pause(dueMs - now(), stopped);
        if (stopped.aborted) return "stop";
        begun += 1;
        return () => ask(completion, planned.id, planned.content, tally);
      },
      async ended(cursor, tally) {
        kept = mergedTallies(kept, tally);
        open.delete(tally);
        await run.keep({ cursor, tally: kept });
      },
    });
    if (end === "all" && signal.aborted) end = "interrupted";
    return { end, tally: left.reduce(mergedTallies, kept) };
  } finally {
    giveUp();
  }
}

async function outcomeOf(run: LiveRun, id: Id, content: Content): Promise<Completion | null> {
  const { replies, submit, looksFirst, longestDeadlineMs, now, signal } = run;
  const earlier = looksFirst ? await replies.find(id) : null;
  if (earlier !== null) return earlier;
  const deadlineAtMs = now() + (content.deadline_ms ?? longestDeadlineMs);
  const expected = replies.expect(id, { deadlineAtMs, lastLookAtMs: deadlineAtMs + GRACE_MS, anyOrigin: false });
  try {
    const submitted = await patiently(run, () => submit(id, content, { origin: DIRECT_ORIGIN })); // safe to repeat: the id is the same
    const before = submitted === "repeated" ? await replies.find(id) : null;
    return before ?? (await expected.outcome);
  } catch (error) {
    if (signal.aborted && error === signal.reason) return null;
    throw error;
  } finally {
    expected.close();
  }
}

/** Returns what calls it off. */
function setTimeoutAfter(signal: AbortSignal, ms: number, run: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const start = () => { timer = setTimeout(run, ms); };
  if (signal.aborted) start();
  signal.addEventListener("abort", start, { once: true });
  return () => {
    signal.removeEventListener("abort", start);
    clearTimeout(timer);
  };
}
