import { describe, expect, it } from "vitest";

import { DEFAULT_SETTINGS } from "#shared/contracts/tenant.ts";

import { budgetLines, budgetsWith, pacedWith, readBudget, readPacing } from "./budgetText.ts";

describe("pacing as text", () => {
  it.each([
    ["tenant.month", { window: "month", pacing: "above_floor" }], ["tenant.day=above-floor", { window: "day", pacing: "above_floor" }],
    ["tenant.month=below-floor", { window: "month", pacing: "below_floor" }], ["tenant.month=off", { window: "month", pacing: null }],
    ["user.month", null], ["tenant.week", null], ["tenant.month=on", null], ["tenant.month=", null],
  ])("%s", (text, change) => { expect(readPacing(text)).toEqual(change); });

  it("changes a budget that there is, stays when its amount changes, and goes with it", () => {
    const [made, raised, gone] = ["tenant.month=500", "tenant.month=600", "tenant.month=none"].map((text) => [readBudget(text)].filter((one) => one !== null)) as [never[], never[], never[]];
    const budgets = budgetsWith(DEFAULT_SETTINGS.budgets, made);
    expect(pacedWith(budgets, { window: "day", pacing: "above_floor" })).toBeNull();
    const paced = pacedWith(budgets, { window: "month", pacing: "below_floor" }) ?? budgets;
    expect(budgetLines(budgetsWith(paced, raised))).toEqual(["tenant month: 600 USD, hard, paced, also below the quality floor"]);
    expect(budgetLines(pacedWith(paced, { window: "month", pacing: null }) ?? paced)).toEqual(budgetLines(budgets));
    expect(budgetsWith(paced, gone)).toEqual(DEFAULT_SETTINGS.budgets);
  });
});

describe("a budget as text", () => {
  it.each([
    ["tenant.month=500", { scope: "tenant", window: "month", budget: { usd: 500, kind: "hard" } }],
    ["user.day=0.25,soft", { scope: "user", window: "day", budget: { usd: 0.25, kind: "soft" } }],
    ["key.day=none", { scope: "key", window: "day", budget: null }],
    ["tenant.week=5", null], ["tenant.day=0", null], ["tenant.day=-1", null], ["tenant.day=5,firm", null], ["tenant.day", null],
  ])("%s", (text, change) => { expect(readBudget(text)).toEqual(change); });

  it("changes what it names and nothing else", () => {
    const changes = ["tenant.month=500", "tenant.day=20,soft", "user.day=1", "user.day=none"].map(readBudget).filter((one) => one !== null);
    const budgets = budgetsWith(DEFAULT_SETTINGS.budgets, changes);
    expect(budgetLines(budgets)).toEqual(["tenant day: 20 USD, soft", "tenant month: 500 USD, hard"]);
  });
});
