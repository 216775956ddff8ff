import { describe, expect, it } from "vitest";

import { forecastDemand, HOUR_MS, type SeenDemand } from "./demandForecast.ts";

const DAY_MS = 24 * HOUR_MS;
/** A Monday. */
const FROM_MS = 4 * DAY_MS;
const seen = (requests: readonly number[], fromMs = FROM_MS): SeenDemand => ({ fromMs, untilMs: fromMs + requests.length * HOUR_MS, requests });
const days = (count: number, busy: (hour: number, weekday: number) => number): number[] => Array.from({ length: 24 * count }, (_, i) => busy(i % 24, new Date(FROM_MS + i * HOUR_MS).getUTCDay()));
const nextDay = ({ untilMs }: SeenDemand, offsetMs = 0) => ({ fromMs: untilMs, untilMs: untilMs + DAY_MS, offsetMs });

describe("the demand to come", () => {
  it("is the rate of late where it was even", () => {
    const before = seen(days(3, () => 10));
    const { requests, deviation } = forecastDemand(before, nextDay(before));
    expect(requests).toBeCloseTo(240, 0);
    expect(deviation).toBeCloseTo(Math.sqrt(240), 0);
  });

  it("is nothing where there never was any", () => {
    const before = seen(days(3, () => 0));
    expect(forecastDemand(before, nextDay(before)).requests).toBe(0);
    expect(forecastDemand(seen([]), { fromMs: 0, untilMs: DAY_MS, offsetMs: 0 }).requests).toBe(0);
  });

  it("follows the hours of the day", () => {
    const before = seen(days(5, (hour) => (hour < 12 ? 2 : 30)));
    const morning = forecastDemand(before, { fromMs: before.untilMs, untilMs: before.untilMs + DAY_MS / 2, offsetMs: 0 });
    const evening = forecastDemand(before, { fromMs: before.untilMs + DAY_MS / 2, untilMs: before.untilMs + DAY_MS, offsetMs: 0 });
    expect(morning.requests).toBeLessThan(60); // of 24: five days do not make it certain yet
    expect(evening.requests).toBeGreaterThan(320);
  });

  it("knows a weekend once it has seen two", () => {
    const before = seen(days(19, (_hour, weekday) => (weekday === 0 || weekday === 6 ? 0 : 10))); // until a Saturday
    expect(new Date(before.untilMs).getUTCDay()).toBe(6);
    expect(forecastDemand(before, nextDay(before)).requests).toBeLessThan(60);
    expect(forecastDemand(before, { fromMs: before.untilMs + 2 * DAY_MS, untilMs: before.untilMs + 3 * DAY_MS, offsetMs: 0 }).requests).toBeGreaterThan(200);
  });

  it("takes hours of the day that it has not seen for busier than the night", () => {
    const night = seen([1, 1, 1, 1, 1, 1]);
    expect(forecastDemand(night, { fromMs: night.untilMs, untilMs: FROM_MS + DAY_MS, offsetMs: 0 }).requests).toBeGreaterThan(1.3 * 18);
  });

  it("counts a part of an hour as that part", () => {
    const before = { ...seen(days(2, () => 10)), untilMs: FROM_MS + 47.5 * HOUR_MS };
    const halved = { ...before, requests: before.requests.with(-1, 5) };
    expect(forecastDemand(halved, { fromMs: before.untilMs, untilMs: before.untilMs + HOUR_MS / 2, offsetMs: 0 }).requests).toBeCloseTo(5, 0);
  });

  it("is less certain where requests come in bursts", () => {
    const even = seen(days(10, () => 10)), bursts = seen(days(10, () => 0).map((_one, i) => (i % 10 === 0 ? 100 : 0)));
    expect(forecastDemand(bursts, nextDay(bursts)).deviation).toBeGreaterThan(5 * forecastDemand(even, nextDay(even)).deviation);
  });
});
