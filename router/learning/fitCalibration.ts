import { isSaturated, scaledLogOdds } from "#router/policy/calibration.ts";
import type { Calibration } from "#shared/contracts/routingModel.ts";

import { logisticRegression, matrixOf } from "./linearModel.ts";

/** A class of its own intercept and slope only as far as its rows bear it. In cross-validation, three times more or less is alike. */
const PENALTY = { intercept: 1e-6, slope: 0.5, saturated: 0.3, classIntercept: 0.3, classSlope: 1 };

/** `classes`: of each row, the probabilities of the task's classes. `null` when a row has no confidence. Pure. */
export function fitCalibration(rows: readonly { readonly quality: number; readonly confidence: number | null }[], classes: readonly (readonly number[])[]): Calibration | null {
  const lines: number[][] = [];
  for (const [i, { confidence }] of rows.entries()) {
    if (confidence === null) return null;
    const raw = scaledLogOdds(confidence), shares = classes[i] ?? [];
    lines.push([1, raw, isSaturated(confidence) ? 1 : 0, ...shares, ...shares.map((share) => share * raw)]);
  }
  const count = classes[0]?.length ?? 0;
  const penalties = [PENALTY.intercept, PENALTY.slope, PENALTY.saturated, ...new Array<number>(count).fill(PENALTY.classIntercept), ...new Array<number>(count).fill(PENALTY.classSlope)];
  const [intercept = 0, slope = 0, saturated = 0, ...rest] = logisticRegression(matrixOf(lines), Float64Array.from(rows, ({ quality }) => quality), penalties);
  return { intercept, slope, saturated, class_intercepts: rest.slice(0, count), class_slopes: rest.slice(count) };
}
