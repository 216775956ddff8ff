import { expect, it } from "vitest";

import { makeAllowance } from "./allowance.ts";

it("lets a burst through, then one for each period, and says how many it withheld", () => {
  const { take } = makeAllowance({ burst: 2, refillMs: 100 });
  expect([take(1_000), take(1_000), take(1_000), take(1_099)]).toEqual([0, 0, null, null]);
  expect([take(1_100), take(1_150), take(1_200)]).toEqual([2, null, 1]);
});

it("saves up no more than a burst", () => {
  const { take } = makeAllowance({ burst: 2, refillMs: 100 });
  expect([take(100), take(0), take(0)]).toEqual([0, 0, null]); // a clock that was set back takes nothing away
  expect([take(90_000), take(90_000), take(90_000), take(90_000)]).toEqual([1, 0, null, null]);
});

it("takes as much as is asked for, or nothing", () => {
  const { take } = makeAllowance({ burst: 10, refillMs: 100 });
  expect([take(0, 7), take(0, 4), take(0, 3), take(100, 2), take(200, 2), take(0, 11)]).toEqual([0, null, 1, null, 1, null]);
});
