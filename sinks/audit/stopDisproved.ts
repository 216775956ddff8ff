import type { Pool } from "pg";
import type { Logger } from "pino";
import { Counter, type Registry } from "prom-client";

import { every } from "#shared/runtime/lifecycle.ts";
import { stopWhereDisproved, tenantsWithFalseHits } from "#shared/tenancy/semanticCache.ts";

const HOUR_MS = 3_600_000;

export interface StopDisproved {
  /** After a false hit of a tenant was written: its semantic cache stops when audits show more of them than it allows. */
  readonly falseHit: (tenantId: string) => void;
  /** Looks at all tenants, now and every hour until the signal: what a crash, an outage or another release has left. */
  readonly sweep: (signal: AbortSignal) => void;
}

export function stopDisproved({ pool, registry, log }: { readonly pool: Pool; readonly registry: Registry; readonly log: Logger }): StopDisproved {
  const rights = { pool, tenantId: null, isServiceItself: true };
  const stops = new Counter({ name: "infer_cache_semantic_stops_total", help: "Semantic caches that were switched off, since audits showed more false hits than their tenant allows.", registers: [registry] });
  const look = async (tenant_id: string): Promise<void> => {
    if (!(await stopWhereDisproved(rights, tenant_id))) return;
    stops.inc();
    log.error({ tenant_id }, "the semantic cache of a tenant is off now: audits showed more false hits than it allows");
  };
  const failed = (error: unknown) => { log.warn({ err: error }, "whether a semantic cache must stop is looked at again within the hour"); };
  const lookAtAll = async () => {
    for (const tenantId of await tenantsWithFalseHits(rights)) await look(tenantId);
  };
  return {
    falseHit: (tenantId) => { look(tenantId).catch(failed); },
    sweep: (signal) => {
      const run = () => { lookAtAll().catch(failed); };
      run();
      every(HOUR_MS, signal, run);
    },
  };
}
