/**
 * From a tier's raw confidence to the probability that its answer is acceptable: Platt scaling with an intercept and a
 * slope for each class of task, drawn towards common ones (fitted by `router/learning/fitCalibration.ts`). Pure.
 */
import type { Calibration } from "#shared/contracts/routingModel.ts";

/** A recorded confidence has about six digits. */
const LEAST = 1e-6;
/** So that a slope is about 1. */
const SCALE = 5;

/** Log-odds of a raw confidence in [0, 1], in about [-2.8, 2.8]. */
export const scaledLogOdds = (confidence: number): number => Math.log(Math.max(LEAST, confidence) / Math.max(LEAST, 1 - confidence)) / SCALE;

/** 1 as far as it was recorded. Some models say it of half of their answers, and those are better than what lies just below. */
export const isSaturated = (confidence: number): boolean => confidence > 1 - LEAST;

/** Log-odds that the answer is acceptable. `classes`: probabilities of the task's classes. */
export function calibratedLogOdds({ intercept, slope, saturated, class_intercepts, class_slopes }: Calibration, classes: readonly number[], confidence: number): number {
  const raw = scaledLogOdds(confidence);
  let sum = intercept + slope * raw + (isSaturated(confidence) ? saturated : 0);
  for (const [c, probability] of classes.entries()) sum += probability * ((class_intercepts[c] ?? 0) + (class_slopes[c] ?? 0) * raw);
  return sum;
}

export const logistic = (logOdds: number): number => 1 / (1 + Math.exp(-logOdds));

/**
 * Probability that an answer of this raw confidence is acceptable, when its class is one of `among` (places of classes) and
 * each is as likely: the mean over them. Without classes the common curve.
 */
export function acceptableAmong(calibration: Calibration, among: readonly number[], confidence: number): number {
  if (among.length === 0) return logistic(calibratedLogOdds(calibration, [], confidence));
  const each = among.map((place) => logistic(calibratedLogOdds(calibration, Array.from({ length: place + 1 }, (_, c) => (c === place ? 1 : 0)), confidence)));
  return each.reduce((sum, one) => sum + one, 0) / among.length;
}
