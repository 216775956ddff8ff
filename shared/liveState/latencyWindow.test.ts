import { expect, it } from "vitest";

import { quantilesOf } from "./latencyWindow.ts";

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1);

it.each([
  ["nothing of too few measurements", upTo(19), null],
  ["nothing of none", [], null],
  ["nothing when too few are numbers", [...upTo(19), NaN, Infinity, -1], null],
  ["the median and the 95th percentile", upTo(100), { p50: 51, p95: 96 }],
  ["both of the least that is enough", upTo(20), { p50: 11, p95: 20 }],
  ["both whatever the order", upTo(100).reverse(), { p50: 51, p95: 96 }],
  ["both without what is no latency", [...upTo(100), NaN, -5, Infinity], { p50: 51, p95: 96 }],
  ["never zero, whose logarithm nobody wants", Array.from({ length: 20 }, () => 0), { p50: 0.01, p95: 0.01 }],
])("says %s", (_name, latencies, quantiles) => {
  expect(quantilesOf(latencies)).toEqual(quantiles);
});

it("leaves its argument as it was", () => {
  const latencies = Object.freeze(upTo(30).reverse());
  expect(() => quantilesOf(latencies)).not.toThrow();
});
