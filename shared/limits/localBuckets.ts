/**
 * One process's share of the limits, for as long as Redis does not answer. Its buckets begin empty: what Redis's buckets gather
 * meanwhile is the one burst that an outage adds. Bounded: the bucket that was not asked for longest goes first.
 */
import { type Bucket, levelOf, type Verdict } from "./buckets.ts";

interface Held {
  readonly level: number;
  readonly atMs: number;
  /** At least its share of the burst, and as much as a single call asked for: a share too small for any call would shut it out. */
  readonly cap: number;
}
/** A request whose verdict is kept under its id. */
export interface Once {
  readonly requestId: string;
  readonly keepMs: number;
  readonly keepsRefusal: boolean;
}
export interface LocalBuckets {
  /** `share` in (0, 1]: of every rate and burst. */
  take(tenantId: string, buckets: readonly Bucket[], share: number, once?: Once): Verdict;
}

export function makeLocalBuckets({ maxEntries, now }: { readonly maxEntries: number; readonly now: () => number }): LocalBuckets {
  const held = new Map<string, Held>();
  const verdicts = new Map<string, { readonly isAdmitted: boolean; readonly untilMs: number }>();
  const keep = <V>(map: Map<string, V>, key: string, value: V) => {
    map.delete(key);
    map.set(key, value);
    if (map.size <= maxEntries) return;
    for (const eldest of map.keys()) { map.delete(eldest); break; }
  };
  return {
    take(tenantId, buckets, share, once) {
      const nowMs = now();
      const verdictKey = once === undefined ? null : `${tenantId}.${once.requestId}`;
      const stored = verdictKey === null ? undefined : verdicts.get(verdictKey);
      const known = stored !== undefined && nowMs < stored.untilMs ? stored : undefined;
      const states = buckets.map((bucket) => {
        const key = `${tenantId} ${bucket.scope} ${bucket.kind} ${bucket.owner}`;
        const before = held.get(key) ?? { level: 0, atMs: nowMs, cap: 0 };
        const { burst } = bucket.limit, ratePerS = bucket.ratePerS * share;
        const cap = Math.min(burst, Math.max(before.cap, burst * share, bucket.amount));
        return { bucket, key, ratePerS, cap, level: Math.min(cap, before.level + (Math.max(0, nowMs - before.atMs) * ratePerS) / 1_000) };
      });
      const isAdmitted = known?.isAdmitted ?? states.every(({ bucket, level }) => level >= bucket.amount);
      const takes = isAdmitted && known === undefined;
      if (once !== undefined && verdictKey !== null && known === undefined && (isAdmitted || once.keepsRefusal)) keep(verdicts, verdictKey, { isAdmitted, untilMs: nowMs + once.keepMs });
      return {
        isAdmitted,
        levels: states.map(({ bucket, key, ratePerS, cap, level }) => {
          const left = takes ? level - bucket.amount : level;
          keep(held, key, { level: left, atMs: nowMs, cap });
          return levelOf(bucket, left, { ratePerS, burst: cap });
        }),
      };
    },
  };
}
