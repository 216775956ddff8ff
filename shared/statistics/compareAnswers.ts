import type { Attempt } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import type { Sample, Shadow, ShadowAnswer, ShadowTier, ShadowTierEvent } from "#shared/contracts/shadow.ts";

import { agreement } from "./agreement.ts";

/** Whether others can be compared with it. */
export const isReference = ({ attempt: { outcome }, output }: ShadowAnswer): boolean => output !== null && outcome.kind === "answered" && outcome.is_sound;

/**
 * What the answers to one request say about each other. An answer that is not sound (cut off, empty, refused) is no
 * reference, and agrees with nothing: its agreements are `null`. `nowMs`: epoch milliseconds. Pure.
 */
export function compareAnswers(sample: Sample, nowMs: number): Shadow {
  const { tenant_id, request_id, policy, task, query, kept, baseline_tier, answers, model_version, floor_steps } = sample;
  const [keptAnswer, baseline] = [answerOf(sample, kept.tier), answerOf(sample, baseline_tier)];
  return {
    type: "shadow.v1", tenant_id, request_id, policy, task, query, kept,
    reference: { tier: baseline_tier, attempt: baseline === undefined || baseline.is_own ? null : baseline.attempt },
    agreement: keptAnswer === undefined ? null : agreementOf(keptAnswer, baseline),
    tiers: answers.map((answer) => compared(sample, answer)),
    at_ms: nowMs,
    model_version, floor_steps,
  };
}

/** What this answer, one of the sample's, says beside the others. Pure, as `compareAnswers`. */
export const compareAnswer = (sample: Sample, answer: ShadowAnswer, nowMs: number): ShadowTierEvent =>
  ({ type: "shadow_tier.v1", tenant_id: sample.tenant_id, request_id: sample.request_id, ...compared(sample, answer), at_ms: nowMs });

/** `undefined`: the tier is not known. */
export const answerOf = ({ answers }: Pick<Sample, "answers">, tier: string): ShadowAnswer | undefined => answers.find(({ attempt }) => attempt.tier === tier);

function compared(sample: Sample, answer: ShadowAnswer): ShadowTier {
  const keptAnswer = answerOf(sample, sample.kept.tier);
  return {
    ...recordOf(answer),
    is_kept: answer === keptAnswer,
    agreement_with_baseline: agreementOf(answer, answerOf(sample, sample.baseline_tier)),
    agreement_with_kept: agreementOf(answer, keptAnswer),
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
    cost_nano_usd, cost_is_partial, latency_ms,
    checks: checksOf(attempt),
    usage,
  };
}

/** They are made at the same time, where there are several. */
const checksOf = ({ checks = [] }: Attempt): NonNullable<ShadowTier["checks"]> =>
  ({ cost_nano_usd: nanoUsd(checks.reduce((sum, check) => sum + check.cost_nano_usd, 0)), latency_ms: Math.max(0, ...checks.map((check) => check.latency_ms)) });
