/**
 * A sample of the semantic cache's hits is run by the tier whose answer was given, for nobody: over the lane of shadow labels, whose
 * cost is beside the request's. By whoever gave the hit, after its outcome was stored; what a crash loses is a draw less. Only where the
 * answer would come out the same again: of others, two runs differ whatever was asked.
 */
import type { Logger } from "pino";
import { Counter, type Registry } from "prom-client";

import type { CacheAuditJob } from "#shared/contracts/cacheAudit.ts";
import type { Completion } from "#shared/contracts/events.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import type { TenantSettings } from "#shared/contracts/tenant.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import { makeAllowance } from "#shared/runtime/allowance.ts";
import { drawsFor } from "#shared/runtime/drawsFor.ts";

import { isDeterministic } from "./cachePlan.ts";
import { semanticOf } from "./semanticKey.ts";

export type AuditHit = (request: InferenceRequest, completion: Completion, settings: TenantSettings["cache"], traceparent: string) => void;
export interface AuditHitDeps {
  readonly publisher: Pick<Publisher, "emit">;
  readonly tierFile: TierFile;
  readonly registry: Registry;
  readonly log: Pick<Logger, "warn">;
  readonly now: () => number;
}

/** Of each process. SHADOW_JOBS (256 MiB) keeps a job for 2 h, and the labels of the quality floor need it: 16 processes fill half of it at the most. */
const JOBS = { burst: 30, refillMs: 2_000 };
const MOST_BYTES = 4 * 1_024 * 1_024;
const BYTES = { burst: MOST_BYTES, refillMs: (2 * 3_600_000) / MOST_BYTES };

/** Never throws, and nobody waits for it. */
export function makeAuditHit({ publisher, tierFile, registry, log, now }: AuditHitDeps): AuditHit {
  const dropped = new Counter({ name: "infer_cache_audits_dropped_total", help: "Hits of the semantic cache that were drawn for an audit which there was no room for.", registers: [registry] });
  const [jobs, bytes] = [makeAllowance(JOBS), makeAllowance(BYTES)];
  return (request, { tenant_id, request_id, output, tier, cache }, settings, traceparent) => {
    const semantic = semanticOf(settings);
    if (semantic === null || cache?.kind !== "semantic" || output === null || tier === null || !isDeterministic(request, tierFile)) return;
    if (drawsFor("cache-audit", { tenant_id, request_id })[0] >= semantic.audit_share) return;
    const job: CacheAuditJob = { type: "cache_audit_job.v1", tenant_id, request_id, source_request_id: cache.source_request_id, guard_version: semantic.guard_version, tier, input: request.input, given: output };
    if (jobs.take(now()) === null || bytes.take(now(), Buffer.byteLength(JSON.stringify(job))) === null) {
      dropped.inc();
      return;
    }
    publisher.emit(job, traceparent).catch((error: unknown) => {
      dropped.inc();
      log.warn({ err: error, tenant_id, request_id }, "a hit of the semantic cache is not audited");
    });
  };
}
