/**
 * How often the floor fails: the training rows are split at random into two halves, again and again; policies are fitted
 * and their places chosen on one half, and played on the other. What is counted is the ratio that was measured there, so
 * the noise of the played half counts against the policy too. Deterministic for a seed.
 */
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { learned } from "./candidates.ts";
import { type EvaluateOptions, type Evaluation, preparedFrom } from "./evaluate.ts";
import type { OutcomeRow } from "./outcomeLog.ts";
import { mean } from "./routingMetrics.ts";
import { isLearnedPolicy, LEARNED_POLICIES, shuffledFolds } from "./trainModel.ts";

export interface ResampledPolicy {
  readonly policy: string;
  readonly resamples: number;
  /** Halves on which the ratio was below the target. */
  readonly violations: number;
  readonly violation_share: number;
  /** Wilson's interval. */
  readonly violation_ci95: readonly [number, number];
  /** Means over the resamples. */
  readonly quality_ratio: number;
  readonly saving: number;
}
export interface Resampled extends Omit<Evaluation, "notes" | "policies"> {
  readonly resamples: number;
  readonly policies: readonly ResampledPolicy[];
}

/** Throws `EvaluationError` as `evaluate` does. */
export function resample(options: Omit<EvaluateOptions, "test">, resamples: number): Resampled {
  const { setting, train: rows } = preparedFrom({ ...options, test: [] });
  const { baseline, target, risk, tiers } = setting;
  const policies = (options.policies ?? LEARNED_POLICIES).filter(isLearnedPolicy);
  const found = new Map<string, { ratio: number; saving: number }[]>();
  for (let i = 0; i < resamples; i++) {
    options.onProgress(`resample ${i + 1} of ${resamples}`, { done: i, of: resamples });
    const halfOf = shuffledFolds(rows.length, 2, setting.random);
    const half = (which: number) => rows.filter((_, row) => halfOf[row] === which);
    const [fitted, played] = [half(0), half(1)];
    const reference = (of: (outcome: OutcomeRow["tiers"][number]) => number) => mean(played.flatMap((row) => row.tiers[baseline] ?? []).map(of));
    for (const { policy, play } of learned({ ...setting, random: seededRandom(options.seed + i) }, fitted, policies, () => undefined)) {
      const plays = played.map(play);
      const of = found.get(policy) ?? [];
      of.push({ ratio: mean(plays.map(({ quality }) => quality)) / reference(({ quality }) => quality), saving: 1 - mean(plays.map(({ cost_usd }) => cost_usd)) / reference(({ cost_usd }) => cost_usd) });
      found.set(policy, of);
    }
  }
  return {
    seed: options.seed, resamples, rows: { train: Math.ceil(rows.length / 2), test: Math.floor(rows.length / 2) }, tiers, baseline: tiers[baseline] ?? "", target, risk, cost: setting.paysVerification ? "total" : "generation",
    policies: [...found].map(([policy, outcomes]) => {
      const violations = outcomes.filter(({ ratio }) => ratio < target).length;
      return {
        policy, resamples, violations, violation_share: violations / resamples, violation_ci95: wilson(violations, resamples),
        quality_ratio: mean(outcomes.map(({ ratio }) => ratio)), saving: mean(outcomes.map(({ saving }) => saving)),
      };
    }),
  };
}

const Z975 = 1.96;
function wilson(successes: number, trials: number): [number, number] {
  const share = successes / trials, z2 = Z975 ** 2;
  const centre = (share + z2 / (2 * trials)) / (1 + z2 / trials);
  const half = (Z975 * Math.sqrt((share * (1 - share)) / trials + z2 / (4 * trials ** 2))) / (1 + z2 / trials);
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}
