/**
 * Books the outcomes of requests in the ledger: reads COMPLETIONS in order, from where they are booked to, and turns each reservation into what was
 * spent. Several routers may run it: each outcome is booked by whoever comes first. Needs nothing but the stream.
 */
import type { Logger } from "pino";

import { nanoUsd } from "#shared/contracts/money.ts";
import type { Ledger, Outcome } from "#shared/ledger/ledger.ts";
import { backoffMs } from "#shared/messaging/consume.ts";
import type { Followed, FollowedCompletion } from "#shared/messaging/followCompletions.ts";
import { every, pause } from "#shared/runtime/lifecycle.ts";

export interface SettlementDeps {
  readonly ledger: Pick<Ledger, "begin" | "settle" | "expire">;
  /** Reads from a sequence on, until it is stopped. */
  readonly follow: (fromSeq: number) => Promise<Followed>;
  /** Something was booked, here or elsewhere. */
  readonly onBooked: (upTo: number) => void;
  readonly observeExpired: (count: number) => void;
  readonly log: Logger;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

const MOST_AT_ONCE = 200;
const EXPIRE_EVERY_MS = 10_000;
const AGAIN_AFTER_MS = 500;
/** Outcomes of so long are booked by one call: under load by far the most. Until then what they did not spend stays reserved. */
const TOGETHER_MS = 10;

/** Until the signal. What is away is waited for; meanwhile reservations stand, so nothing is overspent. */
export async function runSettlement(deps: SettlementDeps): Promise<void> {
  const { log, signal } = deps;
  for (let failures = 0; !signal.aborted; ) {
    try {
      const count = await settleFrom(await deps.ledger.begin(), deps, () => { failures = 0; });
      if (count === 0) await pause(AGAIN_AFTER_MS, signal);
    } catch (error) {
      if (failures++ === 0) log.warn({ err: error }, "outcomes are not booked now; what was reserved stays reserved");
      await pause(backoffMs(Math.min(failures, 4), Math.random()), signal);
    }
  }
}

/** Returns when Redis or the stream begin anew, with how many batches were booked. */
async function settleFrom(mark: number, { ledger, follow, onBooked, observeExpired, now, signal }: SettlementDeps, onProgress: () => void): Promise<number> {
  const followed = await follow(mark + 1);
  const stopping = new AbortController();
  every(EXPIRE_EVERY_MS, stopping.signal, () => expireLeases({ ledger, observeExpired, now }).catch(() => undefined)); // an outage: the next time
  try {
    let booked = mark;
    for (let count = 0; ; count++) {
      const batch = await followed.next(MOST_AT_ONCE, signal);
      if (batch === null) return count;
      // Another router may have been quicker, and come further or not as far: the rest is booked by a next try.
      for (const last = batch.at(-1)?.seq ?? 0; last > booked; ) {
        const after = booked;
        const outcomes = batch.filter(({ seq }) => seq > after).map(outcomeOf);
        const upTo = await ledger.settle(outcomes, { after, upTo: last });
        if (upTo === null || upTo < booked) return count;
        booked = upTo;
        onProgress();
        onBooked(booked);
      }
      if (batch.length < MOST_AT_ONCE) await pause(TOGETHER_MS, signal);
    }
  } finally {
    stopping.abort();
    followed.stop();
  }
}

/** Leases end ten minutes after an outcome must be there, so booking has caught up long before, or has not been possible for as long. */
async function expireLeases({ ledger, observeExpired, now }: Pick<SettlementDeps, "ledger" | "observeExpired" | "now">): Promise<void> {
  const count = await ledger.expire(now());
  if (count > 0) observeExpired(count);
}

/** Of what cannot be read no cost is known: its reservation is freed. */
function outcomeOf({ id, completion }: FollowedCompletion): Outcome {
  if (completion === null) return { ...id, costNanoUsd: nanoUsd(0), spentBy: null };
  const { user_id, key_id = null, cost_nano_usd, accepted_at_ms } = completion;
  return { ...id, costNanoUsd: cost_nano_usd, spentBy: { user_id, key_id, acceptedAtMs: accepted_at_ms } };
}
