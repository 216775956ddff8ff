/**
 * What labels are worth: policies that were fitted on the first few rows of a shuffled log, on more, on all that may be
 * asked for, played on rows that none of them saw. Beside each the cascade that needs no labels, on the same rows: what a
 * router does before it has a model. Deterministic for a seed.
 */
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { learned, unlabelledCascade } from "./candidates.ts";
import { type EvaluateOptions, type Evaluation, preparedFrom } from "./evaluate.ts";
import { EvaluationError } from "./evaluationError.ts";
import type { OutcomeRow } from "./outcomeLog.ts";
import type { Played } from "./playRow.ts";
import { mean } from "./routingMetrics.ts";
import { isLearnedPolicy, LEARNED_POLICIES, type LearnedPolicy, type Setting, shuffledFolds } from "./trainModel.ts";

export interface CurvePoint {
  readonly policy: string;
  readonly labels: number;
  /** Means over the shuffles. */
  readonly quality_ratio: number;
  readonly saving: number;
  /** Of the shuffles: the floor was shown to hold, so the policy stood where it saves most; else it was the cascade that needs no labels. */
  readonly shown_share: number;
  /** Of the shuffles: the measured ratio was below the target. */
  readonly missed_share: number;
}
export interface LearningCurve extends Omit<Evaluation, "notes" | "policies" | "rows"> {
  /** Played in each shuffle. */
  readonly rows: number;
  readonly shuffles: number;
  readonly points: readonly CurvePoint[];
}
export const UNLABELLED = "cascade without labels";

/** Rows that are kept for playing, at least. */
const LEAST_PLAYED = 100;
/** Fewer labels than these cannot be parted into folds. */
const LEAST_LABELS = 20;

/** `labels`: rows to learn from, each 0 or 20 and more. Throws `EvaluationError` as `evaluate` does, and when too few rows are left to play. */
export function learningCurve(options: Omit<EvaluateOptions, "test">, { labels, shuffles }: { labels: readonly number[]; shuffles: number }): LearningCurve {
  const { setting, train: rows } = preparedFrom({ ...options, test: [] });
  const { baseline, target, risk, tiers, random } = setting;
  const most = Math.max(...labels);
  if (rows.length - most < LEAST_PLAYED) throw new EvaluationError(`${most} of ${rows.length} rows to learn from leave fewer than ${LEAST_PLAYED} to play`);
  if (labels.some((count) => count !== 0 && count < LEAST_LABELS)) throw new EvaluationError(`a policy learns from ${LEAST_LABELS} labels or more, or from none (0)`);
  const policies = (options.policies ?? LEARNED_POLICIES).filter(isLearnedPolicy);
  const found = new Map<string, Outcome[]>();
  for (let i = 0; i < shuffles; i++) {
    const shuffled = shuffledFolds(rows.length, rows.length, random).flatMap((at) => rows[at] ?? []);
    const played = shuffled.slice(most);
    const reference = played.flatMap((row) => row.tiers[baseline] ?? []);
    const [quality, cost] = [mean(reference.map((outcome) => outcome.quality)), mean(reference.map(({ cost_usd }) => cost_usd))];
    const add = (labels: number, { policy, play, isShown }: Start) => {
      const plays = played.map(play);
      const outcome = { ratio: mean(plays.map((one) => one.quality)) / quality, saving: 1 - mean(plays.map(({ cost_usd }) => cost_usd)) / cost, isShown };
      found.set(keyOf(policy, labels), [...(found.get(keyOf(policy, labels)) ?? []), outcome]);
    };
    add(0, { policy: UNLABELLED, play: unlabelledCascade(setting), isShown: false });
    for (const [j, count] of labels.entries()) {
      options.onProgress(`shuffle ${i + 1} of ${shuffles}: ${count} labels`, { done: i * labels.length + j, of: shuffles * labels.length });
      for (const start of startsFrom({ ...setting, random: seededRandom(options.seed + i) }, shuffled.slice(0, count), policies)) add(count, start);
    }
  }
  const share = (outcomes: readonly Outcome[], of: (outcome: Outcome) => boolean) => outcomes.filter(of).length / shuffles;
  return {
    seed: options.seed, rows: rows.length - most, shuffles, tiers, baseline: tiers[baseline] ?? "", target, risk, cost: setting.paysVerification ? "total" : "generation",
    points: [UNLABELLED, ...policies].flatMap((policy) => (policy === UNLABELLED ? [0] : labels).flatMap((count): CurvePoint[] => {
      const outcomes = found.get(keyOf(policy, count));
      if (outcomes === undefined) return [];
      return [{ policy, labels: count, quality_ratio: mean(outcomes.map(({ ratio }) => ratio)), saving: mean(outcomes.map(({ saving }) => saving)), shown_share: share(outcomes, ({ isShown }) => isShown), missed_share: share(outcomes, ({ ratio }) => ratio < target) }];
    })),
  };
}

interface Outcome {
  readonly ratio: number;
  readonly saving: number;
  readonly isShown: boolean;
}
const keyOf = (policy: string, labels: number): string => `${policy} ${labels}`;

interface Start {
  readonly policy: string;
  readonly play: (row: OutcomeRow) => Played;
  readonly isShown: boolean;
}
function startsFrom(setting: Setting, rows: readonly OutcomeRow[], policies: readonly LearnedPolicy[]): Start[] {
  if (rows.length === 0) return policies.map((policy) => ({ policy, play: unlabelledCascade(setting), isShown: false }));
  return learned(setting, rows, policies, () => undefined).flatMap(({ policy, play, isShown }) => (isShown === undefined ? [] : [{ policy, play, isShown }]));
}
