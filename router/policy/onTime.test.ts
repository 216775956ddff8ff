import fc from "fast-check";
import { expect, it } from "vitest";

import { probabilityWithin } from "./onTime.ts";

it.each([
  { p50: 100, p95: 400 }, { p50: 1, p95: 5 }, { p50: 1_500, p95: 6_000 }, { p50: 10, p95: 11 }, { p50: 0.02, p95: 60_000 },
])("gives back the quantiles that it was made from: %j", (quantiles) => {
  expect(probabilityWithin(quantiles, quantiles.p50)).toBeCloseTo(0.5, 2);
  expect(Math.abs(probabilityWithin(quantiles, quantiles.p95) - 0.95)).toBeLessThan(0.01);
});

it.each([
  ["no time at all", { p50: 100, p95: 400 }, 0, 0],
  ["less than no time", { p50: 100, p95: 400 }, -1_000, 0],
  ["all the time there is", { p50: 100, p95: 400 }, 1e9, 1],
  ["far too little time", { p50: 100, p95: 400 }, 1, 0],
  ["twice the median of a tier that never varies", { p50: 100, p95: 100 }, 200, 1],
  ["half the median of a tier that never varies", { p50: 100, p95: 100 }, 50, 0],
  ["the median, when the quantiles are the wrong way round", { p50: 100, p95: 50 }, 100, 0.5],
])("is, within %s, the right probability", (_name, quantiles, withinMs, probability) => {
  expect(probabilityWithin(quantiles, withinMs)).toBeCloseTo(probability, 3);
});

it("is a probability that grows with the time, for any latencies", () => {
  const ms = fc.double({ min: 0.01, max: 1e6, noNaN: true });
  fc.assert(fc.property(ms, ms, ms, ms, (p50, p95, a, b) => {
    const [sooner, later] = [Math.min(a, b), Math.max(a, b)].map((at) => probabilityWithin({ p50, p95 }, at)) as [number, number];
    expect(sooner).toBeGreaterThanOrEqual(0);
    expect(later).toBeLessThanOrEqual(1);
    expect(sooner).toBeLessThanOrEqual(later);
  }));
});
