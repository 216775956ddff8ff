import { expect, it } from "vitest";

import { TenantSettings } from "#shared/contracts/tenant.ts";

import { budgetStatesOf } from "./budgetStates.ts";
import type { Counter } from "./readCounters.ts";

const NOW_MS = Date.parse("2026-11-28T12:00:00Z");
const { budgets } = TenantSettings.parse({ budgets: { time_zone: "Asia/Tokyo", tenant: { month: { usd: 500 } }, user: { day: { usd: 2, kind: "soft" } } } });
const counter = (over: Partial<Counter>): Counter => ({ key: "k", scope: "tenant", windowId: "2026-11", timeZone: "Asia/Tokyo", tenantId: "acme", owner: "acme", spentNanoUsd: 0, reservedNanoUsd: 0, isLoading: false, ...over });

it("says of each budget what is spent, reserved and left, and when it begins anew", () => {
  const counters = [
    counter({ spentNanoUsd: 120e9, reservedNanoUsd: 1e9 }),
    counter({ scope: "user", windowId: "2026-11-28", owner: "u:1", spentNanoUsd: 1e9 }),
    counter({ scope: "user", windowId: "2026-11-28", owner: "u2", spentNanoUsd: 3e9 }),
    counter({ scope: "user", windowId: "2026-11-27", owner: "yesterday", spentNanoUsd: 1 }),
    counter({ timeZone: "UTC", spentNanoUsd: 7 }), // another zone's, before it was changed
    counter({ tenantId: "other", owner: "other", spentNanoUsd: 7 }),
  ];
  const month = { tenant_id: "acme", scope: "tenant", owner: "acme", window: "2026-11", time_zone: "Asia/Tokyo", kind: "hard", limit_usd: 500, spent_usd: 120, reserved_usd: 1, left_usd: 379, begins_anew_at: "2026-11-30T15:00:00.000Z" };
  const day = { tenant_id: "acme", scope: "user", window: "2026-11-28", time_zone: "Asia/Tokyo", kind: "soft", limit_usd: 2, reserved_usd: 0, begins_anew_at: "2026-11-28T15:00:00.000Z" };
  expect(budgetStatesOf("acme", budgets, counters, NOW_MS)).toEqual([month, { ...day, owner: "u2", spent_usd: 3, left_usd: 0 }, { ...day, owner: "u:1", spent_usd: 1, left_usd: 1 }]);
});

it("does not say 0 of what is not known", () => {
  const unknown = { spent_usd: null, reserved_usd: null, left_usd: null };
  expect(budgetStatesOf("acme", budgets, [], NOW_MS)).toMatchObject([{ scope: "tenant", owner: "acme", ...unknown }, { scope: "user", owner: null, ...unknown }]);
  expect(budgetStatesOf("acme", budgets, [counter({ spentNanoUsd: 5, isLoading: true })], NOW_MS)[0]).toMatchObject(unknown);
  expect(budgetStatesOf("acme", TenantSettings.parse({}).budgets, [counter({})], NOW_MS)).toEqual([]);
});
