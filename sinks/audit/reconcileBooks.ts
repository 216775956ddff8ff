/** The part of the reconciliation that this role can do: what COMPLETIONS, SHADOWS and DEAD_LETTERS hold against Postgres. Routers do the rest (router/reconcileCounters.ts). */
import type { Registry } from "prom-client";

import { makePool } from "#shared/db/pool.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { keepReconciled } from "#shared/reconcile/keepReconciled.ts";
import { loneLinesPart, outcomesPart, ownLinesPart } from "#shared/reconcile/parts.ts";
import type { RoleContext } from "#shared/runtime/runRole.ts";

export interface ReconcileBooksOptions {
  readonly config: { readonly databaseUrl: string; readonly prefix: string; readonly retentionDays: number; readonly ledgerRetentionDays: number; readonly reconcileEveryS: number };
  readonly broker: Pick<Broker, "jsm" | "streams" | "now">;
  readonly registry: Registry;
}

/** Until the signal, beside the writing of rows and with connections of its own. */
export function reconcileBooks({ config, broker: { jsm, streams, now }, registry }: ReconcileBooksOptions, { log, signal, onClose }: Pick<RoleContext, "log" | "signal" | "onClose">): void {
  const { prefix, reconcileEveryS: everyS } = config;
  if (everyS === 0) return;
  const pool = makePool(config.databaseUrl, "audit-sink-reconcile", (error) => { log.warn({ err: error }, "a Postgres connection broke"); }, { service: "audit_sink", statementTimeoutMs: 60_000 });
  onClose("postgres of the reconciliation", () => pool.end());
  const places = { jsm, streams, pool, prefix, now };
  const days = { auditDays: config.retentionDays, ledgerDays: config.ledgerRetentionDays };
  const parts = [outcomesPart(places, days), ownLinesPart(places, days, "SHADOWS"), ownLinesPart(places, days, "DEAD_LETTERS"), loneLinesPart(places)];
  keepReconciled({ role: "audit-sink", pool, parts, everyS, registry, log, signal, now });
}
