import { describe, expect, it } from "vitest";

import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { forecastOf, rowOf, savingInterval, type Sums, togetherLabels } from "./figures.ts";

const SUMS: Sums = {
  group: "g", requests: "10", completed: "7", degraded: "1", failed: "1", rejected: "1", unknown_baselines: "2", cached: "3", partly_known: "1", with_slo: "4", within_slo: "3",
  attempt: "100", verification: "20", exploration: "3", shadow: "40", cache_audit: "5", waste: "6", baseline: "500", cached_saved: "50", pairs: "10", net: "20", square: "76",
};

describe("a row", () => {
  it("has what tenants pay for apart from what is on other lines, and all of it against the baseline", () => {
    expect(rowOf(SUMS, undefined)).toMatchObject({ group: "g", outcomes: { completed: 7, degraded: 1, failed: 1, rejected: 1 }, spend_nano_usd: "123", total_nano_usd: "174", net_saving_nano_usd: "326", unknown_baselines: 2, slo: { requests: 4, within: 3 }, agreement: null, net_saving_95: null });
  });

  it("that lost money says so", () => {
    expect(rowOf({ ...SUMS, baseline: "100" }, undefined).net_saving_nano_usd).toBe("-74");
  });

  it("is exact beyond what a number holds", () => {
    const row = rowOf({ ...SUMS, attempt: "90071992547409930001", baseline: "90071992547409930000" }, undefined);
    expect([row.spend_nano_usd, row.net_saving_nano_usd]).toEqual(["90071992547409930024", "-75"]);
  });

  it("has the exact interval of the share of labels that agree", () => {
    expect(rowOf(SUMS, { group: "g", labels: 20, agreeing: 18, mean: 0.91 }).agreement).toEqual({ labels: 20, agreeing: 18, lower: expect.closeTo(0.683, 3) as number, upper: expect.closeTo(0.9877, 4) as number, mean: 0.91 });
    expect(togetherLabels([{ group: "a", labels: 1, agreeing: 1, mean: 1 }, { group: "b", labels: 3, agreeing: 0, mean: 0.2 }])).toEqual({ group: null, labels: 4, agreeing: 1, mean: expect.closeTo(0.4) as number });
  });
});

describe("the interval of a saving", () => {
  it("is of the sum, and not given of a few requests", () => {
    expect([savingInterval(1_000n, 100, 4), savingInterval(1_000n, 29, 4), savingInterval(0n, 100, null)]).toEqual([{ lower: "960", upper: "1040" }, null, null]);
  });

  /** Standard normal, by Box and Muller. */
  const normal = (random: () => number): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  /** Differences as a cascade makes them: skewed savings of requests that a cheap tier answered, and losses of those that went all the way up. */
  const difference = (random: () => number): number => Math.exp(normal(random)) * (random() < 0.3 ? -400 : 1_000);
  const MEAN = Math.exp(0.5) * (0.7 * 1_000 - 0.3 * 400);
  it.each([[30, 0.9], [200, 0.93], [2_000, 0.935]])("of %d requests covers what so many are expected to save in %d of repetitions at least, by simulation", (n, atLeast) => {
    const random = seededRandom(11);
    const repetitions = 2_000;
    let covered = 0;
    for (let i = 0; i < repetitions; i++) {
      const values = Array.from({ length: n }, () => Math.round(difference(random)));
      const sum = values.reduce((a, b) => a + b, 0);
      const variance = values.reduce((a, b) => a + (b - sum / n) ** 2, 0) / (n - 1);
      const interval = savingInterval(BigInt(sum), n, variance);
      if (interval !== null && Number(interval.lower) <= n * MEAN && n * MEAN <= Number(interval.upper)) covered++;
    }
    expect(covered / repetitions).toBeGreaterThan(atLeast);
    expect(covered / repetitions).toBeLessThan(0.97);
  });
});

describe("a forecast", () => {
  const DAY = 86_400_000;
  const window = { fromMs: 0, toMs: 30 * DAY };
  const row = { ...rowOf(SUMS, undefined), spend_nano_usd: "100", total_nano_usd: "90071992547409930000", net_saving_nano_usd: "-30" };
  it("is what has passed, for the whole time", () => {
    expect(forecastOf(row, window, 10 * DAY)).toEqual({ method: "linear", spend_nano_usd: "300", total_nano_usd: "270215977642229790000", net_saving_nano_usd: "-90" });
  });
  it("is not made of less than a day, nor of what is over, nor of what has not begun", () => {
    expect([forecastOf(row, window, DAY - 1), forecastOf(row, window, 30 * DAY), forecastOf(row, { fromMs: 40 * DAY, toMs: 50 * DAY }, 30 * DAY)]).toEqual([null, null, null]);
  });
});
