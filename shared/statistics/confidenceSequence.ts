/**
 * Intervals that hold however often they are looked at, for people who do. Asymptotic confidence sequences: Waudby-Smith, Arbour,
 * Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 2024,
 * arXiv 2103.06476, theorem 2.2. They need nothing but a count, a mean and a variance, and hold for many samples, so no decision
 * depends on them. Pure.
 */
export interface Sample {
  readonly count: number;
  readonly mean: number;
  readonly variance: number;
}
export interface Interval {
  readonly lower: number;
  readonly upper: number;
}
/** Below this a variance says nothing. */
const LEAST_COUNT = 20;
/** Where they are narrowest, in samples. They hold everywhere. */
const TUNED_FOR = 2_000;

/** Of a sample's mean. `null`: too few. */
export const meanSequence = (sample: Sample, risk: number): Interval | null => (sample.count < LEAST_COUNT ? null : around(sample.mean, sample.count, sample.variance, risk));

/** Of one sample's mean less another's. */
export function differenceSequence(one: Sample, other: Sample, risk: number): Interval | null {
  if (Math.min(one.count, other.count) < LEAST_COUNT) return null;
  const count = one.count + other.count;
  return around(one.mean - other.mean, count, count * (one.variance / one.count + other.variance / other.count), risk);
}

function around(mean: number, count: number, variance: number, risk: number): Interval {
  const spread = (-2 * Math.log(risk) + Math.log(1 - 2 * Math.log(risk))) / TUNED_FOR; // ρ² of the paper's appendix on tuning
  const scaled = count * spread + 1;
  const half = Math.sqrt(variance * ((2 * scaled) / (count ** 2 * spread)) * Math.log(Math.sqrt(scaled) / risk));
  return { lower: mean - half, upper: mean + half };
}

/** The greatest possible of a value in [0, 1]. */
const GREATEST_VARIANCE = 0.25;
/** Of sums over values in [0, 1]. Its variance is as if one value more were as far off as can be: twenty that are all alike prove little. */
export const sampleOf = ({ labels, sum, squares }: { readonly labels: number; readonly sum: number; readonly squares: number }): Sample =>
  ({ count: labels, mean: labels === 0 ? 0 : sum / labels, variance: labels === 0 ? GREATEST_VARIANCE : (Math.max(0, squares - sum ** 2 / labels) + GREATEST_VARIANCE) / labels });
