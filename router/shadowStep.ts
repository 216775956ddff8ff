/** Which kept answers are compared with other tiers', and whom that takes. Pure, so that a redelivery and every router agree. */
import { askedIn, type Input } from "#shared/contracts/chat.ts";
import type { Attempt, Completion } from "#shared/contracts/events.ts";
import type { Kept, Sample, Shadow, ShadowAnswer, ShadowJob } from "#shared/contracts/shadow.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import type { Id } from "#shared/messaging/topology.ts";
import { compareAnswers } from "#shared/statistics/compareAnswers.ts";

import { drawsFor } from "#shared/runtime/drawsFor.ts";
import { queryFeatures } from "./policy/queryFeatures.ts";

/** Whether this request is in the sample. `share` in [0, 1]: of all ids, evenly, whatever their pattern. A larger share has all that a smaller one has. */
export const isSampled = (id: Id, share: number): boolean => drawsFor("shadow", id)[0] < share;

/** A completion whose answer is compared. */
export interface KeptAnswer {
  readonly policy: string;
  readonly kept: Kept;
  /** The attempt that brought it. */
  readonly attempt: Attempt;
  readonly output: string;
}
/** `null`: it is not of the population, since no answer was kept, or the caller chose the tier. */
export function keptAnswerOf({ outcome, policy, tier, model, confidence, output, attempts }: Completion): KeptAnswer | null {
  if (outcome !== "completed" || policy === null || policy.startsWith("always-")) return null;
  const attempt = attempts.findLast((one) => one.tier === tier && isSound(one));
  if (tier === null || model === null || confidence === null || output === null || attempt === undefined) return null;
  return { policy, kept: { tier, model, confidence }, attempt, output };
}

/** The request's other answers that were sound, so that somebody read them: their texts lie in RESULTS. */
export const earlierAnswers = ({ attempts }: Completion, { attempt: kept }: KeptAnswer): Attempt[] => attempts.filter((attempt) => attempt !== kept && isSound(attempt));

const isSound = ({ outcome }: Attempt): boolean => outcome.kind === "answered" && outcome.is_sound;

/** What the streams still hold of a sampled request. */
export interface Found {
  /** `null`: REQUESTS has forgotten it. */
  readonly request: { readonly input: Input; readonly max_tier?: string | undefined; readonly allowed_tiers?: readonly string[] | null | undefined } | null;
  /** Texts of earlier answers, by the number of the attempt. */
  readonly outputs: ReadonlyMap<number, string>;
}
export interface SampleOptions {
  readonly tierFile: Pick<TierFile, "baseline_tier"> & { readonly tiers: readonly { readonly name: string }[] };
  /** Who is asked: the baseline tier alone, or beside it these tiers, or every one, whose answer is not known, so that the request becomes a row to learn from. */
  readonly shadowTiers: "baseline" | "all" | readonly string[];
}
export type ShadowStep =
  /** Asks the baseline tier. */
  | { readonly kind: "run"; readonly job: ShadowJob }
  /** The request itself has the baseline's answer. `job`: asks others; `null`: nobody is asked. */
  | { readonly kind: "known"; readonly shadow: Shadow; readonly job: ShadowJob | null }
  /** The caller or its tenant rules the baseline tier out. */
  | { readonly kind: "none" }
  /** The baseline tier would have to be asked, and cannot be. */
  | { readonly kind: "gone" };

/**
 * What becomes of a sampled completion. What the request ran itself is not run again: another draw where the first one was
 * unsure would make a tier look surer than it is. Tiers above the caller's `max_tier` are not asked: a caller that rules
 * them out has a reason, and it may be who gets to see the input; nor are tiers that the tenant does not allow. Tiers below `min_tier` are: it is about the answer that
 * is given, and this one is not. `nowMs`: epoch milliseconds.
 */
export function shadowStep(completion: Completion, keptAnswer: KeptAnswer, { request, outputs }: Found, { tierFile, shadowTiers }: SampleOptions, nowMs: number): ShadowStep {
  const { tenant_id, request_id, task } = completion;
  const { baseline_tier } = tierFile;
  const answers = ownAnswers(completion, keptAnswer, outputs, baseline_tier);
  const sample: Sample = { tenant_id, request_id, policy: keptAnswer.policy, task, query: request === null ? null : queryFeatures(askedIn(request.input)), kept: keptAnswer.kept, baseline_tier, answers, ...routedBy(completion) };
  const isKnown = (tier: string) => answers.some(({ attempt }) => attempt.tier === tier);
  const allowed = namesUpTo(tierFile.tiers, request?.max_tier).filter((tier) => request?.allowed_tiers?.includes(tier) !== false);
  if (!isKnown(baseline_tier) && request === null) return { kind: "gone" };
  if (!isKnown(baseline_tier) && !allowed.includes(baseline_tier)) return { kind: "none" };
  const others = shadowTiers === "baseline" ? [] : allowed.filter((tier) => tier !== baseline_tier && (shadowTiers === "all" || shadowTiers.includes(tier)));
  const [tier, ...next_tiers] = request === null ? [] : [baseline_tier, ...others].filter((name) => !isKnown(name));
  const job: ShadowJob | null = request === null || tier === undefined ? null : { type: "shadow_job.v1", ...sample, tier, next_tiers, input: request.input };
  return job?.tier === baseline_tier ? { kind: "run", job } : { kind: "known", shadow: compareAnswers(sample, nowMs), job };
}

/**
 * The kept answer first. One that is not sound counts without its text, but not the baseline's: nothing could be compared
 * with it. An attempt that failed tells of an outage rather than of the tier's answers, so the tier is asked again.
 */
function ownAnswers({ attempts }: Completion, { attempt: kept, output }: KeptAnswer, outputs: ReadonlyMap<number, string>, baselineTier: string): ShadowAnswer[] {
  const others = attempts.flatMap((attempt): ShadowAnswer[] => {
    if (attempt === kept || attempt.outcome.kind === "failed") return [];
    const found = outputs.get(attempt.attempt) ?? null;
    const isUsable = attempt.outcome.is_sound ? found !== null : attempt.tier !== baselineTier;
    return isUsable ? [{ attempt, is_own: true, output: found }] : [];
  });
  return [{ attempt: kept, is_own: true, output }, ...others];
}

function namesUpTo(tiers: readonly { readonly name: string }[], maxTier: string | undefined): string[] {
  const names = tiers.map(({ name }) => name);
  return maxTier === undefined ? names : names.slice(0, names.indexOf(maxTier) + 1);
}

/** What routed a request, by its first decision. */
export function routedBy({ decisions: [first] }: Pick<Completion, "decisions">): Pick<Shadow, "model_version" | "floor_steps"> {
  // Else another tier than the policy's began, or λ was not the floor's.
  const isPolicys = first?.exploration?.is_explored !== true && first?.draw === undefined && first?.learned?.lambda_source === undefined;
  return { model_version: first?.learned?.model_version ?? null, floor_steps: isPolicys ? (first?.learned?.floor_steps ?? null) : null };
}
