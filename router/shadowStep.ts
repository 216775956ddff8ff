/** Which kept answers are asked again of the baseline tier. Pure, so that a redelivery and every router agree. */
import type { Completion } from "#shared/contracts/events.ts";
import type { Shadow, ShadowJob } from "#shared/contracts/shadow.ts";
import type { Id } from "#shared/messaging/topology.ts";

import { drawsFor } from "./drawsFor.ts";

/** Whether this request is in the sample. `share` in [0, 1]: of all ids, evenly, whatever their pattern. A larger share has all that a smaller one has. */
export const isSampled = (id: Id, share: number): boolean => drawsFor("shadow", id)[0] < share;

export type ShadowStep =
  /** Asks the baseline tier. */
  | { readonly kind: "run"; readonly job: Omit<ShadowJob, "input"> }
  /** The kept answer is the baseline tier's own: it agrees with itself, and costs nothing. */
  | { readonly kind: "known"; readonly shadow: Shadow }
  /** Not of the population: no answer was kept, or the caller chose the tier. */
  | { readonly kind: "none" };

/** What becomes of a sampled completion. `nowMs`: epoch milliseconds. */
export function shadowStep(completion: Completion, baselineTier: string, nowMs: number): ShadowStep {
  const { tenant_id, request_id, outcome, policy, tier, model, confidence, output } = completion;
  if (outcome !== "completed" || policy === null || policy.startsWith("always-")) return { kind: "none" };
  if (tier === null || model === null || confidence === null || output === null) return { kind: "none" };
  const id = { tenant_id, request_id };
  const kept = { tier, model, confidence };
  const routed = routedBy(completion);
  if (tier !== baselineTier) return { kind: "run", job: { type: "shadow_job.v1", ...id, tier: baselineTier, policy, kept: { ...kept, output }, ...routed } };
  return { kind: "known", shadow: { type: "shadow.v1", ...id, policy, kept, reference: { tier, attempt: null }, agreement: 1, at_ms: nowMs, ...routed } };
}

/** What routed a request, by its first decision. */
export function routedBy({ decisions: [first] }: Pick<Completion, "decisions">): Pick<Shadow, "model_version" | "floor_steps"> {
  const isPolicys = first?.exploration?.is_explored !== true; // else another tier than the policy's began
  return { model_version: first?.learned?.model_version ?? null, floor_steps: isPolicys ? (first?.learned?.floor_steps ?? null) : null };
}
