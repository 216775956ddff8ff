/**
 * Parts of the reconciliation as they run again and again: each goes on where its last run ended, as far as its time allows, and looks again at every
 * difference that is open. A run returns all that are open now.
 */
import type { Redis } from "ioredis";

import type { Difference } from "#shared/contracts/difference.ts";
import { type ReadBatch, readRange, readSequences } from "#shared/messaging/readRange.ts";
import { completionSubject, type Source, sourcesOf } from "#shared/messaging/topology.ts";

import { checkCounters } from "./checkCounters.ts";
import { checkLoneLines, checkLoneLinesOf } from "./checkLoneLines.ts";
import { checkBeyond, checkOutcomes } from "./checkOutcomes.ts";
import { checkOwnLines, OWN_STREAMS } from "./checkOwnLines.ts";
import { checkRequests, type Promised } from "./checkRequests.ts";
import { keyOf } from "./difference.ts";
import { ackFloorOf, type KeptDays, keptSince, type Places, type Stand, standOf } from "./places.ts";
import { readTenantRules } from "./readBooks.ts";

/** How far a part has come. */
export interface Mark {
  /** Of the stream that it reads; empty where it reads none. */
  readonly created: string;
  readonly seq: number;
}
export interface PartRun {
  readonly mark: Mark;
  /** Messages that were there and are not looked at. */
  readonly behind: number;
  readonly checked: number;
  readonly open: readonly Difference[];
}
export interface Given {
  /** `null`: it never ran. */
  readonly mark: Mark | null;
  readonly open: readonly Difference[];
  /** Its time is over. */
  readonly isOver: () => boolean;
}
export interface Part {
  readonly name: string;
  /** Throws outages: then nothing is known to have changed. */
  readonly run: (given: Given) => Promise<PartRun>;
}

/** With more open than this a part looks at nothing new: something is wrong with all of it, which need not be written down one by one. */
export const MOST_OPEN = 2_000;
const AT_ONCE = 100;

interface Checked {
  readonly differences: readonly Difference[];
  readonly checked: number;
}
interface StreamPart {
  readonly stream: string;
  /** Who writes what it says into Postgres. */
  readonly source: Source;
  readonly check: (batch: ReadBatch, stand: Stand) => Promise<Checked>;
  /** Once it has come to the end. */
  readonly atTheEnd?: (stand: Stand) => Promise<readonly Difference[]>;
}

async function runStream(places: Places, { stream, source, check, atTheEnd }: StreamPart, { mark, open: before, isOver }: Given): Promise<PartRun> {
  const [stand, floor] = await Promise.all([standOf(places, stream), ackFloorOf(places, source)]);
  const isSame = mark?.created === stand.created;
  const open = new Map<string, Difference>();
  const note = (differences: readonly Difference[]) => { for (const one of differences) open.set(keyOf(one), one); };
  let checked = 0;
  // What COMPLETIONS has forgotten cannot be told from what is right any more.
  const seqs = isSame ? [...new Set(before.flatMap(({ stream_seq }) => (stream_seq === null || stream_seq < stand.firstSeq ? [] : [stream_seq])))] : [];
  for (let i = 0; i < seqs.length; i += AT_ONCE) note((await check(await readSequences(places.streams, stream, seqs.slice(i, i + AT_ONCE)), stand)).differences);
  let reached = isSame ? Math.max(mark.seq, stand.firstSeq - 1) : stand.firstSeq - 1;
  const to = Math.min(floor, stand.lastSeq);
  for await (const batch of open.size >= MOST_OPEN || reached >= to ? [] : readRange(places.streams, { stream, from: reached + 1, to })) {
    const found = await check(batch, stand);
    note(found.differences);
    checked += found.checked;
    reached = Math.max(reached, ...batch.messages.map(({ seq }) => seq), ...batch.gone);
    if (isOver() || open.size >= MOST_OPEN) break;
  }
  if (atTheEnd !== undefined && reached >= to) note(await atTheEnd(stand));
  return { mark: { created: stand.created, seq: reached }, behind: Math.max(0, stand.lastSeq - reached), checked, open: [...open.values()] };
}

/** Outcomes against the audit and the books. */
export const outcomesPart = (places: Places, days: KeptDays): Part => ({
  name: "outcomes",
  async run(given) {
    const kept = keptSince(days, await readTenantRules(places.pool), places.now());
    return runStream(places, {
      stream: "COMPLETIONS", source: sourcesOf(places.prefix).auditCompletions,
      async check(batch, stand) {
        const { differences, tally } = await checkOutcomes(places, batch, { stand, kept });
        return { differences, checked: tally.outcomes };
      },
      atTheEnd: (stand) => checkBeyond(places, { stand, kept }),
    }, given);
  },
});

/** What the service paid for itself, against the ledger. */
export const ownLinesPart = (places: Places, days: KeptDays, stream: keyof typeof OWN_STREAMS): Part => ({
  name: stream.toLowerCase(),
  async run(given) {
    const kept = keptSince(days, await readTenantRules(places.pool), places.now());
    return runStream(places, {
      stream, source: OWN_STREAMS[stream].source(places.prefix),
      async check(batch) {
        const { differences } = await checkOwnLines(places, stream, batch, { kept });
        return { differences, checked: batch.messages.length };
      },
    }, given);
  },
});

const HOUR_MS = 3_600_000;
/** A request may end, and be booked, so long after it was accepted. */
const OVERLAP_MS = HOUR_MS;
/** Before the first run: what COMPLETIONS may hold. */
const FIRST_LOOK_BACK_MS = 7 * 24 * HOUR_MS;

/** Lines booked from COMPLETIONS, hour by hour of when their requests were accepted. Its mark is a time. */
export const loneLinesPart = (places: Places): Part => ({
  name: "lone_lines",
  async run({ mark, open: before, isOver }) {
    const toMs = places.now() + 1;
    const open = new Map<string, Difference>();
    const note = (differences: readonly Difference[]) => { for (const one of differences) open.set(keyOf(one), one); };
    const ids = before.flatMap(({ tenant_id, request_id }) => (tenant_id === null || request_id === null ? [] : [{ tenant_id, request_id }]));
    if (ids.length > 0) note(await checkLoneLinesOf(places, ids));
    let reachedMs = mark === null ? toMs - FIRST_LOOK_BACK_MS : mark.seq - OVERLAP_MS;
    for (; reachedMs < toMs && open.size < MOST_OPEN && !isOver(); reachedMs = Math.min(toMs, reachedMs + HOUR_MS)) {
      note(await checkLoneLines(places, { fromMs: reachedMs, toMs: Math.min(toMs, reachedMs + HOUR_MS) }));
    }
    return { mark: { created: "", seq: reachedMs }, behind: 0, checked: 0, open: [...open.values()] };
  },
});

/** Nobody will ask for an outcome any more. */
const FORGOTTEN_MS = 7 * 24 * HOUR_MS;

/** Requests against outcomes. What may still end in time is looked at again by the next run. */
export const requestsPart = (places: Places, promised: Promised): Part => ({
  name: "requests",
  async run({ mark, open: before, isOver }) {
    const { streams, prefix, now } = places;
    const stand = await standOf(places, "REQUESTS");
    const open = new Map<string, Difference>();
    for (const one of before) {
      const { tenant_id, request_id, says } = one;
      if (tenant_id === null || request_id === null || Date.parse(says["accepted_at"] ?? "") < now() - FORGOTTEN_MS) continue;
      if ((await streams.last("COMPLETIONS", completionSubject(prefix, { tenant_id, request_id }))) === null) open.set(keyOf(one), one);
    }
    let reached = Math.max(mark?.created === stand.created ? mark.seq : 0, stand.firstSeq - 1);
    let firstPending: number | null = null;
    let checked = 0;
    for await (const batch of open.size >= MOST_OPEN || reached >= stand.lastSeq ? [] : readRange(streams, { stream: "REQUESTS", from: reached + 1, to: stand.lastSeq })) {
      const found = await checkRequests(places, batch, promised);
      for (const one of found.differences) open.set(keyOf(one), one);
      firstPending ??= found.firstPendingSeq;
      checked += found.requests;
      reached = Math.max(reached, ...batch.messages.map(({ seq }) => seq), ...batch.gone);
      if (isOver() || open.size >= MOST_OPEN) break;
    }
    const seq = firstPending === null ? reached : Math.min(reached, firstPending - 1);
    return { mark: { created: stand.created, seq }, behind: Math.max(0, stand.lastSeq - reached), checked, open: [...open.values()] };
  },
});

/** Counters and reservations in Redis: as many as a run can; those that are left over count as behind. */
export const countersPart = (places: Places, redis: Redis): Part => ({
  name: "counters",
  async run() {
    const { differences, counters, reservations, pending } = await checkCounters(places, redis);
    return { mark: { created: "", seq: 0 }, behind: pending, checked: counters + reservations, open: differences.slice(0, MOST_OPEN) };
  },
});
