import { expect, it } from "vitest";

import { acceptableAmong, calibratedLogOdds, logistic } from "./calibration.ts";

const CURVE = { intercept: 0.2, slope: 1.5, saturated: 0, class_intercepts: [1, -1], class_slopes: [0.5, 0] };
it("gives a class its own curve, and several the mean of theirs", () => {
  const [first, second] = [logistic(calibratedLogOdds(CURVE, [1, 0], 0.9)), logistic(calibratedLogOdds(CURVE, [0, 1], 0.9))];
  expect([acceptableAmong(CURVE, [0], 0.9), acceptableAmong(CURVE, [1], 0.9)]).toEqual([first, second]);
  expect(acceptableAmong(CURVE, [0, 1], 0.9)).toBeCloseTo((first + second) / 2);
  expect(acceptableAmong(CURVE, [], 0.5)).toBeCloseTo(logistic(0.2));
});
