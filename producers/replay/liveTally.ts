/** What came of a live replay beside what is recorded, as JSON that an interrupted run goes on from. Pure. */
import { z } from "zod";

import type { Completion } from "#shared/contracts/events.ts";
import { LATENCY_BOUNDS_MS, quantileOf } from "#shared/ledger/latencyBuckets.ts";

const count = z.int().nonnegative();
const counts = z.record(z.string(), count);
const Side = z.object({ outcomes: counts, cost_nano_usd: count, tiers: counts, /** In buckets of `shared/ledger/latencyBuckets.ts`. */ latencies: z.array(count) });
export type Side = z.infer<typeof Side>;

export const LiveTally = z.object({
  /** That were sent. */
  requests: count,
  /** Sent, and no outcome came in time. */
  unanswered: count,
  now: Side,
  /** Of those that have an outcome, as it was then. */
  recorded: Side,
  /** Of those: asked the same tiers in the same order; has its answer from the same tier. */
  same_path: count,
  same_tier: count,
  /** Not sent, by reason. */
  skipped: counts,
  /** Of the source, by reason. */
  unreadable: counts,
});
export type LiveTally = z.infer<typeof LiveTally>;
/** `no_input`: no input was kept. `tenant_unknown`: not in this set-up. `invalid`: the service would not take it. */
export type SkipReason = "no_input" | "tenant_unknown" | "invalid";

const newSide = (): Side => ({ outcomes: {}, cost_nano_usd: 0, tiers: {}, latencies: Array.from({ length: LATENCY_BOUNDS_MS.length + 1 }, () => 0) });
export const newLiveTally = (): LiveTally => ({ requests: 0, unanswered: 0, now: newSide(), recorded: newSide(), same_path: 0, same_tier: 0, skipped: {}, unreadable: {} });

export const countIn = (counted: Record<string, number>, key: string, more = 1): void => { counted[key] = (counted[key] ?? 0) + more; };

/** `null`: no outcome came. */
export function addOutcome(tally: LiveTally, recorded: Completion, now: Completion | null): void {
  tally.requests += 1;
  if (now === null) {
    tally.unanswered += 1;
    return;
  }
  addTo(tally.now, now);
  addTo(tally.recorded, recorded);
  if (pathOf(now) === pathOf(recorded)) tally.same_path += 1;
  if (now.tier === recorded.tier) tally.same_tier += 1;
}

const pathOf = ({ attempts }: Completion): string => attempts.map(({ tier }) => tier).join();
const NO_TIER = "(none)";
const CACHED = "(cache)";
function addTo(side: Side, { outcome, cost_nano_usd, tier, cache, latency_ms }: Completion): void {
  countIn(side.outcomes, outcome);
  countIn(side.tiers, cache === undefined ? (tier ?? NO_TIER) : CACHED);
  side.cost_nano_usd += cost_nano_usd;
  const place = LATENCY_BOUNDS_MS.findIndex((bound) => latency_ms < bound);
  const bucket = place < 0 ? LATENCY_BOUNDS_MS.length : place;
  side.latencies[bucket] = (side.latencies[bucket] ?? 0) + 1;
}

/** Both together; changes neither. */
export const mergedTallies = (one: LiveTally, other: LiveTally): LiveTally => ({
  requests: one.requests + other.requests,
  unanswered: one.unanswered + other.unanswered,
  now: mergedSides(one.now, other.now),
  recorded: mergedSides(one.recorded, other.recorded),
  same_path: one.same_path + other.same_path,
  same_tier: one.same_tier + other.same_tier,
  skipped: mergedCounts(one.skipped, other.skipped),
  unreadable: mergedCounts(one.unreadable, other.unreadable),
});
const mergedSides = (one: Side, other: Side): Side => ({
  outcomes: mergedCounts(one.outcomes, other.outcomes),
  cost_nano_usd: one.cost_nano_usd + other.cost_nano_usd,
  tiers: mergedCounts(one.tiers, other.tiers),
  latencies: one.latencies.map((n, i) => n + (other.latencies[i] ?? 0)),
});
export function mergedCounts(one: Readonly<Record<string, number>>, other: Readonly<Record<string, number>>): Record<string, number> {
  const merged = { ...one };
  for (const [key, more] of Object.entries(other)) countIn(merged, key, more);
  return merged;
}

/** In milliseconds; `null`: of nothing. */
export const latencyOf = ({ latencies }: Side, share: number): number | null => quantileOf(latencies, share);

/** Share of requests whose tier would have to change for one mix to become the other, in [0, 1]: the total variation distance. */
export function mixChange(recorded: Side, now: Side): number {
  const total = (side: Side) => Object.values(side.tiers).reduce((sum, n) => sum + n, 0);
  const [before, after] = [total(recorded), total(now)];
  if (before === 0 || after === 0) return 0;
  const tiers = new Set([...Object.keys(recorded.tiers), ...Object.keys(now.tiers)]);
  return [...tiers].reduce((sum, tier) => sum + Math.abs((recorded.tiers[tier] ?? 0) / before - (now.tiers[tier] ?? 0) / after), 0) / 2;
}
