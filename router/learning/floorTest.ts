/**
 * Is the quality floor still held? A test that may be looked at after every shadowed request.
 *
 * H0, "the floor holds": given all before it, each margin `quality kept − target · quality of the baseline` has a mean of
 * 0 or more. Each bet multiplies its capital by `1 − λ · margin`, λ fixed, so under H0 no capital is expected to grow
 * (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2023, arXiv 2010.09686,
 * section 4: the capital process; several fixed bets side by side instead of one that is tuned). A long good time leaves
 * such a capital with nothing, and a later drift unseen; so new bets start at every margin, as in an e-detector (Shin,
 * Ramdas, Rinaldo, "E-detectors", NEJSDS 2023, arXiv 2203.03532, section 2: sums of e-processes begun at each time).
 *
 * What raises the alert is that sum with start j weighted by `unspent(j) − unspent(j + 1)`, which add up to 1. It is
 * itself an e-process: while the floor holds, the probability that it EVER reaches 1 / risk is `risk` at most (Ville), for
 * any dependence and however often one looks. With weights of 1, a Shiryaev-Roberts e-detector, 1 / risk would only
 * promise 1 / risk margins (20 at 5 %) between false alarms on average. An alarm here costs savings until somebody comes,
 * so "ever" is the promise that is wanted; its price is a delay that grows by the logarithm of the time before the drift. Pure.
 */
import type { FloorState } from "#shared/contracts/floorGuard.ts";

/**
 * Where margins come from. `qualities`: both answers were judged, so margins are in [−target, 1]. `agreement`: the kept
 * answer is judged by its agreement with the baseline's, which counts as right: [−target, 1 − target], where bolder bets
 * are possible and a loss is found sooner. But a better answer, and another wrong one, count as lost there, so a model that
 * holds the floor may agree less often than the floor says (at most 96.3 % at a quality of 98.1 %: docs/benchmarks.md,
 * "Drift"). For agreement, `target` is therefore a lower bound of what the operating point reached on held-out rows.
 */
export interface MarginSource {
  /** Share of the baseline's quality to keep, or least share of agreement; in (0, 1), for `qualities` also 1. */
  readonly target: number;
  readonly labels: "qualities" | "agreement";
}

/** λ of the most timid bet: best against a mean margin of about −λ · variance, half a point where one answer in ten differs. */
const LEAST_BET = 0.05;
/** No bet may lose more than this share of its capital on one margin. */
const MOST_LOST = 0.8;
/** Capital is cut off here, so that it stays a number; less capital only delays an alarm. */
const MOST_CAPITAL = 1e12;
const LEAST_RISK = 1e-9;

/** Before the first margin. Throws `RangeError` when the target leaves nothing to bet on. */
export function floorState({ target, labels }: MarginSource): FloorState {
  const highest = labels === "agreement" ? 1 - target : 1;
  if (!(target > 0 && target <= 1 && highest > 0)) throw new RangeError(`there is no floor at a target of ${target} with ${labels}`);
  const bets = 1 + Math.max(0, Math.floor(Math.log2(MOST_LOST / highest / LEAST_BET)));
  return { lowest: -target, highest, samples: 0, capital: new Array<number>(bets).fill(0), bound: { weight: 0, weighted: 0, penalty: 0, sum: 0, squares: 0 } };
}

/** Starts among which the weight hardly falls. In simulated drifts, 100 against 1: a fifth slower at the very start, a seventh faster after 5,000 margins. */
const EARLY_STARTS = 100;
/** Share of the weights that is left for starts from `start` (1, 2, …) on: falls so slowly that a late start still has about 1 / (start · log² start). */
const unspent = (start: number): number => 1 / (1 + Math.log(1 + (start - 1) / EARLY_STARTS));

const ROUNDING = 1e-9;

/** One margin more, in the order of the requests; not safe to repeat. Throws `RangeError` for a margin that the source cannot give. */
export function withMargin(state: FloorState, margin: number): FloorState {
  const { lowest, highest } = state;
  if (!(margin >= lowest - ROUNDING && margin <= highest + ROUNDING)) throw new RangeError(`a margin of ${margin} is not in [${lowest}, ${highest}]`);
  const samples = state.samples + 1;
  const stake = (unspent(samples) - unspent(samples + 1)) / state.capital.length;
  const capital = state.capital.map((before, k) => Math.min(MOST_CAPITAL, (before + stake) * (1 - LEAST_BET * 2 ** k * margin)));
  return { lowest, highest, samples, capital, bound: withScaled(state, Math.min(1, Math.max(0, (margin - lowest) / (highest - lowest)))) };
}

/** An e-value: how many times its stake the sum of bets is worth, against the floor. */
export const evidence = ({ capital }: FloorState): number => capital.reduce((sum, one) => sum + one, 0);

/** `risk` in [1e-9, 0.5]: the probability with which this is ever true while the floor holds. It may become false again: whoever acts on it remembers it. */
export function isInDoubt(state: FloorState, risk: number): boolean {
  if (!(risk >= LEAST_RISK && risk <= 0.5)) throw new RangeError(`a risk of ${risk} is not in [${LEAST_RISK}, 0.5]`);
  return evidence(state) >= 1 / risk;
}

const MOST_WEIGHT = 0.5;
/** The weights below are best for a bound at this risk; a bound at another one holds as well. */
const TUNED_FOR = 0.05;

/** Predictable plug-in empirical Bernstein (Waudby-Smith and Ramdas, section 3.2, theorem 2), one-sided. */
function withScaled({ samples, bound: { weight, weighted, penalty, sum, squares } }: FloorState, x: number): FloorState["bound"] {
  const n = samples + 1;
  const meanBefore = (0.5 + sum) / n;
  const varianceBefore = (0.25 + squares) / n;
  const next = Math.min(MOST_WEIGHT, Math.sqrt((2 * Math.log(1 / TUNED_FOR)) / (varianceBefore * n * Math.log(1 + n))));
  const meanNow = (0.5 + sum + x) / (n + 1);
  return {
    weight: weight + next,
    weighted: weighted + next * x,
    penalty: penalty + (x - meanBefore) ** 2 * (-Math.log(1 - next) - next),
    sum: sum + x,
    squares: squares + (x - meanNow) ** 2,
  };
}

/**
 * For people, not for the alert: a lower bound of the mean margin since the test began, too high at any time with
 * probability `risk` at most. Where the mean moves, it bounds an average that gives early margins more weight, so it
 * follows a drift late. Never below the least possible margin.
 */
export function marginLowerBound({ lowest, highest, bound: { weight, weighted, penalty } }: FloorState, risk: number): number {
  if (weight === 0) return lowest;
  const scaled = (weighted - penalty - Math.log(1 / risk)) / weight;
  return lowest + (highest - lowest) * Math.max(0, scaled);
}
