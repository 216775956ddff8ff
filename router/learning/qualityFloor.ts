/**
 * The floor: "at least `target` times the baseline's quality", which may fail with probability `risk` at most.
 *
 * Candidates are tested in a fixed order, from the one that buys most quality down, and testing ends at the first that
 * is not shown to hold: fixed-sequence testing, so no correction for the search is needed (Angelopoulos et al., "Learn
 * then Test", arXiv 2110.01052, section 4.2). What is tested is the mean of `quality − target · baseline` per request,
 * paired, with a one-sided normal bound over rows that the candidate was not fitted on. Pure.
 */

/** Standard normal quantile, by Acklam's rational approximation for the centre and tails; error below 1.2e-9. */
export function normalQuantile(p: number): number {
  const a = [-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239];
  const b = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1];
  const c = [-0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783];
  const d = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1];
  const polynomial = (coefficients: readonly number[], x: number) => coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0);
  const tail = (q: number) => polynomial(c, q) / polynomial(d, q);
  if (p < 0.02425) return tail(Math.sqrt(-2 * Math.log(p)));
  if (p > 1 - 0.02425) return -tail(Math.sqrt(-2 * Math.log(1 - p)));
  const q = p - 0.5;
  return (q * polynomial(a, q * q)) / polynomial(b, q * q);
}

/** Lower end of the one-sided interval of the mean that is too high with probability `risk`. -Infinity for fewer than two values. `widening`: of the standard error. */
export function lowerBound(values: readonly number[], risk: number, widening = 1): number {
  const n = values.length;
  if (n < 2) return -Infinity;
  const mean = meanOf(values);
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  return mean - normalQuantile(1 - risk) * widening * Math.sqrt(variance / n);
}

/**
 * Standard errors are taken this much wider: held-out rows of five folds were judged by models that share rows, so their
 * sum varies more than that of independent rows (Nadeau and Bengio 2003; there is no exact factor). Without it the floor of
 * one recorded pair failed on 7 % of unseen halves at a risk of 5 %.
 */
const FOLDS_SHARE_ROWS = Math.sqrt(1.25);

/**
 * `margins`: of each candidate, safest first, `quality − target · baseline` on rows it was not fitted on. Gives the place
 * of the last candidate before the first that is not shown to hold; `null` when not even the first one is.
 *
 * Each is judged with one row more, whose answer is lost: rows without a single loss have no variance and would look
 * certain. n rows without a loss then give 2.84 / n at 5 %, against 3 / n of the exact binomial bound.
 */
export function lastThatHolds(margins: readonly (readonly number[])[], { target, risk }: { target: number; risk: number }): number | null {
  const failing = margins.findIndex((values) => lowerBound([...values, -target], risk, FOLDS_SHARE_ROWS) < 0);
  const last = (failing === -1 ? margins.length : failing) - 1;
  return last < 0 ? null : last;
}

/** The last candidate before the first whose mean, made to fall along the order as the true margins do, is below 0: a point estimate. */
export function lastThatSeemsToHold(margins: readonly (readonly number[])[]): number | null {
  const failing = falling(margins.map(meanOf)).findIndex((mean) => mean < 0);
  const last = (failing === -1 ? margins.length : failing) - 1;
  return last < 0 ? null : last;
}

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The closest sequence that never rises (pool adjacent violators). */
function falling(values: readonly number[]): number[] {
  const pools: { mean: number; size: number }[] = [];
  for (const value of values) {
    let pool = { mean: value, size: 1 };
    for (let before = pools.at(-1); before !== undefined && before.mean < pool.mean; before = pools.at(-1)) {
      pools.pop();
      const size = before.size + pool.size;
      pool = { mean: (before.mean * before.size + pool.mean * pool.size) / size, size };
    }
    pools.push(pool);
  }
  return pools.flatMap(({ mean, size }) => new Array<number>(size).fill(mean));
}
