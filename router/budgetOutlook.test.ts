import { describe, expect, it } from "vitest";

import { nanoUsd } from "#shared/contracts/money.ts";
import { DEFAULT_SETTINGS } from "#shared/contracts/tenant.ts";
import type { Counter } from "#shared/ledger/readCounters.ts";
import { windowOf } from "#shared/ledger/windows.ts";

import { outlookOf, standingsOf } from "./budgetOutlook.ts";

const NOON = Date.parse("2026-11-28T12:00:00Z");
const DAY = { limitNanoUsd: nanoUsd(1_000), window: windowOf("day", NOON, "UTC") };
const at = (hour: number) => Date.parse("2026-11-28T00:00:00Z") + hour * 3_600_000;

describe("a budget of a day", () => {
  it.each([
    ["half at noon", 12, 500, 0, "lasts"],
    ["more than half at noon", 12, 501, 0, "ends_early"],
    ["what is reserved counts", 12, 400, 101, "ends_early"],
    ["a burst in the first two hours says nothing", 2, 400, 0, "lasts"],
    ["unless it took half of it", 2, 500, 0, "ends_early"],
    ["nothing left", 12, 900, 100, "used_up"],
    ["overdrawn", 12, 1_500, 0, "used_up"],
  ] as const)("%s", (_what, hour, spentNanoUsd, reservedNanoUsd, outlook) => {
    expect(outlookOf(DAY, { spentNanoUsd, reservedNanoUsd }, at(hour))).toBe(outlook);
  });
});

describe("over all accounts", () => {
  const counter = (over: Partial<Counter>): Counter => ({ key: "", scope: "tenant", windowId: "2026-11-28", timeZone: "UTC", tenantId: "t1", owner: "t1", spentNanoUsd: 100, reservedNanoUsd: 10, isLoading: false, ...over });
  const budgets = { ...DEFAULT_SETTINGS.budgets, time_zone: "UTC", tenant: { day: { usd: 1e-6, kind: "hard" as const } } };
  const known = { global: { timeZone: "UTC", budgets: { month: { usd: 1e-3, kind: "hard" as const } } }, budgetsOf: new Map([["t1", budgets], ["t2", budgets]]), nowMs: NOON };

  it("sums by scope and window what has a budget, in the windows of now alone", () => {
    const standings = standingsOf({ ...known, counters: [
      counter({}), counter({ tenantId: "t2", owner: "t2", spentNanoUsd: 1_000 }), counter({ scope: "global", tenantId: "", owner: "", windowId: "2026-11", spentNanoUsd: 1_100 }),
      counter({ windowId: "2026-11-27" }), counter({ windowId: "2026-11" }), counter({ scope: "user", owner: "u" }), counter({ timeZone: "Europe/Berlin" }), counter({ isLoading: true }), counter({ tenantId: "t3", owner: "t3" }),
    ] });
    expect(standings).toEqual([
      { scope: "tenant", window: "day", limitNanoUsd: 2_000, spentNanoUsd: 1_100, reservedNanoUsd: 20, leftNanoUsd: 890, accounts: { lasts: 1, ends_early: 0, used_up: 1 } },
      { scope: "global", window: "month", limitNanoUsd: 1_000_000, spentNanoUsd: 1_100, reservedNanoUsd: 10, leftNanoUsd: 998_890, accounts: { lasts: 1, ends_early: 0, used_up: 0 } },
    ]);
  });
});
