import type { Budget, TenantSettings } from "#shared/contracts/tenant.ts";

type Budgets = TenantSettings["budgets"];
export type BudgetChange = { readonly scope: "tenant" | "user" | "key"; readonly window: "day" | "month"; readonly budget: Budget | null };

const FORM = /^(tenant|user|key)\.(day|month)=(?:(none)|(\d+(?:\.\d+)?)(?:,(soft|hard))?)$/;
/** `tenant.month=500`, `user.day=0.5,soft`, `key.day=none`; in USD. `null`: not of this form. */
export function readBudget(text: string): BudgetChange | null {
  const [, scope, window, none, usd, kind] = FORM.exec(text) ?? [];
  if (scope === undefined || window === undefined) return null;
  const of = { scope: scope as BudgetChange["scope"], window: window as BudgetChange["window"] }; // as the pattern says
  if (none !== undefined) return { ...of, budget: null };
  return Number(usd) <= 0 ? null : { ...of, budget: { usd: Number(usd), kind: kind === "soft" ? "soft" : "hard" } };
}

/** The budgets with each of the changes. */
export function budgetsWith(budgets: Budgets, changes: readonly BudgetChange[]): Budgets {
  return changes.reduce((all, { scope, window, budget }) => {
    const { [window]: _before, ...others } = all[scope];
    return { ...all, [scope]: budget === null ? others : { ...others, [window]: budget } };
  }, budgets);
}

const SCOPES = ["tenant", "user", "key"] as const;
/** One line for each budget that there is. */
export const budgetLines = (budgets: Budgets): string[] => SCOPES.flatMap((scope) => (["day", "month"] as const).flatMap((window) => {
  const budget = budgets[scope][window];
  return budget === undefined ? [] : [`${scope} ${window}: ${budget.usd} USD, ${budget.kind}`];
}));
