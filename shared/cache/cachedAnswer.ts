/** Answers that may be given again, and what a request's terminal event is that gets one. Pure. */
import { z } from "zod";

import type { CacheUse } from "#shared/contracts/cache.ts";
import { Completion } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import { type Occasion, recordOf } from "#shared/saga/messagesAfter.ts";

const { tenant_id, request_id, output, message, tier, model, confidence, confidence_source, cost_nano_usd, baseline_cost_nano_usd, baseline_tier, completed_at_ms } = Completion.shape;
/** As it is kept. A change of its shape is a new `version`; older ones are as if they were not there. */
export const CachedAnswer = z.object({
  version: z.literal(1),
  tenant_id, request_id, message,
  output: output.unwrap(), tier: tier.unwrap(), model: model.unwrap(),
  confidence, confidence_source, cost_nano_usd, baseline_cost_nano_usd, baseline_tier,
  stored_at_ms: completed_at_ms,
});
export type CachedAnswer = z.infer<typeof CachedAnswer>;

/** Why an answer is not for others. The words are labels of a metric. */
export type Unshared = "not_completed" | "unsound" | "explored" | "constrained" | "committed_early";

/**
 * Not what was cut, refused or the best of a bad lot; nor what is no answer by the policy to this question alone: one of a tier that
 * was drawn by lot, one that was kept before it was whole, or one that a policy keeps unread of a tier that it preferred only
 * because the caller's limits, or the moment's, ruled out another.
 */
export function whyUnshared(completion: Completion): Unshared | null {
  const { outcome, error, output, tier, model, message, attempts, decisions, policy } = completion;
  if (outcome !== "completed" || error !== null) return "not_completed";
  const kept = attempts.findLast((attempt) => attempt.tier === tier && attempt.outcome.kind === "answered");
  if (output === null || tier === null || model === null || kept?.outcome.kind !== "answered" || !kept.outcome.is_sound) return "unsound";
  if (message !== undefined && (message.refusal !== null || message.finish_reason === "length" || message.finish_reason === "content_filter")) return "unsound";
  if (decisions.some(({ exploration, draw }) => exploration?.is_explored === true || draw !== undefined)) return "explored";
  const last = decisions.at(-1);
  if (last?.step.kind !== "run") return null; // the router looked at the answer and found it good
  const least = last.step.acceptance?.min_confidence ?? 0;
  if (kept.outcome.confidence < least) return "committed_early";
  const isLearned = (policy === "cascade-routing" || policy === "predictive") && last.learned !== undefined;
  return isLearned && least <= 0 && Object.values(last.step.excluded).some((limit) => PASSING.has(limit)) ? "constrained" : null;
}
const PASSING: ReadonlySet<string> = new Set(["breaker_open", "no_worker", "too_late", "beyond_slo", "over_budget"]);

/** `null`: it is not for others. */
export function answerOf(completion: Completion): CachedAnswer | null {
  const { output, tier, model } = completion;
  if (whyUnshared(completion) !== null || output === null || tier === null || model === null) return null;
  const { tenant_id, request_id, message, confidence, confidence_source, cost_nano_usd, baseline_cost_nano_usd, baseline_tier, completed_at_ms } = completion;
  return { version: 1, tenant_id, request_id, output, tier, model, confidence, confidence_source, cost_nano_usd, baseline_cost_nano_usd, baseline_tier, stored_at_ms: completed_at_ms, ...(message === undefined ? {} : { message }) };
}

/** A completion like any other, of a request that nothing ran for. */
export function completionFrom(request: InferenceRequest, answer: CachedAnswer, kind: CacheUse["kind"], occasion: Occasion): Completion {
  const { output, tier, model, message, confidence, confidence_source, baseline_cost_nano_usd, baseline_tier, stored_at_ms } = answer;
  return {
    ...recordOf(request, occasion),
    outcome: "completed", degraded_reason: null, error: null,
    output, tier, model, confidence, confidence_source, baseline_cost_nano_usd, baseline_tier,
    ...(message === undefined ? {} : { message }),
    cost_nano_usd: nanoUsd(0),
    cache: { kind, stored_at_ms, age_ms: Math.max(0, occasion.nowMs - stored_at_ms), source_request_id: answer.request_id },
    attempts: [], decisions: [],
  };
}
