/**
 * Everything once, for whoever asks: each place against the others in a window of time. One batch is in memory at a time, and differences are given
 * away as they are found.
 */
import type { Redis } from "ioredis";

import type { Difference } from "#shared/contracts/difference.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { readRange, sequenceAt } from "#shared/messaging/readRange.ts";
import { sourcesOf } from "#shared/messaging/topology.ts";

import { checkCounters, type CountersChecked } from "./checkCounters.ts";
import { checkLoneLines } from "./checkLoneLines.ts";
import { checkBeyond, checkOutcomes } from "./checkOutcomes.ts";
import { checkOwnLines, OWN_STREAMS } from "./checkOwnLines.ts";
import { checkRequests, type Promised } from "./checkRequests.ts";
import { NO_TALLY, plus, type Tally } from "./compareOutcomes.ts";
import { ackFloorOf, type KeptDays, keptSince, type Places, type Stand, standOf } from "./places.ts";
import { readTenantRules } from "./readBooks.ts";

export interface ReconcileOptions {
  readonly days: KeptDays;
  readonly promised: Promised;
  readonly redis: Redis;
  /** Epoch milliseconds, by when the streams stored it; absent: all that they hold. */
  readonly fromMs?: number | undefined;
  /** Without it. */
  readonly toMs?: number | undefined;
  readonly tenantId?: string | undefined;
  readonly onDifference: (difference: Difference) => void;
  readonly onProgress: (what: string, done: number, of: number) => void;
}
export interface Reconciled {
  readonly requests: { readonly count: number; readonly pending: number };
  readonly outcomes: Tally;
  /** Stored, and not yet written by the audit sink. Of all tenants. */
  readonly notAudited: number;
  /** Shadow labels and audits of the cache; late runs. */
  readonly own: Readonly<Record<keyof typeof OWN_STREAMS, { readonly lines: number; readonly cost: bigint; readonly pending: number }>>;
  readonly counters: Omit<CountersChecked, "differences">;
}

const HOUR_MS = 3_600_000;
const WEEK_MS = 7 * 24 * HOUR_MS;
/** No line is kept longer by default. */
const OLDEST_MS = 400 * 86_400_000;

/** Throws outages: `broker_unavailable`, `database_unavailable`, `budget_unknown`; `broker_unavailable` too when COMPLETIONS is made anew meanwhile. */
export async function reconcile(places: Places, options: ReconcileOptions): Promise<Reconciled> {
  const { days, tenantId } = options;
  const kept = keptSince(days, await readTenantRules(places.pool), places.now());
  const give = (differences: readonly Difference[]) => { for (const one of differences) options.onDifference(one); };

  const requests = await ofRequests(places, options, give);

  const stand = await standOf(places, "COMPLETIONS");
  const window = await windowOf(places, "COMPLETIONS", stand, options);
  const floor = await ackFloorOf(places, sourcesOf(places.prefix).auditCompletions);
  let outcomes = NO_TALLY;
  const to = Math.min(floor, window.to);
  for await (const batch of readRange(places.streams, { stream: "COMPLETIONS", from: window.from, to })) {
    const { differences, tally } = await checkOutcomes(places, batch, { stand, kept, tenantId });
    give(differences);
    outcomes = plus(outcomes, tally);
    options.onProgress("COMPLETIONS", Math.max(0, ...batch.messages.map(({ seq }) => seq)) - window.from + 1, to - window.from + 1);
  }
  if (options.toMs === undefined) give(await checkBeyond(places, { stand, kept, tenantId }));

  const own = { SHADOWS: await ofOwn(places, "SHADOWS", options, kept, give), DEAD_LETTERS: await ofOwn(places, "DEAD_LETTERS", options, kept, give) };
  await ofLoneLines(places, options, stand, give);
  const { differences, ...counters } = await checkCounters(places, options.redis, tenantId);
  give(differences);

  if ((await standOf(places, "COMPLETIONS")).created !== stand.created) throw new AppError("broker_unavailable", "COMPLETIONS was made anew meanwhile: run it again");
  return { requests, outcomes, notAudited: Math.max(0, window.to - Math.max(floor, window.from - 1)), own, counters };
}

type Give = (differences: readonly Difference[]) => void;

async function windowOf({ streams }: Places, stream: string, { firstSeq, lastSeq }: Stand, { fromMs, toMs }: Pick<ReconcileOptions, "fromMs" | "toMs">): Promise<{ readonly from: number; readonly to: number }> {
  const all = { stream, from: firstSeq, to: lastSeq };
  return { from: fromMs === undefined ? firstSeq : await sequenceAt(streams, all, fromMs), to: toMs === undefined ? lastSeq : (await sequenceAt(streams, all, toMs)) - 1 };
}

async function ofRequests(places: Places, options: ReconcileOptions, give: Give): Promise<Reconciled["requests"]> {
  const { from, to } = await windowOf(places, "REQUESTS", await standOf(places, "REQUESTS"), options);
  let [count, pending] = [0, 0];
  for await (const batch of readRange(places.streams, { stream: "REQUESTS", from, to })) {
    const found = await checkRequests(places, batch, options.promised, options.tenantId);
    give(found.differences);
    count += found.requests;
    pending += found.pending;
    options.onProgress("REQUESTS", Math.max(0, ...batch.messages.map(({ seq }) => seq)) - from + 1, to - from + 1);
  }
  return { count, pending };
}

async function ofOwn(places: Places, stream: keyof typeof OWN_STREAMS, options: ReconcileOptions, kept: Parameters<typeof checkOwnLines>[3]["kept"], give: Give): Promise<Reconciled["own"]["SHADOWS"]> {
  const [{ from, to }, floor] = [await windowOf(places, stream, await standOf(places, stream), options), await ackFloorOf(places, OWN_STREAMS[stream].source(places.prefix))];
  let [lines, cost] = [0, 0n];
  for await (const batch of readRange(places.streams, { stream, from, to: Math.min(floor, to) })) {
    const found = await checkOwnLines(places, stream, batch, { kept, tenantId: options.tenantId });
    give(found.differences);
    lines += found.lines;
    cost += found.cost;
    options.onProgress(stream, Math.max(0, ...batch.messages.map(({ seq }) => seq)) - from + 1, Math.min(floor, to) - from + 1);
  }
  return { lines, cost, pending: Math.max(0, to - Math.max(floor, from - 1)) };
}

/** Hour by hour, so that no query takes long. */
async function ofLoneLines(places: Places, { fromMs, toMs: askedToMs = Infinity, tenantId }: ReconcileOptions, { firstSeq }: Stand, give: Give): Promise<void> {
  const toMs = Math.min(askedToMs, places.now() + 1);
  const oldest = fromMs === undefined ? await places.streams.bySequence("COMPLETIONS", firstSeq) : null;
  const startMs = Math.max(places.now() - OLDEST_MS, fromMs ?? (oldest === null ? places.now() - WEEK_MS : oldest.time.getTime() - HOUR_MS)); // accepted before it ended
  for (let at = startMs; at < toMs; at += HOUR_MS) give(await checkLoneLines(places, { fromMs: at, toMs: Math.min(toMs, at + HOUR_MS), tenantId }));
}
