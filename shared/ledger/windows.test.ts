import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { windowOf } from "./windows.ts";

const at = (text: string) => Date.parse(text);
const span = ({ startsAtMs, endsAtMs }: { startsAtMs: number; endsAtMs: number }) => [new Date(startsAtMs).toISOString(), new Date(endsAtMs).toISOString()];

describe("a window", () => {
  it.each([
    ["a day", "day", "2026-11-28T12:00:00Z", "UTC", "2026-11-28", "2026-11-28T00:00:00.000Z", "2026-11-29T00:00:00.000Z"],
    ["its first instant", "day", "2026-11-28T00:00:00Z", "UTC", "2026-11-28", "2026-11-28T00:00:00.000Z", "2026-11-29T00:00:00.000Z"],
    ["the day of a zone ahead", "day", "2026-11-28T23:30:00Z", "Europe/Berlin", "2026-11-29", "2026-11-28T23:00:00.000Z", "2026-11-29T23:00:00.000Z"],
    ["the day of a zone behind", "day", "2026-12-01T03:00:00Z", "America/New_York", "2026-11-30", "2026-11-30T05:00:00.000Z", "2026-12-01T05:00:00.000Z"],
    ["a month in a zone", "month", "2026-12-01T03:00:00Z", "America/New_York", "2026-11", "2026-11-01T04:00:00.000Z", "2026-12-01T05:00:00.000Z"],
    ["December", "month", "2026-12-31T23:59:59.999Z", "UTC", "2026-12", "2026-12-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"],
    ["February of a leap year", "month", "2028-02-29T12:00:00Z", "UTC", "2028-02", "2028-02-01T00:00:00.000Z", "2028-03-01T00:00:00.000Z"],
    ["a day of 23 hours", "day", "2026-03-29T12:00:00Z", "Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00.000Z", "2026-03-29T22:00:00.000Z"],
    ["a day of 25 hours", "day", "2026-10-25T12:00:00Z", "Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00.000Z", "2026-10-25T23:00:00.000Z"],
    ["a day whose midnight is skipped", "day", "2026-09-06T12:00:00Z", "America/Santiago", "2026-09-06", "2026-09-06T04:00:00.000Z", "2026-09-07T03:00:00.000Z"],
    ["a day whose midnight comes twice", "day", "2026-11-01T12:00:00Z", "America/Havana", "2026-11-01", "2026-11-01T04:00:00.000Z", "2026-11-02T05:00:00.000Z"],
    ["a zone of three quarters of an hour", "day", "2026-11-28T18:20:00Z", "Asia/Kathmandu", "2026-11-29", "2026-11-28T18:15:00.000Z", "2026-11-29T18:15:00.000Z"],
  ] as const)("%s", (_name, kind, instant, zone, id, starts, ends) => {
    const window = windowOf(kind, at(instant), zone);
    expect([window.id, ...span(window)]).toEqual([id, starts, ends]);
  });

  it("is the right one whichever was asked about before", () => {
    const [before, within, after] = ["2026-11-28T23:59:59.999Z", "2026-11-29T00:00:00.000Z", "2026-11-30T00:00:00.000Z"].map(at) as [number, number, number];
    expect([within, before, after, within].map((instant) => windowOf("day", instant, "UTC").id)).toEqual(["2026-11-29", "2026-11-28", "2026-11-30", "2026-11-29"]);
    expect([windowOf("month", within, "UTC").id, windowOf("day", within, "Asia/Kathmandu").id]).toEqual(["2026-11", "2026-11-29"]);
  });

  it("holds every instant in exactly one window, and the next one begins where it ends", () => {
    const zones = ["UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "America/Havana", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"];
    fc.assert(fc.property(fc.integer({ min: at("2020-01-01T00:00:00Z"), max: at("2034-12-31T00:00:00Z") }), fc.constantFrom(...zones), fc.constantFrom("day", "month"), (instant, zone, kind) => {
      const window = windowOf(kind, instant, zone);
      expect(window.startsAtMs).toBeLessThanOrEqual(instant);
      expect(window.endsAtMs).toBeGreaterThan(instant);
      const next = windowOf(kind, window.endsAtMs, zone);
      expect([next.startsAtMs, next.id > window.id]).toEqual([window.endsAtMs, true]);
      expect(windowOf(kind, window.endsAtMs - 1, zone)).toEqual(window);
    }), { numRuns: 300 });
  });
});
