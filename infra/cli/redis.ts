import { once } from "node:events";

import type { Redis } from "ioredis";
import { pino } from "pino";

import { connectRedis } from "#shared/liveState/connectRedis.ts";

/** Ready, or it throws within 5 s; whoever asked disconnects it. */
export async function openRedis(url: string): Promise<Redis> {
  const redis = connectRedis(url, "inferctl", pino({ level: "silent" }), { meanwhile: "", mostWaitMs: 2_000 });
  if (redis.status === "ready") return redis;
  await once(redis, "ready", { signal: AbortSignal.timeout(5_000) }).catch((error: unknown) => {
    redis.disconnect();
    throw error;
  });
  return redis;
}
