import { makePool } from "#shared/db/pool.ts";
import { eraseKeys } from "#shared/erasure/eraseKeys.ts";
import { keepErased } from "#shared/erasure/keepErased.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";
import type { RoleContext } from "#shared/runtime/runRole.ts";

const USE = { meanwhile: "keys of those who were erased stay", mostWaitMs: 2_000 };

/** Keys of those who were erased, until the signal, with connections of its own: no request waits for it. Audit sinks do the rows (sinks/audit/eraseAsked.ts). */
export function eraseKeysAsked({ databaseUrl, redisUrl, prefix }: { readonly databaseUrl: string; readonly redisUrl: string; readonly prefix: string }, { log, signal, onClose }: Pick<RoleContext, "log" | "signal" | "onClose">): void {
  const pool = makePool(databaseUrl, "router-erasure", (error) => { log.warn({ err: error }, "a Postgres connection broke"); }, { service: "router", connections: 1 });
  onClose("postgres of erasures", () => pool.end());
  const redis = connectRedis(redisUrl, "router-erasure", log, USE);
  onClose("redis of erasures", () => { redis.disconnect(); });
  keepErased({ pool, what: "keys", erase: (erasure) => eraseKeys(redis, prefix, erasure, signal), log, signal });
}
