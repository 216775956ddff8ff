import type { CacheAudit, CacheAuditJob } from "#shared/contracts/cacheAudit.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import { processing } from "#shared/messaging/messageSpans.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import { agreement, isContained } from "#shared/statistics/agreement.ts";

import { keepLate } from "./keepLate.ts";
import { type CallDeps, oncePerLease, type Run, runAttempt } from "./runAttempt.ts";

export interface CacheAuditDeps extends CallDeps {
  readonly publisher: Publisher;
  readonly prefix: string;
  readonly observe: (run: Run, audit: CacheAudit) => void;
}

/**
 * Asks this tier the question that was answered from the semantic cache, and says how far its answer is the one that was given.
 * Whether it was done is looked up by the caller. Nobody waits for it.
 */
export const makeRunCacheAudit = (deps: CacheAuditDeps) => {
  const { publisher, prefix, tracer, now, observe } = deps;
  const once = oncePerLease<Run>();
  return async (job: CacheAuditJob, delivery: Delivery): Promise<void> => {
    const { lease } = delivery;
    await tracer.span(...processing(prefix, delivery, { "infer.tier": job.tier }), async (traceparent) => {
      const run = await once(lease, () => runAttempt(deps, { tenantId: job.tenant_id, input: job.input, attempt: 1, deadlineAtMs: Infinity, lease, traceparent }));
      if (lease.aborted) {
        await keepLate(deps, job, run.result, delivery);
        throw lease.reason;
      }
      const event = auditOf(job, run, now());
      const { isDuplicate } = await publisher.emit(event, traceparent);
      if (isDuplicate) await keepLate(deps, job, run.result, delivery);
      else observe(run, event);
    });
  };
};

/** Pure. */
function auditOf({ tenant_id, request_id, source_request_id, guard_version, tier, given }: CacheAuditJob, { result, output }: Run, nowMs: number): CacheAudit {
  const { outcome, model, cost_nano_usd, cost_is_partial, latency_ms } = result;
  const isSound = outcome.kind === "answered" && outcome.is_sound && output !== null;
  const agreed = isSound ? agreement(given, output) : null;
  const isOneInTheOther = isSound && isContained(given, output);
  return {
    type: "cache_audit.v1", tenant_id, request_id, source_request_id, guard_version, tier, model,
    verdict: verdictOf(agreed, isOneInTheOther), agreement: agreed,
    error_code: outcome.kind === "failed" ? outcome.code : null,
    cost_nano_usd, cost_is_partial, latency_ms,
    at_ms: nowMs,
  };
}

/**
 * Two answers to one question, of a model that answers it the same way again, agree in most of their words, though one may be a word and
 * the other a sentence with it; those to different ones have little but function words in common. Where neither is so, nothing is said.
 */
const [LEAST_SAME, MOST_DIFFERENT] = [0.5, 0.2];
function verdictOf(agreed: number | null, isOneInTheOther: boolean): CacheAudit["verdict"] {
  if (agreed === null) return "unknown";
  return agreed >= LEAST_SAME ? "same" : agreed < MOST_DIFFERENT && !isOneInTheOther ? "different" : "unclear";
}
