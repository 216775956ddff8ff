/**
 * The part of the reconciliation that this role can do: it has Redis, and may read what REQUESTS holds, which are prompts. Requests against outcomes, and the
 * counters of budgets against what was spent. Audit sinks do the rest (sinks/audit/reconcileBooks.ts).
 */
import type { Registry } from "prom-client";

import { makePool } from "#shared/db/pool.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { keepReconciled } from "#shared/reconcile/keepReconciled.ts";
import { countersPart, requestsPart } from "#shared/reconcile/parts.ts";
import type { RoleContext } from "#shared/runtime/runRole.ts";

const USE = { meanwhile: "counters are not reconciled", mostWaitMs: 2_000 };

export interface ReconcileCountersOptions {
  readonly config: {
    readonly databaseUrl: string; readonly redisUrl: string; readonly prefix: string; readonly reconcileEveryS: number;
    readonly defaultDeadlineMs: number; readonly maxDeadlineMs: number; readonly sweepGraceMs: number;
  };
  readonly broker: Pick<Broker, "jsm" | "streams" | "now">;
  readonly registry: Registry;
}

/** Until the signal, with connections of its own: no request waits for it. */
export function reconcileCounters({ config, broker: { jsm, streams, now }, registry }: ReconcileCountersOptions, { log, signal, onClose }: Pick<RoleContext, "log" | "signal" | "onClose">): void {
  const { prefix, reconcileEveryS: everyS } = config;
  if (everyS === 0) return;
  const pool = makePool(config.databaseUrl, "router-reconcile", (error) => { log.warn({ err: error }, "a Postgres connection broke"); }, { service: "router", statementTimeoutMs: 60_000 });
  onClose("postgres of the reconciliation", () => pool.end());
  const redis = connectRedis(config.redisUrl, "router-reconcile", log, USE);
  onClose("redis of the reconciliation", () => { redis.disconnect(); });
  const places = { jsm, streams, pool, prefix, now };
  keepReconciled({ role: "router", pool, parts: [requestsPart(places, config), countersPart(places, redis)], everyS, registry, log, signal, now });
}
