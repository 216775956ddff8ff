/**
 * Shadow labels: a sample of kept answers is asked again of the baseline tier, after the request has its outcome and
 * apart from its cost. How often the two agree is what a cheap answer is worth, without anybody labelling anything. When
 * every other tier is asked too, the request becomes a row that routing can learn from.
 */
import { z } from "zod";

import { CacheAudit, CacheAuditJob } from "./cacheAudit.ts";
import { Input } from "./chat.ts";
import { Attempt, EventError, type SagaMessage, Usage } from "./events.ts";
import { Steps } from "./floorGuard.ts";
import { RequestId, TenantId } from "./ids.ts";
import { NanoUsd } from "./money.ts";
import { Probability } from "./probability.ts";
import { QueryFeatures } from "./queryFeatures.ts";
import { EpochMs } from "./request.ts";
import { TierName } from "./tiers.ts";

const id = { tenant_id: TenantId, request_id: RequestId };

/** The answer that the request was given. */
const Kept = z.object({ tier: TierName, model: z.string(), confidence: Probability });
export type Kept = z.infer<typeof Kept>;

/** What routed the request, by its first decision. */
const routed = {
  /** Of the fitted model; `null` when there was none. */
  model_version: z.string().nullable(),
  /** Of the floor's guard, of which only what was decided at its own steps says something; `null` without a model, and for a request that explored or was paced. */
  floor_steps: Steps.nullable(),
};

/** What one tier answered to the request, or failed to. */
const ShadowAnswer = z.object({
  attempt: Attempt,
  /** One of the request's own attempts, and on its bill. */
  is_own: z.boolean(),
  /** `null`: it failed, or is not sound and not known any more. */
  output: z.string().nullable(),
});
export type ShadowAnswer = z.infer<typeof ShadowAnswer>;

/** What the tiers are asked about a request, and what they have answered so far. */
const sample = {
  ...id,
  policy: z.string(),
  /** The caller's name for the kind of work. */
  task: z.string().nullable(),
  /** `null`: the input was gone before it was looked at. */
  query: QueryFeatures.nullable(),
  kept: Kept,
  /** Whose answer the others are compared with. */
  baseline_tier: TierName,
  /** One per tier at most. The kept answer is among them. */
  answers: z.array(ShadowAnswer),
  ...routed,
};
export const Sample = z.object(sample);
export type Sample = z.infer<typeof Sample>;

/** One more call, of which nobody waits for the answer. The baseline tier is asked first. */
export const ShadowJob = z.object({
  type: z.literal("shadow_job.v1"),
  ...sample,
  /** Asked now. */
  tier: TierName,
  /** Asked afterwards, in this order. */
  next_tiers: z.array(TierName),
  input: Input,
});
export type ShadowJob = z.infer<typeof ShadowJob>;

/** How one tier did on one request. */
export const ShadowTier = z.object({
  tier: TierName,
  model: z.string(),
  is_kept: z.boolean(),
  /** Called for the shadow alone; otherwise it is one of the request's own attempts, and on its bill. */
  is_shadow: z.boolean(),
  /** `null`: it answered. What follows up to the agreements is of its answer. */
  error_code: EventError.shape.code.nullable(),
  is_sound: z.boolean(),
  /** Raw, as the worker said it. */
  confidence: Probability.nullable(),
  confidence_source: z.string().nullable(),
  /** `null`: one of the two is no sound answer. Its own is 1. */
  agreement_with_baseline: Probability.nullable(),
  agreement_with_kept: Probability.nullable(),
  cost_nano_usd: NanoUsd,
  cost_is_partial: z.boolean(),
  latency_ms: z.number().nonnegative(),
  /** Of that cost and time, what the calls took that found the confidence. Absent: it was not kept apart, as in `shadow_tiers`. */
  checks: z.object({ cost_nano_usd: NanoUsd, latency_ms: z.number().nonnegative() }).optional(),
  usage: Usage.nullable(),
});
export type ShadowTier = z.infer<typeof ShadowTier>;

/** What the baseline tier says about a kept answer, one per sampled request, and how the tiers did that answered before. It holds neither prompt nor answer. */
export const Shadow = z.object({
  type: z.literal("shadow.v1"),
  ...id,
  policy: z.string(),
  task: z.string().nullable(),
  query: QueryFeatures.nullable(),
  kept: Kept,
  /** `attempt` is the shadow's call with its cost, whatever came of it; `null` when the request itself has the baseline's answer. Its number says nothing: it is none of the request's. */
  reference: z.object({ tier: TierName, attempt: Attempt.nullable() }),
  /** How far the two answers are the same (`shared/statistics/agreement.ts`); `null` when the call brought no sound answer. */
  agreement: Probability.nullable(),
  /** Every tier that was known by then, the request's own first. Who is asked afterwards has an event of its own. */
  tiers: z.array(ShadowTier),
  at_ms: EpochMs,
  ...routed,
});
export type Shadow = z.infer<typeof Shadow>;

/** How a tier did that was asked after the baseline, one per tier that answered or failed. */
export const ShadowTierEvent = z.object({
  type: z.literal("shadow_tier.v1"),
  ...id,
  ...ShadowTier.shape,
  at_ms: EpochMs,
});
export type ShadowTierEvent = z.infer<typeof ShadowTierEvent>;

/** What SHADOW_JOBS holds. */
export const ShadowWork = z.discriminatedUnion("type", [ShadowJob, CacheAuditJob]);
export type ShadowWork = z.infer<typeof ShadowWork>;
/** What SHADOWS holds. */
export const ShadowEvent = z.discriminatedUnion("type", [Shadow, ShadowTierEvent, CacheAudit]);
export type ShadowEvent = z.infer<typeof ShadowEvent>;

/** What is published once per subject: the first one wins. */
export type OnceMessage = SagaMessage | ShadowWork | ShadowEvent;
