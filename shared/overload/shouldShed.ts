/**
 * Whether a request is refused now, since it would not be answered in time, or so that others are. Pure: what was measured comes in.
 * The order is that of how much is known: an event loop that does not keep up, streams that are full, routers that are not there, a queue that is too long.
 */
import type { Lane } from "#shared/messaging/topology.ts";

/** Requests of a lane that were accepted and have not ended. */
export interface Queue {
  /** Ahead of the one that asks. */
  readonly open: number;
  readonly ofTenant: number;
  /** Tenants with open requests, or that were refused a moment ago. */
  readonly tenants: number;
  /** Requests that can be in work at once; 0: not known. */
  readonly slots: number;
  /** `null`: not known, so that nothing is refused for its wait, but what is beyond any queue that could be worked off. */
  readonly rate: { readonly endsPerS: number; readonly serviceMs: number } | null;
}
export interface ShedFacts {
  readonly lane: Lane;
  /** Until its deadline. */
  readonly leftMs: number;
  /** The longest wait that is let build up for requests that somebody waits for. */
  readonly maxQueueMs: number;
  readonly eventLoopLagMs: number;
  /** Of the streams that a request needs, how full the fullest is, in [0, 1]. */
  readonly fullestShare: number;
  /** What was accepted long ago has no outcome, and nobody has taken it up. */
  readonly isRoutingStalled: boolean;
  /** `null`: nothing was heard of late. */
  readonly queues: Readonly<Record<Lane, Queue>> | null;
}
export type ShedReason = "cold" | "event_loop" | "stalled" | "storage" | "tenant_share" | "wait";
export interface Shed {
  readonly reason: ShedReason;
  /** When there will be room, as far as is known: from 1 s to a minute. */
  readonly retryAfterMs: number;
}

/** From 100 ms on, a harmless burst of 1,000 requests at once was refused. */
const LEAST_LAG_MS = 500;
/** How often a request waits for the event loop until its answer is sent, about: connection, body, keys, limits, acks, outcome, answer. */
const LOOP_PASSES = 10;
/** What was accepted must still find room for its outcome. */
const MOST_FULL = { interactive: 0.9, batch: 0.8 };
/** Of the time that a request has besides its own work: what is estimated may be wrong, and who is late is of no use. */
const SHARE_OF_DEADLINE = { interactive: 0.75, batch: 0.5 };
/** Of the longest queue, from which on batches and tenants with more than their share of it are refused. */
const UNDER_PRESSURE = 0.5;
/** Room comes when messages age out, or somebody makes it. */
const STORAGE_AGAIN_MS = 5_000;
/** Somebody must start a router. */
const STALLED_AGAIN_MS = 30_000;
/**
 * For each slot, as many requests as are let in before anything is known of how fast they end. Few enough for a burst on a system that has just started not to be
 * let in whole, and more than a burst that it can work off: 64 answers of half a second each are the default deadline. Nobody waits for batches.
 */
const MOST_PER_SLOT = { interactive: 64, batch: 1_024 };
/** By then a rate is known where anything ends at all. */
const COLD_AGAIN_MS = 3_000;
const RETRY_AFTER_MS = { least: 1_000, most: 60_000 };

export function shouldShed({ lane, leftMs, maxQueueMs, eventLoopLagMs, fullestShare, isRoutingStalled, queues }: ShedFacts): Shed | null {
  const timeMs = Math.min(maxQueueMs, SHARE_OF_DEADLINE[lane] * leftMs);
  if (eventLoopLagMs >= LEAST_LAG_MS && LOOP_PASSES * eventLoopLagMs > timeMs) return shed("event_loop", eventLoopLagMs);
  if (fullestShare >= MOST_FULL[lane]) return shed("storage", STORAGE_AGAIN_MS);
  if (isRoutingStalled) return shed("stalled", STALLED_AGAIN_MS);
  if (queues === null) return null;
  const queue = queues[lane];
  if (queue.rate === null && queue.slots > 0 && queue.open >= MOST_PER_SLOT[lane] * queue.slots) return shed("cold", COLD_AGAIN_MS);
  const waitMs = waitOf(queue);
  const inTimeMs = Math.max(0, SHARE_OF_DEADLINE[lane] * (leftMs - (queue.rate?.serviceMs ?? 0)));
  if (lane === "batch") {
    const pressureMs = waitOf(queues.interactive) - UNDER_PRESSURE * maxQueueMs;
    if (pressureMs > 0) return shed("wait", pressureMs);
    return waitMs > inTimeMs ? shed("wait", waitMs - inTimeMs) : null;
  }
  const mostMs = Math.min(maxQueueMs, inTimeMs);
  const share = queue.tenants >= 2 ? queue.open / queue.tenants : Infinity;
  if (waitMs > UNDER_PRESSURE * mostMs && queue.ofTenant > share) return shed("tenant_share", waitMs - UNDER_PRESSURE * mostMs);
  // Who has less than its share finds a queue that others have made: it may wait for as long as it can.
  const isBelowShare = queue.tenants >= 2 && queue.ofTenant + 1 <= share;
  const boundMs = isBelowShare ? inTimeMs : mostMs;
  return waitMs > boundMs ? shed("wait", waitMs - boundMs) : null;
}

/** Until the last of those ahead is begun. 0 while a slot is free, and where nothing is known. */
export const waitOf = ({ open, slots, rate }: Queue): number => (rate === null ? 0 : (Math.max(0, open + 1 - Math.max(1, slots)) * 1_000) / rate.endsPerS);

const shed = (reason: ShedReason, afterMs: number): Shed => ({ reason, retryAfterMs: Math.ceil(Math.min(RETRY_AFTER_MS.most, Math.max(RETRY_AFTER_MS.least, afterMs))) });
