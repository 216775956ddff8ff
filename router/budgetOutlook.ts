/** How budgets over several requests stand, summed up for metrics: no tenant is named. Pure. */
import { type BudgetedAccount, budgetedAccountsOf, budgetedGlobalAccountsOf, GLOBAL, type GlobalBudgets, leftIn, type Scope } from "#shared/ledger/accounts.ts";
import type { TenantSettings } from "#shared/contracts/tenant.ts";
import type { Counter } from "#shared/ledger/readCounters.ts";
import type { WindowKind } from "#shared/ledger/windows.ts";

/** `ends_early`: at the rate of its window so far it is used up before the window ends. */
export const OUTLOOKS = ["lasts", "ends_early", "used_up"] as const;
type Outlook = (typeof OUTLOOKS)[number];

/** Before this share of its window, or of its budget, has gone, a rate says nothing. */
const LEAST_ELAPSED_SHARE = 0.1;
const LEAST_SPENT_SHARE = 0.5;

export function outlookOf(account: Pick<BudgetedAccount, "limitNanoUsd" | "window">, balance: Pick<Counter, "spentNanoUsd" | "reservedNanoUsd">, nowMs: number): Outlook {
  const { limitNanoUsd, window: { startsAtMs, endsAtMs } } = account;
  if (leftIn(account, balance) === 0) return "used_up";
  const elapsedShare = Math.max(0, (nowMs - startsAtMs) / (endsAtMs - startsAtMs));
  const spentShare = (balance.spentNanoUsd + balance.reservedNanoUsd) / limitNanoUsd;
  const saysSomething = elapsedShare >= LEAST_ELAPSED_SHARE || spentShare >= LEAST_SPENT_SHARE;
  return saysSomething && spentShare > elapsedShare ? "ends_early" : "lasts";
}

export interface Standings {
  readonly scope: Scope;
  readonly window: WindowKind;
  readonly limitNanoUsd: number;
  readonly spentNanoUsd: number;
  readonly reservedNanoUsd: number;
  readonly leftNanoUsd: number;
  readonly accounts: Readonly<Record<Outlook, number>>;
}
export interface Known {
  readonly counters: readonly Counter[];
  readonly global: GlobalBudgets;
  /** By tenant; missing: not known. */
  readonly budgetsOf: ReadonlyMap<string, TenantSettings["budgets"]>;
  readonly nowMs: number;
}

/** Of each scope and window that has a budget which somebody has spent from in the window of now. */
export function standingsOf({ counters, global, budgetsOf, nowMs }: Known): Standings[] {
  const sums = new Map<string, Standings>();
  for (const counter of counters) {
    if (counter.isLoading) continue;
    const account = accountOf(counter, { global, budgetsOf, nowMs });
    if (account === undefined) continue;
    const key = `${account.scope} ${account.window.kind}`;
    const { limitNanoUsd, spentNanoUsd, reservedNanoUsd, leftNanoUsd, accounts } = sums.get(key) ?? NOTHING;
    const outlook = outlookOf(account, counter, nowMs);
    sums.set(key, {
      scope: account.scope, window: account.window.kind,
      limitNanoUsd: limitNanoUsd + account.limitNanoUsd, spentNanoUsd: spentNanoUsd + counter.spentNanoUsd, reservedNanoUsd: reservedNanoUsd + counter.reservedNanoUsd,
      leftNanoUsd: leftNanoUsd + leftIn(account, counter), accounts: { ...accounts, [outlook]: accounts[outlook] + 1 },
    });
  }
  return [...sums.values()];
}
const NOTHING = { limitNanoUsd: 0, spentNanoUsd: 0, reservedNanoUsd: 0, leftNanoUsd: 0, accounts: { lasts: 0, ends_early: 0, used_up: 0 } };

function accountOf({ scope, tenantId, owner, windowId, timeZone }: Counter, { global, budgetsOf, nowMs }: Omit<Known, "counters">): BudgetedAccount | undefined {
  const budgets = budgetsOf.get(tenantId);
  const spender = { tenant_id: tenantId, user_id: owner, key_id: owner };
  const accounts = tenantId === GLOBAL ? budgetedGlobalAccountsOf(global, nowMs) : budgets === undefined ? [] : budgetedAccountsOf(budgets, spender, nowMs);
  return accounts.find((one) => one.scope === scope && one.window.id === windowId && one.timeZone === timeZone);
}
