import { expect, it } from "vitest";

import { cacheControlOf, readCacheControl } from "./cacheControl.ts";

const NOTHING = { noCache: false, noStore: false, exactOnly: false, maxAgeS: null, onlyIfCached: false };
it.each([
  [undefined, {}],
  ["", {}],
  ["no-cache", { noCache: true }],
  ["No-Store , MAX-AGE=60", { noStore: true, maxAgeS: 60 }],
  ["max-age=60, max-age=5", { maxAgeS: 5 }],
  ['max-age="7"', { maxAgeS: 7 }],
  ["max-age=0", { maxAgeS: 0 }],
  ["max-age", { maxAgeS: 0 }],
  ["max-age=soon", { maxAgeS: 0 }],
  ["max-age=-1", { maxAgeS: 0 }],
  ["max-age=99999999999999999999", { maxAgeS: 2 ** 31 }],
  ["only-if-cached", { onlyIfCached: true }],
  ["exact-only, max-age=9", { exactOnly: true, maxAgeS: 9 }],
  ["max-stale=5, min-fresh=1, no-transform, private", {}],
  ['x="no-store, no-cache"', {}],
  ["no-storefront", {}],
  [",,;no-cache", { noCache: true }],
])("of %j counts %j", (text, expected) => {
  expect(readCacheControl(text)).toEqual({ ...NOTHING, ...expected });
});

it.each([
  [[undefined, undefined], undefined],
  [["max-stale", "private"], undefined],
  [["max-age=5", "no-cache"], "no-cache, max-age=5"],
  [["exact-only", "max-age=5"], "exact-only, max-age=5"],
  [["max-age=5", "max-age=3, only-if-cached"], "max-age=3, only-if-cached"],
])("header and body together, %j, are %j", (texts, expected) => {
  expect(cacheControlOf(...texts)).toBe(expected);
});
