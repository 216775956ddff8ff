/** Counters of budgets against what history says was spent, and reservations against what has ended. Pure. */
import type { Difference } from "#shared/contracts/difference.ts";
import type { Counter, HeldReservation } from "#shared/ledger/readCounters.ts";

import { differenceOf } from "./difference.ts";

/** Of an account, at the counters' mark. `historyNanoUsd`: `null` where it cannot be told now. */
export interface CounterAndHistory {
  readonly counter: Counter;
  readonly historyNanoUsd: number | null;
}

export function compareCounters(all: readonly CounterAndHistory[], markSeq: number): Difference[] {
  return all.flatMap(({ counter: { scope, owner, windowId, timeZone, tenantId, spentNanoUsd, isLoading }, historyNanoUsd }) => {
    if (isLoading || historyNanoUsd === null || spentNanoUsd === historyNanoUsd) return [];
    return [differenceOf({ kind: "counter_differs", tenant_id: scope === "global" ? null : tenantId, request_id: null, about: `${scope} ${owner} ${windowId} ${timeZone}`, says: { redis_nano_usd: String(spentNanoUsd), history_nano_usd: String(historyNanoUsd), mark: String(markSeq) } })];
  });
}

/** What became of a request that money is held for. `null`: COMPLETIONS has no outcome. */
export interface HeldAndEnd {
  readonly held: HeldReservation;
  readonly end: { readonly seq: number; readonly storedAtMs: number } | null;
}
/** What ended just now may be freed in the next moment. */
const LONG_AGO_MS = 60_000;

export function compareReservations(all: readonly HeldAndEnd[], { markSeq, nowMs }: { readonly markSeq: number; readonly nowMs: number }): Difference[] {
  return all.flatMap(({ held: { tenant_id, request_id, amountNanoUsd, leaseEndsAtMs }, end }) => {
    const isBooked = end !== null && end.seq <= markSeq && end.storedAtMs <= nowMs - LONG_AGO_MS;
    const isOver = leaseEndsAtMs <= nowMs - LONG_AGO_MS;
    if (!isBooked && !isOver) return [];
    return [differenceOf({ kind: "reservation_left", tenant_id, request_id, says: { redis_nano_usd: String(amountNanoUsd), outcome: end === null ? "none" : `booked, sequence ${end.seq}`, lease_ends_at: new Date(leaseEndsAtMs).toISOString() } })];
  });
}
