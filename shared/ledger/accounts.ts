/** Which budgets a request is spent from: an account for each scope and window that has a budget. Pure. */
import { type NanoUsd, nanoUsd, toUsd } from "#shared/contracts/money.ts";
import type { TenantSettings } from "#shared/contracts/tenant.ts";

import { type Window, WINDOW_KINDS, windowOf } from "./windows.ts";

export const SCOPES = ["tenant", "user", "key"] as const;
/** `global`: all tenants together. */
export type Scope = (typeof SCOPES)[number] | "global";

/** Who spends. */
export interface Spender {
  readonly tenant_id: string;
  /** `null`: it could not be read. */
  readonly user_id: string | null;
  /** `null`: no key was asked for, or it came over NATS. */
  readonly key_id: string | null;
}
/** What a scope spends in a window. `owner`: an id of the scope, in the tenant. Of the global one both are "". */
export interface Account {
  readonly scope: Scope;
  readonly tenantId: string;
  readonly owner: string;
  readonly window: Window;
  readonly timeZone: string;
}
export interface BudgetedAccount extends Account {
  readonly limitNanoUsd: NanoUsd;
  readonly isHard: boolean;
}

/** Every account that a request counts in, with a budget or without: a request belongs to the windows in which it was accepted (epoch milliseconds). */
export function accountsOf({ tenant_id, user_id, key_id }: Spender, timeZone: string, acceptedAtMs: number): Account[] {
  const owners = { tenant: tenant_id, user: user_id, key: key_id };
  const windows = WINDOW_KINDS.map((kind) => windowOf(kind, acceptedAtMs, timeZone));
  return SCOPES.flatMap((scope) => {
    const owner = owners[scope];
    return owner === null ? [] : windows.map((window) => ({ scope, tenantId: tenant_id, owner, window, timeZone }));
  });
}

/** Empty where the tenant has no budget. */
export function budgetedAccountsOf(budgets: TenantSettings["budgets"], spender: Spender, acceptedAtMs: number): BudgetedAccount[] {
  if (SCOPES.every((scope) => budgets[scope].day === undefined && budgets[scope].month === undefined)) return [];
  return accountsOf(spender, budgets.time_zone, acceptedAtMs).flatMap((account) => (account.scope === "global" ? [] : budgetedBy(budgets[account.scope], account)));
}

/** In place of a tenant and an owner; neither has such a name. */
export const GLOBAL = "";
/** What all tenants together may spend. */
export interface GlobalBudgets {
  readonly timeZone: string;
  readonly budgets: TenantSettings["budgets"]["tenant"];
}
export const globalAccountsOf = (timeZone: string, acceptedAtMs: number): Account[] =>
  WINDOW_KINDS.map((kind) => ({ scope: "global", tenantId: GLOBAL, owner: GLOBAL, window: windowOf(kind, acceptedAtMs, timeZone), timeZone }));

export const budgetedGlobalAccountsOf = ({ timeZone, budgets }: GlobalBudgets, acceptedAtMs: number): BudgetedAccount[] =>
  budgets.day === undefined && budgets.month === undefined ? [] : globalAccountsOf(timeZone, acceptedAtMs).flatMap((account) => budgetedBy(budgets, account));

const budgetedBy = (budgets: TenantSettings["budgets"]["tenant"], account: Account): BudgetedAccount[] => {
  const budget = budgets[account.window.kind];
  return budget === undefined ? [] : [{ ...account, limitNanoUsd: nanoUsd(Math.round(budget.usd * 1e9)), isHard: budget.kind === "hard" }];
};

/** What stands in an account. */
export interface Balance {
  readonly spentNanoUsd: number;
  /** For requests that have not ended: what they have spent and may yet. */
  readonly reservedNanoUsd: number;
}
/** Never below 0: a soft budget may be overdrawn. */
export const leftIn = ({ limitNanoUsd }: Pick<BudgetedAccount, "limitNanoUsd">, { spentNanoUsd, reservedNanoUsd }: Balance): NanoUsd => nanoUsd(Math.max(0, limitNanoUsd - spentNanoUsd - reservedNanoUsd));

const OWNERS: Readonly<Record<Exclude<Scope, "global">, (owner: string) => string>> = { tenant: (id) => `tenant ${id}`, user: (id) => `user ${JSON.stringify(id)}`, key: (id) => `key ${id}` };
const ofWindow = ({ kind, id }: Window) => `${kind} ${id}`;

/** Which limit, whose, how much is left and when there is more: for whoever is refused. `isHeld`: it would fit if others, who are under way, had ended. */
export function refusalOf(account: BudgetedAccount, balance: Balance, isHeld: boolean): string {
  const { scope, owner, window, limitNanoUsd, timeZone } = account;
  const anew = isHeld ? "what requests under way do not use of it is free when they end" : `it begins anew at ${new Date(window.endsAtMs).toISOString()}`;
  if (scope === "global") return `what is left of the budget of the whole service for ${ofWindow(window)} (${timeZone}) does not pay for any tier that may be tried; ${anew}`; // its figures are no tenant's business
  const parts = `${toUsd(nanoUsd(balance.spentNanoUsd))} are spent and ${toUsd(nanoUsd(balance.reservedNanoUsd))} reserved`;
  return `the budget of ${OWNERS[scope](owner)} for ${ofWindow(window)} (${timeZone}) is ${toUsd(limitNanoUsd)} USD: ${parts}, so ${toUsd(leftIn(account, balance))} are left, and no tier that may be tried is sure to cost less; ${anew}`;
}
