import { expect, it } from "vitest";

import { makeSeenIds } from "./seenIds.ts";

it("knows an id again, of each tenant for itself", () => {
  const seen = makeSeenIds(8);
  expect([seen.add("a", "1"), seen.add("a", "1"), seen.add("b", "1"), seen.add("a", "2"), seen.add("a", "2")]).toEqual([true, false, true, true, false]);
});

it("forgets the oldest, and never one of the last so many", () => {
  const most = 64;
  const seen = makeSeenIds(most);
  for (let i = 0; i < 10_000; i++) {
    expect(seen.add("t", String(i))).toBe(true);
    for (let back = 0; back < most; back += 7) expect(seen.add("t", String(Math.max(0, i - back)))).toBe(false);
  }
  expect(seen.add("t", "0")).toBe(true);
});

it("takes no two of a hundred thousand for one", () => {
  const seen = makeSeenIds();
  expect(Array.from({ length: 100_000 }, (_, i) => seen.add(`t${i % 7}`, `r-${i}`)).every(Boolean)).toBe(true);
});
