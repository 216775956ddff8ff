import { expect, it } from "vitest";

import { startOf } from "./sweeper.ts";

const NOW = 100_000_000;
it.each([
  ["all that REQUESTS holds when nobody swept before", null, 300_000, NOW - 3_600_000],
  ["the longest deadline ago, with slack, after a sweep just now", NOW - 1_000, 300_000, NOW - 300_000 - 60_000],
  ["the last finished sweep, with slack, when that was longer ago", NOW - 2_000_000, 300_000, NOW - 2_000_000 - 60_000],
  ["the longest deadline ago when the mark is of a clock that runs ahead", NOW + 5_000, 300_000, NOW - 300_000 - 60_000],
])("starts with %s", (_name, mark, maxDeadlineMs, from) => {
  expect(startOf(mark, NOW, maxDeadlineMs)).toBe(from);
});
