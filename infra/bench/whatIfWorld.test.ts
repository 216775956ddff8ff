import { expect, it } from "vitest";

import { type Compared, spearman, summarise } from "./whatIfWorld.ts";

it.each([
  ["the same order", [[1, 10], [2, 20], [3, 30]], 1],
  ["the opposite", [[1, 30], [2, 20], [3, 10]], -1],
  ["two that are equal in one of them", [[1, 1], [1, 2], [2, 3]], Math.sqrt(3) / 2],
] as const)("the rank correlation of %s", (_what, pairs, correlation) => { expect(spearman(pairs)).toBeCloseTo(correlation, 9); });

it("counts the intervals that hold the truth, and how far estimates are off", () => {
  const row = (measure: string, value: number, half: number, truth: number): Compared => ({ policy: `p${value}`, measure, truth, estimate: { value, low: value - half, high: value + half } });
  const found = summarise([row("quality", 0.8, 0.02, 0.81), row("quality", 0.6, 0.005, 0.61), row("cost", 110, 5, 100), row("cost", 200, 5, 200), row("latency p95", 55, 6, 50), row("within SLO", 0.7, 0.1, 0.75), { policy: "q", measure: "quality", truth: 1, estimate: null }]);
  expect(found).toMatchObject({ asked: 7, refused: 1, coverage: 4 / 6, by_measure: { quality: 0.5, cost: 0.5, "latency p95": 1, "within SLO": 1 }, quality_rank_correlation: 1, cost_rank_correlation: 1 });
  expect(found.quality_error).toBeCloseTo(0.01, 9);
  expect(found.cost_error).toBeCloseTo(0.05, 9);
  expect(found.latency_p50_error).toBeNaN();
  expect(found.latency_p95_error).toBeCloseTo(0.1, 9);
  expect(found.within_slo_error).toBeCloseTo(0.05, 9);
});
