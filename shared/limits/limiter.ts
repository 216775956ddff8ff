/**
 * Decides whether a call is within its limits: in Redis, for all processes together, or, when Redis does not answer in time,
 * by this process's share of them. Never without a limit, and never an outage for whoever calls.
 */
import type { Redis, Result } from "ioredis";
import { z } from "zod";

import { type Bucket, levelOf, reserveOf, type Verdict } from "./buckets.ts";
import { makeLocalBuckets, type Once } from "./localBuckets.ts";
import { TAKE_SCRIPT } from "./takeScript.ts";

declare module "ioredis" {
  interface RedisCommander<Context> {
    takeFromBuckets(keyCount: number, ...keysAndArguments: (string | number)[]): Result<unknown, Context>;
  }
}

export interface Limiter {
  /** Never throws. Asks nobody when there is no bucket. */
  readonly take: (tenantId: string, buckets: readonly Bucket[], once?: Once) => Promise<Verdict>;
  /** Since the last decision. */
  readonly isLocal: () => boolean;
}
export interface LimiterDeps {
  readonly redis: Redis;
  readonly prefix: string;
  /** Processes that decide, as far as is known; this one at least. */
  readonly admitters: () => number;
  readonly observe: (by: "redis" | "local") => void;
  /** Monotonic, in milliseconds. */
  readonly now: () => number;
}

const PATIENCE_MS = 100;
/** After a failure Redis is asked again by one decision at a time, this much later. */
const REST_MS = 250;
const MAX_LOCAL_ENTRIES = 20_000;
const NO_LIMIT: Verdict = { isAdmitted: true, levels: [] };
const Reply = z.tuple([z.union([z.literal(0), z.literal(1)])], z.coerce.number());

export function makeLimiter({ redis, prefix, admitters, observe, now }: LimiterDeps): Limiter {
  redis.defineCommand("takeFromBuckets", { lua: TAKE_SCRIPT });
  const local = makeLocalBuckets({ maxEntries: MAX_LOCAL_ENTRIES, now });
  const state = { isLocal: false, isAsking: false, asksAgainAtMs: 0 };

  async function inRedis(tenantId: string, buckets: readonly Bucket[], once: Once | undefined): Promise<Verdict | null> {
    if (redis.status !== "ready" || (state.isLocal && (state.isAsking || now() < state.asksAgainAtMs))) return null;
    state.isAsking = true;
    try {
      const keys = keysOf(prefix, tenantId, buckets, once);
      const [isAdmitted, ...levels] = Reply.parse(await within(PATIENCE_MS, redis.takeFromBuckets(keys.length, ...keys, ...argumentsOf(buckets, once))));
      if (state.isLocal) local.forget();
      state.isLocal = false;
      return { isAdmitted: isAdmitted === 1, levels: buckets.map((bucket, i) => levelOf(bucket, levels[i] ?? 0)) };
    } catch {
      state.asksAgainAtMs = now() + REST_MS;
      return null;
    } finally {
      state.isAsking = false;
    }
  }

  return {
    isLocal: () => state.isLocal,
    async take(tenantId, buckets, once) {
      if (buckets.length === 0) return NO_LIMIT;
      const verdict = await inRedis(tenantId, buckets, once);
      observe(verdict === null ? "local" : "redis");
      if (verdict !== null) return verdict;
      state.isLocal = true;
      return local.take(tenantId, buckets, 1 / Math.max(1, admitters()), once);
    },
  };
}

/** What all keys of a tenant begin with: all in one slot of a cluster, by what is in braces. */
export const limitKeysOf = (prefix: string, tenantId: string): string => `${prefix}:limit:{${tenantId}}:`;

function keysOf(prefix: string, tenantId: string, buckets: readonly Bucket[], once: Once | undefined): string[] {
  const ofTenant = limitKeysOf(prefix, tenantId);
  const keys = buckets.map(({ scope, kind, owner }) => `${ofTenant}${scope}:${kind}:${owner}`);
  return once === undefined ? keys : [...keys, `${ofTenant}verdict:${once.requestId}:${once.fingerprint}`];
}
function argumentsOf(buckets: readonly Bucket[], once: Once | undefined): number[] {
  const amounts = buckets.flatMap((bucket) => [bucket.ratePerS, bucket.limit.burst, bucket.amount, reserveOf(bucket)]);
  return [buckets.length, ...amounts, ...(once === undefined ? [] : [Math.ceil(once.keepMs), Number(once.keepsRefusal)])];
}

function within<T>(ms: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    // A process that was busy for longer reads first what the socket holds already: timers come before it, immediates after.
    const timer = setTimeout(() => setImmediate(() => { reject(new Error(`no answer within ${ms} ms`)); }), ms);
    work.then(resolve, reject).finally(() => { clearTimeout(timer); });
  });
}
