/**
 * Shadow labels: a sample of kept answers is asked again of the baseline tier, after the request has its outcome and
 * apart from its cost. How often the two agree is what a cheap answer is worth, without anybody labelling anything.
 */
import { z } from "zod";

import { Attempt, type SagaMessage } from "./events.ts";
import { Steps } from "./floorGuard.ts";
import { RequestId, TenantId } from "./ids.ts";
import { Probability } from "./probability.ts";
import { EpochMs } from "./request.ts";
import { TierName } from "./tiers.ts";

const id = { tenant_id: TenantId, request_id: RequestId };

/** The answer that the request was given. */
const Kept = z.object({ tier: TierName, model: z.string(), confidence: Probability });

/** What routed the request, by its first decision. */
const routed = {
  /** Of the fitted model; `null` when there was none. */
  model_version: z.string().nullable(),
  /** Of the floor's guard, of which only what was decided at its own steps says something; `null` without a model, and for a request that explored. */
  floor_steps: Steps.nullable(),
};

/** One more call, of which nobody waits for the answer. `tier` is the baseline. */
export const ShadowJob = z.object({
  type: z.literal("shadow_job.v1"),
  ...id,
  tier: TierName,
  policy: z.string(),
  input: z.string(),
  kept: Kept.extend({ output: z.string() }),
  ...routed,
});
export type ShadowJob = z.infer<typeof ShadowJob>;

/** What the baseline tier says about a kept answer, one per sampled request. It holds neither prompt nor answer. */
export const Shadow = z.object({
  type: z.literal("shadow.v1"),
  ...id,
  policy: z.string(),
  kept: Kept,
  /** `attempt` is the call with its cost, whatever came of it; `null` when the kept answer is the baseline's own. Its number says nothing: it is none of the request's. */
  reference: z.object({ tier: TierName, attempt: Attempt.nullable() }),
  /** How far the two answers are the same (`shared/statistics/agreement.ts`); `null` when the call brought no sound answer. */
  agreement: Probability.nullable(),
  at_ms: EpochMs,
  ...routed,
});
export type Shadow = z.infer<typeof Shadow>;

/** What is published once per subject: the first one wins. */
export type OnceMessage = SagaMessage | ShadowJob | Shadow;
