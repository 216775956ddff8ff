import { Redis } from "ioredis";
import type { Logger } from "pino";

/** Every wait is short and nothing is queued while Redis is away. */
export function connectRedis(url: string, name: string, log: Logger, meanwhile = "latencies come from the tier file"): Redis {
  const redis = new Redis(url, {
    connectionName: `infer-${name}`,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    commandTimeout: 1_000,
    connectTimeout: 2_000,
    retryStrategy: (times) => Math.min(2_000, 50 * 2 ** times),
  });
  let isDown = false;
  redis.on("error", (error) => {
    if (!isDown) log.warn({ err: error }, `Redis is away; ${meanwhile}`);
    isDown = true;
  });
  redis.on("ready", () => {
    if (isDown) log.info("Redis is back");
    isDown = false;
  });
  return redis;
}
