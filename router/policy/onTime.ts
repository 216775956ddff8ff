/** Latency as a log-normal distribution through its median and 95th percentile, in milliseconds. */
export interface LatencyQuantiles {
  readonly p50: number;
  readonly p95: number;
}

/** Standard normal quantile of 0.95. */
const Z95 = 1.6449;

/** Probability in [0, 1] that a latency is at most `withinMs`. */
export function probabilityWithin({ p50, p95 }: LatencyQuantiles, withinMs: number): number {
  if (withinMs <= 0) return 0;
  const sigma = Math.max(0.05, Math.log(Math.max(p95, p50 * 1.01) / p50) / Z95);
  return normalCdf((Math.log(withinMs) - Math.log(p50)) / sigma);
}

/** Logistic approximation of the normal distribution function, error below 0.0002 (Bowling et al. 2009, JIEM 2(1), eq. 8). */
const normalCdf = (z: number): number => 1 / (1 + Math.exp(-(0.07056 * z ** 3 + 1.5976 * z)));
