/**
 * Audits of the semantic cache: a sample of its hits is run by the tier whose answer was given, after the request has its outcome
 * and apart from its cost. It travels as shadow labels do, in SHADOW_JOBS and SHADOWS.
 */
import { z } from "zod";

import { Input } from "./chat.ts";
import { EventError } from "./events.ts";
import { RequestId, TenantId } from "./ids.ts";
import { NanoUsd } from "./money.ts";
import { Probability } from "./probability.ts";
import { EpochMs } from "./request.ts";
import { TierName } from "./tiers.ts";

const hit = {
  tenant_id: TenantId,
  request_id: RequestId,
  /** Whose answer it was given. */
  source_request_id: RequestId,
  guard_version: z.int().nonnegative(),
  /** Whose answer that is, and who is asked again. */
  tier: TierName,
};

export const CacheAuditJob = z.object({ type: z.literal("cache_audit_job.v1"), ...hit, input: Input, given: z.string() });
export type CacheAuditJob = z.infer<typeof CacheAuditJob>;

/** It holds neither prompt nor answer. */
export const CacheAudit = z.object({
  type: z.literal("cache_audit.v1"),
  ...hit,
  model: z.string(),
  /** By how far the two answers agree: `different` is a false hit; `unclear` is neither; `unknown`: the run brought no sound answer. */
  verdict: z.enum(["same", "unclear", "different", "unknown"]),
  /** `shared/statistics/agreement.ts`; `null`: unknown. */
  agreement: Probability.nullable(),
  error_code: EventError.shape.code.nullable(),
  cost_nano_usd: NanoUsd,
  cost_is_partial: z.boolean(),
  latency_ms: z.number().nonnegative(),
  at_ms: EpochMs,
});
export type CacheAudit = z.infer<typeof CacheAudit>;
