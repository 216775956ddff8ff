import { expect, it } from "vitest";

import { formatBucket, formatMs, formatShare, formatTime, plural } from "./format.ts";

it.each([[null, "–"], [0, "0 ms"], [4.25, "4.3 ms"], [312.4, "312 ms"], [999.6, "1.00 s"], [1_240, "1.24 s"], [12_340, "12.3 s"], [59_960, "1 min 0 s"], [125_000, "2 min 5 s"]])("%s ms is %s", (ms, words) => {
  expect(formatMs(ms)).toBe(words);
});

it.each([[null, "–"], [0, "0 %"], [0.0002, "< 0.1 %"], [0.123, "12.3 %"], [0.5, "50 %"], [0.9999, "> 99.9 %"], [1, "100 %"]])("the share %s is %s", (share, words) => {
  expect(formatShare(share)).toBe(words);
});

it("says times in the zone of whoever looks", () => {
  expect(formatTime("2026-11-29T23:30:05Z", "Europe/Berlin")).toBe("2026-11-30 00:30:05");
  expect(formatBucket("2026-11-29T15:30:10Z", 2, "UTC")).toBe("15:30:10");
  expect([formatBucket("2026-11-29T15:30:00Z", 1_800, "UTC"), formatBucket("2026-11-29T15:00:00Z", 7_200, "UTC"), formatBucket("2026-11-29T00:00:00Z", 86_400, "UTC")]).toEqual(["15:30", "11-29 15:00", "11-29"]);
});

it("counts one and many", () => expect([plural(1, "request"), plural(0, "request"), plural(1_957, "request")]).toEqual(["1 request", "0 requests", "1,957 requests"]));
