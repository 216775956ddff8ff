import type { FastifyReply } from "fastify";

import type { CacheStatus } from "#shared/cache/openAnswerCache.ts";
import type { Completion } from "#shared/contracts/events.ts";

const HEADER = "x-optimizer-cache";

/** Writes what the cache did; of a call that became several requests, a `miss` where they differ. */
export function onCacheOf(reply: FastifyReply): (status: CacheStatus) => void {
  const said = new Set<CacheStatus>();
  return (status) => {
    said.add(status);
    if (!reply.sent) void reply.header(HEADER, said.size === 1 ? status : "miss");
  };
}

/** Of an answer that was made for another request, also when it is asked for again. */
export const cacheHeadersOf = ({ cache }: Pick<Completion, "cache">): Record<string, string> =>
  cache === undefined ? {} : { age: String(Math.floor(cache.age_ms / 1_000)), [HEADER]: (cache.kind === "shared" ? "shared" : "hit") satisfies CacheStatus };
