import { expect, it } from "vitest";

import { fitCalibration } from "./calibration.ts";
import { sigmoid } from "./logisticRegression.ts";

/** At each score as many spam mails as a model with this slope and offset says. */
const drawn = (slope: number, offset: number) =>
  Array.from({ length: 41 }, (_, i) => (i - 20) / 10).flatMap((score) =>
    Array.from({ length: 200 }, (_, k) => ({ score, is_spam: (k + 0.5) / 200 < sigmoid(slope * score + offset) })));

it.each([[1, 0], [2.5, -0.7], [0.4, 0.3]])("finds slope %d and offset %d again", (slope, offset) => {
  const found = fitCalibration(drawn(slope, offset));
  expect(found.slope).toBeCloseTo(slope, 1);
  expect(found.offset).toBeCloseTo(offset, 1);
});

it("says 50 % of a score that means nothing", () => {
  const { slope, offset } = fitCalibration([1, 2, 3].flatMap((score) => [{ score, is_spam: true }, { score, is_spam: false }]));
  expect(sigmoid(slope * 2 + offset)).toBeCloseTo(0.5, 3);
});

it("stays below certainty when the classes are cleanly apart", () => {
  const { slope, offset } = fitCalibration([-2, -1, 1, 2].map((score) => ({ score, is_spam: score > 0 })));
  expect(sigmoid(slope * 2 + offset)).toBeLessThan(0.95);
});

it("refuses to calibrate on one class", () => {
  expect(() => fitCalibration([{ score: 1, is_spam: true }])).toThrow("both classes");
});
