import { describe, expect, it } from "vitest";

import { lastThatHolds, lowerBound, normalQuantile } from "./qualityFloor.ts";

it.each([[0.5, 0], [0.95, 1.6448536269], [0.975, 1.9599639845], [0.001, -3.0902323062], [0.01, -2.326347874]])("the normal quantile of %d is %d", (p, z) => {
  expect(normalQuantile(p)).toBeCloseTo(z, 7);
});

describe("a lower bound", () => {
  it("is below the mean by the quantile times the standard error", () => {
    expect(lowerBound([0, 1, 0, 1, 0, 1, 0, 1, 0, 1], 0.05)).toBeCloseTo(0.5 - 1.6448536 * Math.sqrt(0.25 * (10 / 9) / 10), 6);
  });
  it("says nothing without data", () => { expect(lowerBound([1], 0.05)).toBe(-Infinity); });
});

const holds = Array<number>(100).fill(0.1);
const fails = Array<number>(100).fill(-0.1);
it.each([
  ["the last of those that hold", [holds, holds], 1],
  ["none after the first that fails, though a later one would hold", [holds, fails, holds], 0],
  ["nothing that was never seen to fail, on a few rows", [Array<number>(20).fill(0.03)], null],
  ["nothing when the safest one fails", [fails, holds], null],
])("the floor keeps %s", (_name, margins, expected) => { expect(lastThatHolds(margins, { target: 0.97, risk: 0.05 })).toBe(expected); });

describe("a floor whose margins come of five folds", () => {
  const margins = (mean: number) => Array.from({ length: 100 }, (_, i) => mean + (i % 2 === 0 ? 0.3 : -0.3));
  /** As the floor judges, but as if rows were independent: with one row more that is lost. */
  const independent = (mean: number) => lowerBound([...margins(mean), -0.97], 0.05);

  it("is not shown by what would just do for independent rows, since the folds' models share rows", () => {
    expect(independent(0.067)).toBeGreaterThan(0);
    expect(lastThatHolds([margins(0.067)], { target: 0.97, risk: 0.05 })).toBeNull();
  });
  it("is shown by a little more, not by twice as much only", () => { expect(lastThatHolds([margins(0.07)], { target: 0.97, risk: 0.05 })).toBe(0); });
});
