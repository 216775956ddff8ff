/**
 * Thresholds of a cascade that are best for one exchange rate of quality against money, on labelled outcomes. For each
 * tier in turn, from the last but one down, the best cut through the sorted confidences is found exactly; since the
 * tiers' cuts depend on each other, a few rounds follow. A cut depends on the order of the confidences alone, so it is
 * the same before and after any monotone calibration. Pure.
 */

/** What one tier did on each row, in the rows' order. */
export interface TierColumn {
  readonly quality: Float64Array;
  /** Of the answer and of what its confidence costs, in USD. */
  readonly cost_usd: Float64Array;
  readonly confidence: Float64Array;
}

const ROUNDS = 4;
/** Above every confidence: no answer is kept. */
export const NEVER = Infinity;
const STARTS = [0, 0.3, 0.6, 0.9, NEVER];

/**
 * `lambdaPerUsd`: quality that one dollar must buy, in 1/USD. Gives the least confidence at which each tier's answer is
 * kept, in [0, 1] or `NEVER`, cheapest tier first; the last one's is 0. `rows`: which rows to learn from.
 */
export function bestThresholds(tiers: readonly TierColumn[], rows: readonly number[], lambdaPerUsd: number): number[] {
  const found = STARTS.map((start) => improved(tiers, rows, lambdaPerUsd, start));
  const [best] = found.toSorted((x, y) => y.value - x.value);
  return best?.thresholds ?? [];
}

/** The rounds end in a place that no single cut betters; from several beginnings, the best of such places. */
function improved(tiers: readonly TierColumn[], rows: readonly number[], lambdaPerUsd: number, start: number): { thresholds: number[]; value: number } {
  const last = tiers.length - 1;
  const thresholds = tiers.map((_, t) => (t === last ? 0 : start));
  for (let round = 0; round < ROUNDS; round++) {
    let hasChanged = false;
    for (let t = last - 1; t >= 0; t--) {
      const best = bestCut(tiers, rows.filter((row) => reaches(tiers, thresholds, row, t)), { t, thresholds, lambdaPerUsd });
      hasChanged ||= best !== thresholds[t];
      thresholds[t] = best;
    }
    if (!hasChanged) break;
  }
  return { thresholds, value: rows.reduce((sum, row) => sum + valueOfGoingOn(tiers, thresholds, row, 0, lambdaPerUsd), 0) };
}

/** The first tier that keeps its answer. */
export const keeps = (tiers: readonly TierColumn[], thresholds: readonly number[], row: number, from = 0): number => {
  for (let t = from; t < tiers.length - 1; t++) if (at(tiers[t]?.confidence, row) >= (thresholds[t] ?? 0)) return t;
  return tiers.length - 1;
};
const reaches = (tiers: readonly TierColumn[], thresholds: readonly number[], row: number, t: number) => keeps(tiers, thresholds, row) >= t;
const at = (column: Float64Array | undefined, row: number): number => column?.[row] ?? 0;

interface Cut {
  readonly t: number;
  readonly thresholds: readonly number[];
  readonly lambdaPerUsd: number;
}
function bestCut(tiers: readonly TierColumn[], rows: readonly number[], { t, thresholds, lambdaPerUsd }: Cut): number {
  const confidence = (row: number) => at(tiers[t]?.confidence, row);
  const sorted = rows.toSorted((a, b) => confidence(b) - confidence(a));
  let gain = 0; // of keeping the answers so far, against going on with them
  let best = { gain: 0, threshold: NEVER };
  for (const [i, row] of sorted.entries()) {
    gain += at(tiers[t]?.quality, row) - valueOfGoingOn(tiers, thresholds, row, t + 1, lambdaPerUsd);
    const next = sorted[i + 1];
    if (next !== undefined && confidence(next) === confidence(row)) continue;
    if (gain > best.gain) best = { gain, threshold: next === undefined ? 0 : (confidence(row) + confidence(next)) / 2 };
  }
  return best.threshold;
}

function valueOfGoingOn(tiers: readonly TierColumn[], thresholds: readonly number[], row: number, from: number, lambdaPerUsd: number): number {
  const kept = keeps(tiers, thresholds, row, from);
  let cost = 0;
  for (let t = from; t <= kept; t++) cost += at(tiers[t]?.cost_usd, row);
  return at(tiers[kept]?.quality, row) - lambdaPerUsd * cost;
}
