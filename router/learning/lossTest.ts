/**
 * Does an arm of an experiment lose more quality than is tolerated? A test that may be looked at after every label.
 *
 * Of each labelled request of the arm or the control, the difference is `D = (is arm / p − is control / (1 − p)) · (label − c)`,
 * where p is the probability with which one of the two got it (arms are drawn, so it is known) and c the mean of all labels
 * before it. c changes nothing about the mean of D, which is the arm's quality less the control's; it takes out what all
 * labels have in common, and with it most of the variance (a control variate; E[D²] is 1.0 instead of 9 at a share of 10 %
 * and qualities of .9). It also makes D robust where one arm's answers are judged more often than the other's: with c
 * near the quality, a label says little by being there.
 *
 * H0, "the loss is tolerated": given all before it, each `D + most loss` has a mean of 0 or more. Each bet multiplies its
 * capital by `1 − λ · (D + most loss)`, λ known before the label, so under H0 no capital is expected to grow, and their
 * weighted sum ever reaches 1 / risk with probability `risk` at most (Ville), however often one looks (Waudby-Smith and
 * Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2023, arXiv 2010.09686, section 4).
 * Most of the weight is on the bet that is best against a loss of `DESIGN_LOSS` times what is tolerated, by the variance
 * seen so far; the others, each twice as bold as the one before, find large losses within tens of labels. Pure.
 */
import type { LossState } from "#shared/contracts/experiment.ts";

export interface LossTerms {
  /** Shares of all requests. */
  readonly armShare: number;
  readonly controlShare: number;
  /** Tolerated, in [0, 1). */
  readonly maxLoss: number;
}
export interface ArmLabel {
  readonly isArm: boolean;
  /** In [0, 1]. */
  readonly value: number;
}

/** In multiples of what is tolerated: 5 points where 2 are. */
const DESIGN_LOSS = 2.5;
/** Where nothing is tolerated. */
const LEAST_GAP = 0.01;
const DESIGN_WEIGHT = 0.7;
/** λ of the most timid of the other bets, and how many there are. */
const LEAST_BET = 0.01;
const BETS = 8;
/** No bet may lose more than this share of its capital on one label. */
const MOST_LOST = 0.8;
/** Capital is cut off here, so that it stays a number; less capital only delays an alarm. */
const MOST_CAPITAL = 1e12;
/** Labels that the variance before the first, the greatest possible, counts as. */
const PRIOR_LABELS = 10;

/** Before the first label. */
export const lossState = (): LossState => ({ labels: 0, sum: 0, squares: 0, capital: [DESIGN_WEIGHT, ...new Array<number>(BETS).fill((1 - DESIGN_WEIGHT) / BETS)] });

/** One label more; not safe to repeat. */
export function withLabel({ labels, sum, squares, capital }: LossState, { isArm, value }: ArmLabel, { armShare, controlShare, maxLoss }: LossTerms): LossState {
  const p = armShare / (armShare + controlShare);
  const common = (0.5 + sum) / (1 + labels);
  const difference = (value - common) / (isArm ? p : p - 1);
  const greatest = Math.max((1 - common) / p, common / (1 - p)) + maxLoss;
  const variance = (0.25 * (1 / p + 1 / (1 - p)) * PRIOR_LABELS + squares) / (PRIOR_LABELS + labels);
  const best = designGap(maxLoss) / variance;
  const after = capital.map((before, k) => {
    const bet = Math.min(MOST_LOST / greatest, k === 0 ? best : LEAST_BET * 2 ** (k - 1));
    return Math.min(MOST_CAPITAL, before * (1 - bet * (difference + maxLoss)));
  });
  return { labels: labels + 1, sum: sum + value, squares: squares + difference ** 2, capital: after };
}

/** The loss that the test is built to find soon, in points of quality. */
export const designLoss = (maxLoss: number): number => maxLoss + designGap(maxLoss);
const designGap = (maxLoss: number): number => Math.max(LEAST_GAP, (DESIGN_LOSS - 1) * maxLoss);

/** An e-value against "the loss is tolerated". */
export const lossEvidence = ({ capital }: LossState): number => capital.reduce((sum, one) => sum + one, 0);

/** Labels that are still expected to be needed to find a loss of `designLoss`, were it there from now on; `null` before there is a variance to go by. */
export function labelsToFind(state: LossState, { maxLoss }: Pick<LossTerms, "maxLoss">, threshold: number): number | null {
  if (state.labels < 2 * PRIOR_LABELS || state.squares === 0) return null;
  const growth = designGap(maxLoss) ** 2 / (2 * (state.squares / state.labels)); // of the logarithm, by label
  return Math.max(0, Math.ceil(Math.log(threshold / Math.max(state.capital[0] ?? 0, Number.MIN_VALUE)) / growth));
}
