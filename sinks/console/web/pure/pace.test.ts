import { expect, it } from "vitest";

import { paceOf, windowKind } from "./pace.ts";

it.each([
  [{ spent_usd: null, limit_usd: 10, elapsed: 0.5 }, "", "not known while Redis is away"],
  [{ spent_usd: 2, limit_usd: 10, elapsed: 0.5 }, "good", "20 % spent, 50 % of the time passed"],
  [{ spent_usd: 8, limit_usd: 10, elapsed: 0.5 }, "warn", "80 % spent, 50 % of the time passed: at this pace it ends early"],
  [{ spent_usd: 1, limit_usd: 10, elapsed: 0.01 }, "good", "10 % spent, 1 % of the time passed"],
  [{ spent_usd: 10.2, limit_usd: 10, elapsed: 0.5 }, "bad", "used up, 50 % of the time passed"],
])("%j is %s", (spending, tone, words) => {
  expect(paceOf(spending)).toMatchObject({ tone, words });
});

it("tells a day's window from a month's", () => expect(["2026-11-29", "2026-11"].map(windowKind)).toEqual(["day", "month"]));
