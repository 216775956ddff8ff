import { describe, expect, it } from "vitest";

import { callMeasures, costAtQuality, errorCostAuc, quantileOf, type Routed } from "./routingMetrics.ts";

const routed = (scores: number[], weak: number[], strong: number[]): Routed[] => scores.map((score, i) => ({ score, weak: weak[i] as number, strong: strong[i] as number }));

describe("APGR and CPT", () => {
  it("are those of the published definition, worked out by hand", () => {
    const found = callMeasures(routed([0.9, 0.7, 0.7, 0.1], [0, 1, 0, 1], [1, 0, 1, 1]));
    expect(found?.apgr).toBeCloseTo(0.875, 12);
    expect(found?.cpt50).toBeCloseTo(12.5, 12);
  });

  it("do not depend on the order of the rows", () => {
    const rows = routed([0.9, 0.7, 0.7, 0.1], [0, 1, 0, 1], [1, 0, 1, 1]);
    expect(callMeasures(rows.toReversed())).toEqual(callMeasures(rows));
  });

  it("are a random router's when every score is the same", () => {
    expect(callMeasures(routed([1, 1, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1]))).toEqual({ apgr: 0.5, cpt50: 50, cpt80: 80 });
  });

  it("may pass 1, and do not exist when the strong tier is not better", () => {
    expect(callMeasures(routed([2, 1, 0], [0, 1, 1], [1, 1, 0]))).toBeNull();
    expect(callMeasures(routed([3, 2, 1], [0, 0, 1], [1, 1, 0]))?.apgr).toBeGreaterThan(1);
  });
});

describe("the error-cost AUC", () => {
  it("is one minus the mean quality along the curve", () => {
    expect(errorCostAuc([{ cost_usd: 1, quality: 0.5 }, { cost_usd: 3, quality: 0.9 }], 1, 3)).toBeCloseTo(0.3, 12);
  });
  it("holds the end values beyond the curve's own range, and takes the better of equal costs", () => {
    const points = [{ cost_usd: 1, quality: 0.5 }, { cost_usd: 1, quality: 0.1 }, { cost_usd: 2, quality: 1 }];
    expect(errorCostAuc(points, 0, 3)).toBeCloseTo(1 - (0.5 + 0.75 + 1) / 3, 12);
  });
});

describe("the cost at a quality", () => {
  const curve = [{ cost_usd: 2, quality: 0.9 }, { cost_usd: 1, quality: 0.7 }];
  it("lies on the straight line between two points", () => { expect(costAtQuality(curve, 0.8)).toBeCloseTo(1.5, 12); });
  it("is the first point's when that is good enough", () => { expect(costAtQuality(curve, 0.5)).toBe(1); });
  it("does not exist above the curve", () => { expect(costAtQuality(curve, 0.95)).toBeNull(); });
});

it.each([[[3, 1, 2], 0.5, 2], [[5], 0.95, 5], [[], 0.5, null]])("the quantile of %j at %d is %s", (values, share, expected) => {
  expect(quantileOf(values, share)).toBe(expected);
});
