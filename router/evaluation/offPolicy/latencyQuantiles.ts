/** Quantiles of weighted latencies from sums by bucket, with intervals by inverting those of the distribution function (Woodruff 1952). Pure. */
import { type Estimate, Z975 } from "./estimators.ts";

/** Each bucket is 1 % wider than the one before. */
const GROWTH = Math.log(1.01);
/** A million seconds, in milliseconds. */
const BUCKETS = Math.ceil(Math.log(1e9) / GROWTH) + 1;

/** JSON. By bucket that has any: weights w, and w(w-1), which estimates what they add to the variance. */
export interface Histogram {
  readonly weights: Record<number, number>;
  readonly spreads: Record<number, number>;
}
export const newHistogram = (): Histogram => ({ weights: {}, spreads: {} });

export function addLatency({ weights, spreads }: Histogram, latencyMs: number, weight: number): void {
  const bucket = Math.min(BUCKETS - 1, Math.max(0, Math.ceil(Math.log(Math.max(1e-9, latencyMs)) / GROWTH)));
  weights[bucket] = (weights[bucket] ?? 0) + weight;
  spreads[bucket] = (spreads[bucket] ?? 0) + weight * (weight - 1);
}

/** `share` in (0, 1). `null`: there are none. Within half a bucket, 0.5 %. */
export function latencyQuantile({ weights, spreads }: Histogram, share: number): Estimate | null {
  const buckets = Object.keys(weights).map(Number).sort((a, b) => a - b);
  const total = buckets.reduce((sum, bucket) => sum + (weights[bucket] ?? 0), 0);
  if (total <= 0) return null;
  const at = (wanted: number): number => {
    let sum = 0;
    for (const bucket of buckets) {
      sum += weights[bucket] ?? 0;
      if (sum >= wanted * total) return bucket;
    }
    return buckets.at(-1) ?? 0;
  };
  const middle = at(share);
  let variance = 0;
  for (const bucket of buckets) variance += (spreads[bucket] ?? 0) * ((bucket <= middle ? 1 : 0) - share) ** 2;
  const half = (Z975 * Math.sqrt(Math.max(0, variance))) / total;
  const low = at(Math.max(0, share - half)), high = at(Math.min(1, share + half));
  // Where all is known, nothing but the bucket is left to doubt.
  return { value: middleOf(middle), low: Math.exp((low - 1) * GROWTH), high: Math.exp(high * GROWTH) };
}
const middleOf = (bucket: number): number => Math.exp((bucket - 0.5) * GROWTH);
