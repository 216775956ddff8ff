import { expect, it } from "vitest";

import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { addLatency, latencyQuantile, newHistogram } from "./latencyQuantiles.ts";

it("is within half a percent of the quantile, and has no width but the bucket's where all is known", () => {
  const histogram = newHistogram();
  for (let ms = 1; ms <= 1_000; ms++) addLatency(histogram, ms, 1);
  const p95 = latencyQuantile(histogram, 0.95);
  expect(Math.abs((p95?.value ?? NaN) / 950 - 1)).toBeLessThan(0.006);
  expect((p95?.high ?? NaN) / (p95?.low ?? NaN)).toBeLessThan(1.011);
  expect(p95?.low).toBeLessThanOrEqual(950);
  expect(p95?.high).toBeGreaterThanOrEqual(950);
});

it("covers the quantile of all in 95 of 100 samples of some", () => {
  const random = seededRandom(3);
  let inside = 0;
  for (let sample = 0; sample < 400; sample++) {
    const all = Array.from({ length: 600 }, () => 100 * Math.exp(random() + random() + random()));
    const histogram = newHistogram();
    for (const ms of all) if (random() < 0.25) addLatency(histogram, ms, 4);
    const truth = all.toSorted((a, b) => a - b)[299] ?? NaN;
    const { low, high } = latencyQuantile(histogram, 0.5) ?? { low: NaN, high: NaN };
    if (low <= truth && truth <= high) inside++;
  }
  expect(inside / 400).toBeGreaterThan(0.92);
  expect(inside / 400).toBeLessThan(0.985);
});

it("says nothing of nothing", () => { expect(latencyQuantile(newHistogram(), 0.5)).toBeNull(); });
