/** Statistics of the local models' table. Pure: the bootstrap's seed is fixed. */
import { makeRandom } from "#workers/backends/local/hash.ts";

export interface Interval {
  readonly estimate: number;
  /** Of the 95 % confidence interval. */
  readonly low: number;
  readonly high: number;
}

/** What one mail adds to a ratio's numerator and denominator. */
export interface Term {
  /** Terms of one group are drawn together: related mails are not independent. */
  readonly group_id: string;
  readonly numerator: number;
  readonly denominator: number;
}

const RESAMPLES = 2_000;
const SEED = 7;

/**
 * Σ numerators / Σ denominators with a percentile bootstrap over groups. An accuracy has `1` below, a paired difference
 * of accuracies the difference of two mails' 0/1 above, a share of another accuracy that one's 0/1 below.
 */
export function ratioInterval(terms: readonly Term[]): Interval {
  const groups = sumByGroup(terms);
  const random = makeRandom(SEED);
  const ratios = Array.from({ length: RESAMPLES }, () => {
    let [above, below] = [0, 0];
    for (let drawn = 0; drawn < groups.length; drawn += 1) {
      const group = groups[random(groups.length)];
      above += group?.numerator ?? 0;
      below += group?.denominator ?? 0;
    }
    return above / below;
  }).toSorted((a, b) => a - b);
  const all = groups.reduce((sum, group) => ({ above: sum.above + group.numerator, below: sum.below + group.denominator }), { above: 0, below: 0 });
  return { estimate: all.above / all.below, low: quantile(ratios, 0.025), high: quantile(ratios, 0.975) };
}

function sumByGroup(terms: readonly Term[]): { numerator: number; denominator: number }[] {
  const groups = new Map<string, { numerator: number; denominator: number }>();
  for (const { group_id, numerator, denominator } of terms) {
    const group = groups.get(group_id) ?? { numerator: 0, denominator: 0 };
    groups.set(group_id, { numerator: group.numerator + numerator, denominator: group.denominator + denominator });
  }
  return [...groups.values()];
}

/** `sorted` is not empty. */
const quantile = (sorted: readonly number[], q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;

/**
 * Expected calibration error: how far stated confidence and observed accuracy lie apart, in [0, 1], averaged over ten
 * equal bins of confidence from .5 to 1, each weighted by its share of the answers.
 */
export function calibrationError(answers: readonly { readonly confidence: number; readonly is_correct: boolean }[]): number {
  const bins = Array.from({ length: 10 }, () => ({ confidence: 0, correct: 0 }));
  for (const { confidence, is_correct } of answers) {
    const bin = bins[Math.min(9, Math.max(0, Math.floor((confidence - 0.5) * 20)))];
    if (bin === undefined) continue;
    bin.confidence += confidence;
    bin.correct += is_correct ? 1 : 0;
  }
  return bins.reduce((sum, { confidence, correct }) => sum + Math.abs(confidence - correct), 0) / answers.length;
}
