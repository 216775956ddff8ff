import { describe, expect, it } from "vitest";

import { bestThresholds, keeps, NEVER, type TierColumn } from "./cascadeThresholds.ts";

const column = (quality: number[], cost: number, confidence: number[]): TierColumn =>
  ({ quality: Float64Array.from(quality), cost_usd: new Float64Array(quality.length).fill(cost), confidence: Float64Array.from(confidence) });
const ROWS = [0, 1, 2, 3];
const SMALL = column([1, 1, 0, 0], 0.001, [0.9, 0.8, 0.4, 0.2]);
const LARGE = column([1, 1, 1, 1], 0.01, [1, 1, 1, 1]);

describe("the thresholds of a cascade", () => {
  it("cut where keeping and going on are worth the same", () => {
    expect(bestThresholds([SMALL, LARGE], ROWS, 10)).toEqual([expect.closeTo(0.6), 0]);
  });
  it("go on with everything that may be wrong when money does not count", () => {
    const unsure = column([1, 0, 1, 0], 0.001, [0.9, 0.8, 0.4, 0.2]);
    expect(bestThresholds([unsure, LARGE], ROWS, 0)[0]).toBeGreaterThan(0.8);
  });
  it("keep everything when a dollar must buy more than there is", () => {
    expect(bestThresholds([SMALL, LARGE], ROWS, 1_000)).toEqual([0, 0]);
  });
  it("never keep an answer that is always wrong", () => {
    const wrong = column([0, 0, 0, 0], 0.001, [0.9, 0.8, 0.4, 0.2]);
    expect(bestThresholds([wrong, LARGE], ROWS, 1)).toEqual([NEVER, 0]);
  });
  it("are the best of all there are, on random outcomes of three tiers", () => {
    let seed = 7;
    const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
    const tiers = [0.5, 0.7, 0.9].map((skill, t) => {
      const quality = Array.from({ length: 40 }, () => (random() < skill ? 1 : 0));
      return column(quality, 10 ** (t - 4), quality.map((right) => Math.round(10 * (0.3 * right + 0.7 * random())) / 10));
    });
    const rows = [...Array(40).keys()];
    const value = (thresholds: number[]) => rows.reduce((sum, row) => {
      const kept = keeps(tiers, thresholds, row);
      return sum + (tiers[kept]?.quality[row] ?? 0) - 20 * tiers.slice(0, kept + 1).reduce((cost, tier) => cost + (tier.cost_usd[row] ?? 0), 0);
    }, 0);
    const grid = [...Array(12).keys()].map((i) => i / 10 - 0.05);
    const best = Math.max(...grid.flatMap((first) => grid.map((second) => value([first, second, 0]))));
    expect(value(bestThresholds(tiers, rows, 20))).toBeCloseTo(best, 9);
  });
});
