import type { Sample, Shadow, ShadowAnswer, ShadowTier } from "#shared/contracts/shadow.ts";

import { agreement } from "./agreement.ts";

/** Whether others can be compared with it. */
export const isReference = ({ attempt: { outcome }, output }: ShadowAnswer): boolean => output !== null && outcome.kind === "answered" && outcome.is_sound;

/**
 * What the answers to one request say about each other. An answer that is not sound (cut off, empty, refused) is no
 * reference, and agrees with nothing: its agreements are `null`. `nowMs`: epoch milliseconds. Pure.
 */
export function compareAnswers({ tenant_id, request_id, policy, task, query, kept, baseline_tier, answers, model_version, floor_steps }: Sample, nowMs: number): Shadow {
  const answerOf = (tier: string) => answers.find(({ attempt }) => attempt.tier === tier);
  const [keptAnswer, baseline] = [answerOf(kept.tier), answerOf(baseline_tier)];
  const tiers = answers.map((answer): ShadowTier => ({
    ...recordOf(answer),
    is_kept: answer === keptAnswer,
    agreement_with_baseline: agreementOf(answer, baseline),
    agreement_with_kept: agreementOf(answer, keptAnswer),
  }));
  return {
    type: "shadow.v1", tenant_id, request_id, policy, task, query, kept,
    reference: { tier: baseline_tier, attempt: baseline === undefined || baseline.is_own ? null : baseline.attempt },
    agreement: keptAnswer === undefined ? null : agreementOf(keptAnswer, baseline),
    tiers,
    at_ms: nowMs,
    model_version, floor_steps,
  };
}

function agreementOf(one: ShadowAnswer, other: ShadowAnswer | undefined): number | null {
  if (other === undefined || !isReference(one) || !isReference(other)) return null;
  return agreement(one.output ?? "", other.output ?? "");
}

function recordOf({ attempt, is_own }: ShadowAnswer): Omit<ShadowTier, "is_kept" | "agreement_with_baseline" | "agreement_with_kept"> {
  const { tier, model, outcome, usage, cost_nano_usd, cost_is_partial, latency_ms } = attempt;
  const answer = outcome.kind === "answered" ? outcome : null;
  return {
    tier, model,
    is_shadow: !is_own,
    error_code: outcome.kind === "failed" ? outcome.code : null,
    is_sound: answer?.is_sound ?? false,
    confidence: answer?.confidence ?? null,
    confidence_source: answer?.confidence_source ?? null,
    cost_nano_usd, cost_is_partial, latency_ms, usage,
  };
}
