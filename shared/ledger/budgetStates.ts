/** How each budget stands, for whoever looks. Pure. */
import { nanoUsd, toUsd } from "#shared/contracts/money.ts";
import type { TenantSettings } from "#shared/contracts/tenant.ts";

import { type BudgetedAccount, budgetedAccountsOf, leftIn, type Scope } from "./accounts.ts";
import type { Counter } from "./readCounters.ts";

export interface BudgetState {
  readonly tenant_id: string;
  readonly scope: Scope;
  /** Id of the user or key, or the tenant's own. `null`: of each user or key, none of whom has spent from it yet. */
  readonly owner: string | null;
  /** `2026-11-28` or `2026-11`. */
  readonly window: string;
  readonly time_zone: string;
  readonly kind: "hard" | "soft";
  readonly limit_usd: number;
  /** `null`: not known to Redis, since nothing was asked in this window or Redis lost it; it is looked up with the next request. */
  readonly spent_usd: number | null;
  readonly reserved_usd: number | null;
  readonly left_usd: number | null;
  /** ISO 8601. */
  readonly begins_anew_at: string;
}

/** Of one tenant, in its windows of now: each budget of the tenant, and those of users and keys that are known or, where none is, one for all of them. */
export function budgetStatesOf(tenantId: string, budgets: TenantSettings["budgets"], counters: readonly Counter[], nowMs: number): BudgetState[] {
  const anybody = { tenant_id: tenantId, user_id: "", key_id: "" };
  return budgetedAccountsOf(budgets, anybody, nowMs).flatMap((account) => {
    const known = counters.filter((one) => one.tenantId === tenantId && one.scope === account.scope && one.windowId === account.window.id && one.timeZone === account.timeZone);
    if (known.length === 0) return [stateOf(account, account.scope === "tenant" ? tenantId : null, null)];
    return known.map((counter) => stateOf(account, counter.owner, counter)).sort((a, b) => (b.spent_usd ?? 0) - (a.spent_usd ?? 0));
  });
}

function stateOf({ scope, tenantId, window, timeZone, isHard, limitNanoUsd }: BudgetedAccount, owner: string | null, counter: Counter | null): BudgetState {
  const balance = counter === null || counter.isLoading ? null : counter;
  const usd = (nano: number): number => toUsd(nanoUsd(nano));
  return {
    tenant_id: tenantId, scope, owner, window: window.id, time_zone: timeZone, kind: isHard ? "hard" : "soft",
    limit_usd: usd(limitNanoUsd),
    spent_usd: balance === null ? null : usd(balance.spentNanoUsd),
    reserved_usd: balance === null ? null : usd(balance.reservedNanoUsd),
    left_usd: balance === null ? null : usd(leftIn({ limitNanoUsd }, balance)),
    begins_anew_at: new Date(window.endsAtMs).toISOString(),
  };
}
