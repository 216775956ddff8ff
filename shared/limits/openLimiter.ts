/** What a role needs to hold callers to their limits: Redis, how many others do, and metrics. */
import { once } from "node:events";

import { Counter, Gauge, type Registry } from "prom-client";
import type { Logger } from "pino";

import { connectRedis } from "#shared/liveState/connectRedis.ts";
import { followAdmitters } from "#shared/messaging/admitters.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import type { Lifecycle } from "#shared/runtime/lifecycle.ts";

import type { Level } from "./buckets.ts";
import { type Limiter, makeLimiter } from "./limiter.ts";

/** At a start: what is decided before the connection stands is decided by a share that begins empty. */
const CONNECT_WITHIN_MS = 1_000;
/** Redis counts again within a second of its return. */
const USE = { meanwhile: "rate limits are kept by each process's share of them", mostWaitMs: 500 };

export interface Limits extends Pick<Limiter, "take"> {
  /** Counts a call that was refused. */
  readonly refused: (level: Level) => void;
}
export interface LimiterOptions {
  readonly redisUrl: string;
  readonly prefix: string;
  readonly door: "http" | "nats";
  readonly registry: Registry;
  readonly broker: Pick<Broker, "nats" | "instance">;
}

export async function openLimiter({ redisUrl, prefix, door, registry, broker: { nats, instance } }: LimiterOptions, { log, signal, onClose }: Lifecycle & { log: Logger }): Promise<Limits> {
  const redis = connectRedis(redisUrl, `${door}-limits`, log, USE);
  onClose("redis", () => { redis.disconnect(); });
  const registers = [registry];
  const decisions = new Counter({ name: "infer_limit_decisions_total", help: "Decisions about rate limits, by who counted: redis for all processes, local by this process's share.", labelNames: ["by"], registers });
  const refusals = new Counter({ name: "infer_rate_limited_total", help: "Calls refused by a rate limit, by door, and by scope and kind of the limit.", labelNames: ["door", "scope", "kind"], registers });
  const limiter = makeLimiter({ redis, prefix, admitters: followAdmitters(nats, { prefix, instance, signal }), observe: (by) => { decisions.inc({ by }); }, now: () => performance.now() });
  new Gauge({ name: "infer_limits_local", help: "1 while rate limits are kept by this process's share of them, since Redis does not answer.", registers, collect() { this.set(Number(limiter.isLocal())); } });
  if (redis.status !== "ready") await once(redis, "ready", { signal: AbortSignal.any([signal, AbortSignal.timeout(CONNECT_WITHIN_MS)]) }).catch(() => undefined);
  return { take: limiter.take, refused: ({ bucket: { scope, kind } }) => { refusals.inc({ door, scope, kind }); } };
}
