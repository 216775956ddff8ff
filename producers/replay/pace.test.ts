import { expect, it } from "vitest";

import { makeSchedule, type Pace, speedOf } from "./pace.ts";

const ACCEPTED = [10_000, 10_500, 10_200, 14_000];
it.each<[string, Pace, number[]]>([
  ["as recorded", { kind: "original", speed: 1 }, [0, 500, 200, 4_000]],
  ["twice as fast", { kind: "original", speed: 2 }, [0, 250, 100, 2_000]],
  ["at a rate", { kind: "rate", perS: 4 }, [0, 250, 500, 750]],
  ["at once", { kind: "max" }, [0, 0, 0, 0]],
])("%s", (_what, pace, expected) => {
  expect(ACCEPTED.map(makeSchedule(pace))).toEqual(expected);
});

it("takes a clock that went backwards as due at once", () => {
  const due = makeSchedule({ kind: "original", speed: 1 });
  expect([10_000, 9_000, 11_000].map((at) => due(at))).toEqual([0, 0, 1_000]);
});

it.each([["2x", 2], ["0.5x", 0.5], ["10", 10], ["0", null], ["x", null], ["-1x", null], ["fast", null]])("reads the speed %s", (text, expected) => {
  expect(speedOf(text)).toBe(expected);
});
