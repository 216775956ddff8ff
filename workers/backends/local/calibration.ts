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

const MAX_STEPS = 100;
/** A step that lowers the loss by a smaller share is the last one. */
const PRECISION = 1e-12;
const SMALLEST_SHARE = 2 ** -20;

/** Newton's method on the two parameters, with steps halved until they do not make it worse. Needs both classes. */
export function fitCalibration(scored: readonly Scored[]): Calibration {
  const spam = scored.filter(({ is_spam }) => is_spam).length;
  const ham = scored.length - spam;
  if (spam === 0 || ham === 0) throw new Error("calibration needs mails of both classes");
  const targets = scored.map(({ score, is_spam }) => ({ score, target: is_spam ? (spam + 1) / (spam + 2) : 1 / (ham + 2) }));
  let found: Calibration = { slope: 0, offset: Math.log((spam + 1) / (ham + 1)) };
  let loss = logLoss(targets, found);
  for (let step = 0; step < MAX_STEPS; step += 1) {
    const full = newtonStep(targets, found);
    let share = 1;
    let next = found;
    let nextLoss = Infinity;
    for (; nextLoss > loss && share >= SMALLEST_SHARE; share /= 2) {
      next = { slope: found.slope - share * full.slope, offset: found.offset - share * full.offset };
      nextLoss = logLoss(targets, next);
    }
    if (nextLoss > loss) break;
    const gain = loss - nextLoss;
    [found, loss] = [next, nextLoss];
    if (gain <= PRECISION * loss) break;
  }
  return found;
}

interface Target {
  readonly score: number;
  /** Probability that is aimed at, in (0, 1). */
  readonly target: number;
}

function newtonStep(targets: readonly Target[], { slope, offset }: Calibration): Calibration {
  // Gradient (g) and Hessian (h); the small numbers keep the Hessian from being singular.
  let [g1, g0, h11, h10, h00] = [0, 0, 1e-9, 0, 1e-9];
  for (const { score, target } of targets) {
    const p = sigmoid(slope * score + offset);
    const curve = p * (1 - p);
    g1 += (p - target) * score;
    g0 += p - target;
    h11 += curve * score * score;
    h10 += curve * score;
    h00 += curve;
  }
  const determinant = h11 * h00 - h10 * h10;
  return { slope: (h00 * g1 - h10 * g0) / determinant, offset: (h11 * g0 - h10 * g1) / determinant };
}

/** −Σ target·log p + (1 − target)·log(1 − p), written so that it does not overflow. */
function logLoss(targets: readonly Target[], { slope, offset }: Calibration): number {
  return targets.reduce((sum, { score, target }) => {
    const z = slope * score + offset;
    return sum + Math.max(z, 0) - target * z + Math.log1p(Math.exp(-Math.abs(z)));
  }, 0);
}
