/**
 * Platt scaling: turns a model's score into a probability, fitted on mails the model was not trained on, because on its
 * own training mails it is surer than it should be. Platt 1999, with the softened targets that keep it from 0 and 1.
 */
import { sigmoid } from "./logisticRegression.ts";

/** P(spam) = sigmoid(slope · score + offset). */
export interface Calibration {
  readonly slope: number;
  readonly offset: number;
}

export interface Scored {
  readonly score: number;
  readonly is_spam: boolean;
}

const STEPS = 50;

/** Newton's method on the two parameters. Needs both classes. */
export function fitCalibration(scored: readonly Scored[]): Calibration {
  const spam = scored.filter(({ is_spam }) => is_spam).length;
  const ham = scored.length - spam;
  if (spam === 0 || ham === 0) throw new Error("calibration needs mails of both classes");
  const targets = { spam: (spam + 1) / (spam + 2), ham: 1 / (ham + 2) };
  let [slope, offset] = [1, 0];
  for (let step = 0; step < STEPS; step += 1) {
    // Gradient and Hessian of the log loss; the small numbers keep the Hessian from being singular.
    let [g1, g0, h11, h10, h00] = [0, 0, 1e-9, 0, 1e-9];
    for (const { score, is_spam } of scored) {
      const p = sigmoid(slope * score + offset);
      const error = p - (is_spam ? targets.spam : targets.ham);
      const curve = p * (1 - p);
      g1 += error * score;
      g0 += error;
      h11 += curve * score * score;
      h10 += curve * score;
      h00 += curve;
    }
    const determinant = h11 * h00 - h10 * h10;
    slope -= (h00 * g1 - h10 * g0) / determinant;
    offset -= (h11 * g0 - h10 * g1) / determinant;
  }
  return { slope, offset };
}
