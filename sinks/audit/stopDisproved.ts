import type { Pool } from "pg";
import type { Logger } from "pino";
import { Counter, type Registry } from "prom-client";

import { stopWhereDisproved } from "#shared/tenancy/semanticCache.ts";

/** After a false hit of a tenant was written: its semantic cache stops when audits show more of them than it allows. */
export function stopDisproved({ pool, registry, log }: { readonly pool: Pool; readonly registry: Registry; readonly log: Logger }): (tenantId: string) => void {
  const stops = new Counter({ name: "infer_cache_semantic_stops_total", help: "Semantic caches that were switched off, since audits showed more false hits than their tenant allows.", registers: [registry] });
  return (tenant_id) => {
    stopWhereDisproved({ pool, tenantId: null }, tenant_id).then((isStopped) => {
      if (!isStopped) return;
      stops.inc();
      log.error({ tenant_id }, "the semantic cache of a tenant is off now: audits showed more false hits than it allows");
    }, (error: unknown) => { log.warn({ err: error, tenant_id }, "whether a semantic cache must stop is looked at again after the next false hit"); });
  };
}
