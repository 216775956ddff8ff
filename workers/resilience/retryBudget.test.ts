import { expect, it } from "vitest";

import { makeRetryBudget, mayRetry } from "./retryBudget.ts";

it.each([[1, 0, true], [1, 2, true], [1, 3, false], [19, 3, false], [20, 3, true], [100, 19, true], [100, 20, false]])("of %i calls, with %i retries: %s", (active, retrying, expected) => {
  expect(mayRetry({ active, retrying })).toBe(expected);
});

it("gives back what ended, and tells of those that were not made", () => {
  const told: boolean[] = [];
  const budget = makeRetryBudget((isMade) => { told.push(isMade); });
  const end = budget.begin();
  const retries = [1, 2, 3, 4].map(() => budget.take());
  expect([retries.map((one) => one !== null), budget.state()]).toEqual([[true, true, true, false], { active: 1, retrying: 3 }]);
  retries[0]?.();
  end();
  expect([budget.state(), budget.take() !== null, told]).toEqual([{ active: 0, retrying: 2 }, true, [true, true, true, false, true]]);
});
