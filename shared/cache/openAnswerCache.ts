import { Counter, type Registry } from "prom-client";

import { connectRedis } from "#shared/liveState/connectRedis.ts";
import type { RoleContext } from "#shared/runtime/runRole.ts";
import { subkey } from "#shared/tenancy/keyText.ts";

import { type AnswerCache, makeAnswerCache } from "./answerCache.ts";

/** How a request that may use the cache fared. `shared`: it got the answer of one that ran at the same time. `bypass`: it may not. */
export type CacheStatus = "hit" | "shared" | "miss" | "bypass";
export interface OpenCacheOptions {
  readonly role: string;
  readonly redisUrl: string;
  readonly prefix: string;
  /** INFER_SECRET. */
  readonly secret: string | null;
  /** Epoch milliseconds, by a clock that all who keep answers have. */
  readonly now: () => number;
  readonly registry: Registry;
}

/** A role's cache, over a connection of its own: a slow reply to something else is not waited for. */
export function openAnswerCache({ role, redisUrl, prefix, secret, now, registry }: OpenCacheOptions, { log, onClose }: Pick<RoleContext, "log" | "onClose">): { readonly cache: AnswerCache; readonly observe: (status: CacheStatus) => void; readonly observeOutdated: () => void } {
  const registers = [registry];
  const requests = new Counter({ name: "infer_cache_requests_total", help: "Requests by what the cache did for them.", labelNames: ["result"], registers });
  const kept = new Counter({ name: "infer_cache_kept_total", help: "Answers that were kept.", registers });
  const notKept = new Counter({ name: "infer_cache_not_kept_total", help: "Answers that might have been kept, by why they were not.", labelNames: ["reason"], registers });
  const unusable = new Counter({ name: "infer_cache_unusable_total", help: "Kept entries that this service did not write, or not with this secret.", registers });
  const unavailable = new Counter({ name: "infer_cache_unavailable_total", help: "Calls of the cache's Redis that were not answered, or not in time; the requests went on without.", registers });
  const outdated = new Counter({ name: "infer_cache_semantic_outdated_total", help: "Requests of tenants whose semantic cache is off until this version of its guard is evaluated.", registers });
  const redis = connectRedis(redisUrl, `${role}-cache`, log, { meanwhile: "no answers are kept or shared", mostWaitMs: 2_000 });
  onClose("cache", () => { redis.disconnect(); });
  const cache = makeAnswerCache({
    redis, prefix, sealKey: secret === null ? Buffer.alloc(0) : subkey(secret, "cache"), now,
    observe: { kept: () => { kept.inc(); }, notKept: (reason) => { notKept.inc({ reason }); }, forged: () => { unusable.inc(); }, unavailable: () => { unavailable.inc(); } },
  });
  return { cache, observe: (result) => { requests.inc({ result }); }, observeOutdated: () => { outdated.inc(); } };
}
