/**
 * A sample of the semantic cache's hits is run by the tier whose answer was given, for nobody: over the lane of shadow labels, whose
 * cost is beside the request's. By whoever gave the hit, after its outcome was stored; what a crash loses is a draw less.
 */
import type { Logger } from "pino";

import type { Completion } from "#shared/contracts/events.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import type { TenantSettings } from "#shared/contracts/tenant.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import { drawsFor } from "#shared/runtime/drawsFor.ts";

import { semanticOf } from "./semanticKey.ts";

export type AuditHit = (request: InferenceRequest, completion: Completion, settings: TenantSettings["cache"], traceparent: string) => void;

/** Never throws, and nobody waits for it. */
export const makeAuditHit = ({ publisher, log }: { readonly publisher: Pick<Publisher, "emit">; readonly log: Pick<Logger, "warn"> }): AuditHit =>
  (request, { tenant_id, request_id, output, tier, cache }, settings, traceparent) => {
    const semantic = semanticOf(settings);
    if (semantic === null || cache?.kind !== "semantic" || output === null || tier === null) return;
    if (drawsFor("cache-audit", { tenant_id, request_id })[0] >= semantic.audit_share) return;
    publisher.emit({ type: "cache_audit_job.v1", tenant_id, request_id, source_request_id: cache.source_request_id, guard_version: semantic.guard_version, tier, input: request.input, given: output }, traceparent)
      .catch((error: unknown) => { log.warn({ err: error, tenant_id, request_id }, "a hit of the semantic cache is not audited"); });
  };
