import { expect, it } from "vitest";

import { calibratedLogOdds, logistic } from "#router/policy/calibration.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { fitCalibration } from "./fitCalibration.ts";

/** Says 0.99 where it is right in 7 of 10 cases of class 0, and in 95 of 100 of class 1; 0.2 where it is right in 3 of 10. */
const random = seededRandom(4);
const SURE = [0.7, 0.95];
const rows = Array.from({ length: 4_000 }, (_, i) => {
  const task = i % 2, isSure = random() < 0.5;
  return { task, confidence: isSure ? 0.99 : 0.2, quality: random() < (isSure ? (SURE[task] ?? 0) : 0.3) ? 1 : 0 };
});
const share = (task: number) => (task === 0 ? [1, 0] : [0, 1]);

it("turns what a tier says of itself into how often it is right, by class of task", () => {
  const fitted = fitCalibration(rows, rows.map(({ task }) => share(task)));
  if (fitted === null) throw new Error("there are confidences");
  for (const [task, sure] of SURE.entries()) {
    expect(logistic(calibratedLogOdds(fitted, share(task), 0.99))).toBeCloseTo(sure, 1);
    expect(logistic(calibratedLogOdds(fitted, share(task), 0.2))).toBeCloseTo(0.3, 1);
  }
});

it("tells a confidence of 1 from what lies just below it", () => {
  const steep = Array.from({ length: 2_000 }, (_, i) => ({ confidence: i % 2 === 0 ? 1 : 0.999_99, quality: random() < (i % 2 === 0 ? 0.95 : 0.6) ? 1 : 0 }));
  const fitted = fitCalibration(steep, steep.map(() => [1]));
  if (fitted === null) throw new Error("there are confidences");
  expect(logistic(calibratedLogOdds(fitted, [1], 1))).toBeCloseTo(0.95, 1);
  expect(logistic(calibratedLogOdds(fitted, [1], 0.999_99))).toBeCloseTo(0.6, 1);
});

it("draws a class of few rows towards the others", () => {
  const few = [...rows.filter(({ task }) => task === 0), { task: 1, confidence: 0.99, quality: 0 }];
  const fitted = fitCalibration(few, few.map(({ task }) => share(task)));
  const p = logistic(calibratedLogOdds(fitted as NonNullable<typeof fitted>, share(1), 0.99));
  expect([p > 0.1, p < 0.6]).toEqual([true, true]); // between its one wrong answer and the others' 0.7
});

it("finds nothing for a tier without confidences", () => { expect(fitCalibration([{ quality: 1, confidence: null }], [[1]])).toBeNull(); });
