/**
 * Means over all requests of a log from those whose outcome is known: inverse propensity scoring (IPS), the same normalised by
 * its own weights (SNIPS), and doubly robust (DR: what a model expects of each request, corrected by the known ones). Sums
 * only, so a log of any length fits. Pure.
 *
 * An interval is about these very requests: what would have come of them, not of others like them. So what is known of each
 * request has no width, and only what the log drew counts: for a request with weight w and residual r, w(w-1)r² estimates
 * its variance without bias (Horvitz and Thompson).
 */
export interface Estimate {
  readonly value: number;
  /** 95 %. */
  readonly low: number;
  readonly high: number;
}
/** JSON. */
export interface Sums {
  /** Requests. */
  n: number;
  /** Of the weights w, and of their squares. */
  w: number;
  ww: number;
  /** Of w y, of (w y)² less w y², and of w(w-1) and w(w-1) y. */
  wy: number;
  v2: number;
  v0: number;
  v1: number;
  /** Of DR's terms, and of the estimates of their variances. */
  dr: number;
  drVariance: number;
}
export const newSums = (): Sums => ({ n: 0, w: 0, ww: 0, wy: 0, v2: 0, v0: 0, v1: 0, dr: 0, drVariance: 0 });

export interface Term {
  /** 0: the outcome is not known. */
  readonly weight: number;
  /** Read only with a weight. */
  readonly outcome: number;
  /** What the model expects of the request before anything is known of it. */
  readonly expected: number;
  /** The same once all but the judgement of the answer is known, and the weight of what is known of it. Absent: there is no such stage. */
  readonly refined?: { readonly weight: number; readonly expected: number };
}

export function addTerm(sums: Sums, { weight, outcome, expected, refined }: Term): void {
  sums.n++;
  const stage = refined === undefined || refined.weight === 0 ? null : refined;
  const last = stage?.expected ?? expected;
  const term = expected + (stage === null ? 0 : stage.weight * (stage.expected - expected)) + (weight === 0 ? 0 : weight * (outcome - last));
  sums.dr += term;
  // Unbiased for the term's variance: its second moment about `expected`, less the part that the outcome itself has in it.
  sums.drVariance += (term - expected) ** 2 - (weight === 0 ? 0 : weight * (outcome - expected) ** 2);
  if (weight === 0) return;
  const spread = weight * (weight - 1);
  sums.w += weight;
  sums.ww += weight ** 2;
  sums.wy += weight * outcome;
  sums.v0 += spread;
  sums.v1 += spread * outcome;
  sums.v2 += spread * outcome ** 2;
}

/** Standard normal quantile of 0.975. */
export const Z975 = 1.95996;
const interval = (value: number, variance: number): Estimate => {
  const half = Z975 * Math.sqrt(Math.max(0, variance));
  return { value, low: value - half, high: value + half };
};

export const ips = ({ n, wy, v2 }: Sums): Estimate => interval(wy / n, v2 / n ** 2);

/** By linearisation (the delta method). */
export function snips({ w, wy, v0, v1, v2 }: Sums): Estimate {
  const mean = wy / w;
  return interval(mean, (v2 - 2 * mean * v1 + mean ** 2 * v0) / w ** 2);
}

export const doublyRobust = ({ n, dr, drVariance }: Sums): Estimate => interval(dr / n, drVariance / n ** 2);

/** How many requests that are all known would say as much (Kish). */
export const effectiveSampleSize = ({ w, ww }: Pick<Sums, "w" | "ww">): number => (ww === 0 ? 0 : w ** 2 / ww);
