import { Redis } from "ioredis";
import type { Logger } from "pino";

export interface RedisUse {
  /** What happens while Redis is away, for the log. */
  readonly meanwhile: string;
  /** Longest wait for a connection, and between tries. */
  readonly mostWaitMs: number;
  /** `false`: what was under way when the connection broke is not sent to whoever answers next. Default: it is. */
  readonly isResent?: boolean;
}
const LATENCIES: RedisUse = { meanwhile: "latencies come from the tier file", mostWaitMs: 2_000 };

/** Of a connection on which commands wait. They have given up by then, but the client keeps each until an answer comes or the connection ends. */
const SILENT_MS = 3_000;

/** Every wait is short and nothing is queued while Redis is away, or there and silent. */
export function connectRedis(url: string, name: string, log: Logger, { meanwhile, mostWaitMs, isResent = true } = LATENCIES): Redis {
  const redis = new Redis(url, {
    connectionName: `infer-${name}`,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    autoResendUnfulfilledCommands: isResent,
    commandTimeout: 1_000,
    socketTimeout: SILENT_MS,
    connectTimeout: mostWaitMs,
    retryStrategy: (times) => Math.min(mostWaitMs, 50 * 2 ** times),
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
