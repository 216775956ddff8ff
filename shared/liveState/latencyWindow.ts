/**
 * The latest latencies of each tier, shared by all workers and routers: one Redis list per tier, newest first, cut to
 * a fixed length. It is a hint for routing, so an outage of Redis costs accuracy and nothing else.
 */
import type { Redis } from "ioredis";

const LENGTH = 256;
/** A tier that was idle this long is judged by its prior again. */
const EXPIRY_S = 600;
const keyOf = (prefix: string, tier: string) => `${prefix}:latency:${tier}`;

export interface LatencyQuantilesMs {
  readonly p50: number;
  readonly p95: number;
}

export async function pushLatencies(redis: Redis, prefix: string, tier: string, latenciesMs: readonly number[]): Promise<void> {
  if (latenciesMs.length === 0 || redis.status !== "ready") return;
  const key = keyOf(prefix, tier);
  await redis.multi().lpush(key, ...latenciesMs.map((ms) => ms.toFixed(3))).ltrim(key, 0, LENGTH - 1).expire(key, EXPIRY_S).exec();
}

/** Tiers with too few measurements are left out. */
export async function readQuantiles(redis: Redis, prefix: string, tiers: readonly string[]): Promise<Map<string, LatencyQuantilesMs>> {
  const found = new Map<string, LatencyQuantilesMs>();
  if (redis.status !== "ready") return found;
  const lists = await Promise.all(tiers.map(async (tier) => [tier, await redis.lrange(keyOf(prefix, tier), 0, LENGTH - 1)] as const));
  for (const [tier, list] of lists) {
    const quantiles = quantilesOf(list.map(Number));
    if (quantiles !== null) found.set(tier, quantiles);
  }
  return found;
}

/** Below this a 95th percentile says nothing. */
const ENOUGH = 20;
/** Pure. `null`: too few to say. */
export function quantilesOf(latenciesMs: readonly number[]): LatencyQuantilesMs | null {
  const sorted = latenciesMs.filter((ms) => Number.isFinite(ms) && ms >= 0).sort((a, b) => a - b);
  if (sorted.length < ENOUGH) return null;
  const at = (share: number) => Math.max(0.01, sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0);
  return { p50: at(0.5), p95: at(0.95) };
}
