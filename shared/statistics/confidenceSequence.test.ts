import { expect, it } from "vitest";

import { differenceSequence, meanSequence, sampleOf } from "./confidenceSequence.ts";
import { seededRandom } from "./seededRandom.ts";

const RISK = 0.05;

it("says nothing of a few, and more of more", () => {
  expect(meanSequence({ count: 5, mean: 0.5, variance: 0.25 }, RISK)).toBeNull();
  const [few, many] = [meanSequence({ count: 100, mean: 0.5, variance: 0.25 }, RISK), meanSequence({ count: 10_000, mean: 0.5, variance: 0.25 }, RISK)];
  expect((few?.upper ?? 0) - 0.5).toBeGreaterThan(0.1);
  expect((many?.upper ?? 0) - 0.5).toBeLessThan(0.02);
  expect(sampleOf({ labels: 4, sum: 2, squares: 2 })).toEqual({ count: 4, mean: 0.5, variance: 1.25 / 4 });
});

it("does not take twenty values that are all alike for a proof", () => {
  const alike = sampleOf({ labels: 20, sum: 20, squares: 20 });
  expect(meanSequence(alike, RISK)?.lower).toBeLessThan(0.9);
  expect(differenceSequence(alike, alike, RISK)?.lower).toBeLessThan(-0.1);
  expect(meanSequence(sampleOf({ labels: 10_000, sum: 10_000, squares: 10_000 }), RISK)?.lower).toBeGreaterThan(0.999);
});

it("holds the difference of two means at every look, in nearly all runs", () => {
  const runs = 200;
  const missed = Array.from({ length: runs }, (_, seed) => {
    const random = seededRandom(seed);
    const [arm, control] = [{ labels: 0, sum: 0, squares: 0 }, { labels: 0, sum: 0, squares: 0 }];
    for (let i = 0; i < 3_000; i++) {
      const isArm = random() < 0.3;
      const value = random() < (isArm ? 0.8 : 0.9) ? 1 : 0;
      const one = isArm ? arm : control;
      one.labels++;
      one.sum += value;
      one.squares += value;
      const found = i < 200 || i % 10 > 0 ? null : differenceSequence(sampleOf(arm), sampleOf(control), RISK);
      if (found !== null && (found.lower > -0.1 || found.upper < -0.1)) return true;
    }
    return false;
  });
  expect(missed.filter((one) => one).length / runs).toBeLessThan(RISK + 3 * Math.sqrt((RISK * (1 - RISK)) / runs));
});
