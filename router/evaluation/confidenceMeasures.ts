/** How well a confidence ranks answers, and how far it can be taken at its word. Pure. */
import { mean } from "./routingMetrics.ts";

/** An answer: a confidence in [0, 1], and how good it was, in [0, 1]. */
export interface Stated {
  readonly confidence: number;
  readonly quality: number;
}

/**
 * Probability that a right answer has a higher confidence than a wrong one, ties as a half: the area under the ROC curve
 * as the Mann-Whitney statistic (Hanley and McNeil, Radiology 143, 1982). 0.5 ranks nothing, 1 everything. An answer of
 * quality q counts as q right and 1 − q wrong ones. `null` when there are no right or no wrong ones.
 */
export function rankingAuc(answers: readonly Stated[]): number | null {
  const sorted = answers.toSorted((a, b) => a.confidence - b.confidence);
  let [right, wrong, won] = [0, 0, 0];
  for (let from = 0; from < sorted.length;) {
    const confidence = sorted[from]?.confidence;
    let [tiedRight, tiedWrong] = [0, 0];
    for (; sorted[from]?.confidence === confidence && from < sorted.length; from++) {
      tiedRight += sorted[from]?.quality ?? 0;
      tiedWrong += 1 - (sorted[from]?.quality ?? 0);
    }
    won += tiedRight * (wrong + tiedWrong / 2);
    right += tiedRight;
    wrong += tiedWrong;
  }
  return right * wrong === 0 ? null : won / (right * wrong);
}

/** Mean of (confidence − quality)², in [0, 1], less is better (Brier, Monthly Weather Review 78, 1950, for two outcomes). `null` without answers. */
export const brierScore = (answers: readonly Stated[]): number | null => (answers.length === 0 ? null : mean(answers.map(({ confidence, quality }) => (confidence - quality) ** 2)));

const BINS = 15;
/**
 * Expected calibration error: Σ over bins of (share of answers in it) · |mean quality − mean confidence|, in [0, 1], with 15
 * bins of equal width (Guo, Pleiss, Sun, Weinberger: arXiv 1706.04599). With few answers chance alone lifts it. `null` without answers.
 */
export function expectedCalibrationError(answers: readonly Stated[]): number | null {
  if (answers.length === 0) return null;
  const gaps = new Float64Array(BINS);
  for (const { confidence, quality } of answers) {
    const bin = Math.min(BINS - 1, Math.floor(confidence * BINS));
    gaps[bin] = (gaps[bin] ?? 0) + confidence - quality;
  }
  return gaps.reduce((sum, gap) => sum + Math.abs(gap), 0) / answers.length;
}
