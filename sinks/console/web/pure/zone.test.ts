import { expect, it } from "vitest";

import { instantOfLocal, isZone, localOf, startOfDay, startOfMonth } from "./zone.ts";

it.each([
  ["2026-11-29T15:00:00Z", "UTC", "2026-11-29T00:00:00.000Z"],
  ["2026-11-29T23:30:00Z", "Europe/Berlin", "2026-11-29T23:00:00.000Z"],
  ["2026-03-29T12:00:00Z", "Europe/Berlin", "2026-03-28T23:00:00.000Z"], // clocks go forward at 01:00 UTC
  ["2026-10-25T12:00:00Z", "Europe/Berlin", "2026-10-24T22:00:00.000Z"], // and back
  ["2026-06-01T03:00:00Z", "America/Los_Angeles", "2026-05-31T07:00:00.000Z"],
  ["2026-06-01T03:00:00Z", "Asia/Kathmandu", "2026-05-31T18:15:00.000Z"],
])("the day of %s begins in %s at %s", (at, zone, start) => {
  expect(startOfDay(at, zone).toISOString()).toBe(start);
});

it("knows where a month begins, across a change of clocks", () => {
  expect(startOfMonth("2026-11-29T15:00:00Z", "America/New_York").toISOString()).toBe("2026-11-01T04:00:00.000Z"); // summer time ends on that day, after midnight
});

it("reads what a field of local time holds, and shows it again", () => {
  const at = instantOfLocal("2026-07-01T09:30", "Europe/Berlin")?.toISOString() ?? "";
  expect([at, localOf(at, "Europe/Berlin")]).toEqual(["2026-07-01T07:30:00.000Z", "2026-07-01T09:30"]);
  expect(instantOfLocal("", "UTC")).toBeNull();
});

it("tells zones from other words", () => expect([isZone("Europe/Berlin"), isZone("UTC"), isZone("Middle/Earth")]).toEqual([true, true, false]));
