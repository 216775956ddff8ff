/**
 * One process's share of the limits, for as long as Redis does not answer. Its buckets begin empty: what Redis's buckets gather
 * meanwhile is the one burst that an outage adds. Bounded: the bucket that was not asked for longest goes first.
 */
import { type Bucket, levelOf, reserveOf, type Verdict } from "./buckets.ts";

interface Held {
  readonly level: number;
  readonly atMs: number;
  /** Most that a single call asked for: so much it holds at least, since a share too small for any call would shut it out. */
  readonly largest: number;
}
/** A request whose verdict is kept under its id, and for this content alone: another one under the id pays for itself. */
export interface Once {
  readonly requestId: string;
  readonly fingerprint: string;
  readonly keepMs: number;
  readonly keepsRefusal: boolean;
}
export interface LocalBuckets {
  /** `share` in (0, 1]: of every rate and burst. */
  take(tenantId: string, buckets: readonly Bucket[], share: number, once?: Once): Verdict;
  /** Redis decides again. The next outage begins with empty buckets as this one did; who has paid has. */
  forget(): void;
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
      const verdictKey = once === undefined ? null : `${tenantId}.${once.requestId}.${once.fingerprint}`;
      const stored = verdictKey === null ? undefined : verdicts.get(verdictKey);
      const known = stored !== undefined && nowMs < stored.untilMs ? stored : undefined;
      const states = buckets.map((bucket) => {
        const key = `${tenantId} ${bucket.scope} ${bucket.kind} ${bucket.owner}`;
        const before = held.get(key) ?? { level: 0, atMs: nowMs, largest: 0 };
        const { burst } = bucket.limit, ratePerS = bucket.ratePerS * share;
        const largest = Math.max(before.largest, bucket.amount);
        const cap = Math.min(burst, Math.max(burst * share, largest));
        return { bucket, key, ratePerS, largest, cap, level: Math.min(cap, before.level + (Math.max(0, nowMs - before.atMs) * ratePerS) / 1_000) };
      });
      const isAdmitted = known?.isAdmitted ?? states.every(({ bucket, level, cap }) => level >= bucket.amount + reserveOf(bucket, cap));
      const takes = isAdmitted && known === undefined;
      if (once !== undefined && verdictKey !== null && known === undefined && (isAdmitted || once.keepsRefusal)) keep(verdicts, verdictKey, { isAdmitted, untilMs: nowMs + once.keepMs });
      return {
        isAdmitted,
        levels: states.map(({ bucket, key, ratePerS, largest, cap, level }) => {
          const left = takes ? level - bucket.amount : level;
          keep(held, key, { level: left, atMs: nowMs, largest });
          return levelOf(bucket, left, { ratePerS, burst: cap });
        }),
      };
    },
    forget: () => { held.clear(); },
  };
}
