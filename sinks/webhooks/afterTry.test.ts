import { describe, expect, it } from "vitest";

import { afterTry, MOST_TRIES, type Tried } from "./afterTry.ts";

const DAY_MS = 86_400_000;
const NOW_MS = Date.UTC(2026, 0, 1);
const answered = (status: number | null, retryAfter: string | null = null): Tried => ({ status, error: null, retryAfter });
const waitOf = (tried: Tried, tries: number, random = 0) => {
  const next = afterTry(tried, tries, NOW_MS, () => random);
  return next.kind === "retry" ? next.afterMs : next.kind;
};

it.each([[200, "delivered"], [204, "delivered"], [299, "delivered"], [410, "gone"], [301, 2_500], [307, 2_500], [400, 2_500], [404, 2_500], [429, 2_500], [500, 2_500], [199, 2_500], [null, 2_500]])("after %s: %s", (status, expected) => {
  expect(waitOf(answered(status), 1)).toBe(expected);
});

it("waits four times as long each time, at most 12 h, half of it drawn", () => {
  const waits = Array.from({ length: MOST_TRIES - 1 }, (_, i) => [waitOf(answered(500), i + 1), waitOf(answered(500), i + 1, 0.999_999)] as [number, number]);
  expect(waits.slice(0, 4).map(([least, most]) => [least, Math.round(most)])).toEqual([[2_500, 5_000], [10_000, 20_000], [40_000, 80_000], [160_000, 320_000]]);
  expect(waits.slice(-1)[0]?.map(Math.round)).toEqual([21_600_000, 43_199_978]);
  const total = (side: 0 | 1) => waits.reduce((sum, wait) => sum + wait[side], 0) / DAY_MS;
  expect([total(0).toFixed(1), total(1).toFixed(1)]).toEqual(["1.9", "3.8"]);
});

it("gives up after the last try, unless it was the one that succeeded", () => {
  expect([waitOf(answered(500), MOST_TRIES), waitOf(answered(500, "1"), MOST_TRIES + 1), waitOf(answered(200), MOST_TRIES)]).toEqual(["dead", "dead", "delivered"]);
});

describe("retry-after", () => {
  it.each([
    ["60", 60_000], ["0", 5_000], ["1", 5_000], ["999999999", 43_200_000], [" 120 ", 120_000], [new Date(NOW_MS + 90_000).toUTCString(), 90_000], [new Date(NOW_MS - 90_000).toUTCString(), 5_000],
    ["soon", 2_500], ["-5", 2_500], ["1.5", 2_500], ["", 2_500], ["Thu, 99 Foo 2026 00:00:00 GMT", 2_500],
  ])("%j: %d ms", (header, expected) => {
    expect(waitOf(answered(503, header), 1)).toBe(expected);
  });
  it("is spread a little, so that not all come back at once, and never shortened", () => {
    expect([waitOf(answered(429, "100"), 1), Math.round(Number(waitOf(answered(429, "100"), 1, 0.999_999)))]).toEqual([100_000, 110_000]);
  });
});
