import { describe, expect, it } from "vitest";

import { DEFAULT_SETTINGS } from "#shared/contracts/tenant.ts";

import { budgetLines, budgetsWith, readBudget } from "./budgetText.ts";

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
