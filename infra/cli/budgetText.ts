import type { Budget, Pacing, TenantSettings } from "#shared/contracts/tenant.ts";

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

/** The budgets with each of the changes; one that is paced stays so. */
export function budgetsWith(budgets: Budgets, changes: readonly BudgetChange[]): Budgets {
  return changes.reduce((all, { scope, window, budget }) => {
    const { [window]: before, ...others } = all[scope];
    const pacing = before !== undefined && "pacing" in before ? { pacing: before.pacing } : {};
    return { ...all, [scope]: budget === null ? others : { ...others, [window]: { ...budget, ...pacing } } };
  }, budgets);
}

export type PacingChange = { readonly window: "day" | "month"; readonly pacing: Pacing | null };
const PACING_FORM = /^tenant\.(day|month)(?:=(off|above-floor|below-floor))?$/;
/** `tenant.month`, `tenant.month=below-floor`, `tenant.day=off`. `null`: not of this form. */
export function readPacing(text: string): PacingChange | null {
  const [, window, how] = PACING_FORM.exec(text) ?? [];
  if (window === undefined) return null;
  return { window: window as PacingChange["window"], pacing: how === "off" ? null : how === "below-floor" ? "below_floor" : "above_floor" }; // as the pattern says
}

/** `null`: there is no such budget that could be paced. */
export function pacedWith(budgets: Budgets, { window, pacing }: PacingChange): Budgets | null {
  const { [window]: budget } = budgets.tenant;
  if (budget === undefined) return null;
  const { pacing: _before, ...unpaced } = budget;
  return { ...budgets, tenant: { ...budgets.tenant, [window]: pacing === null ? unpaced : { ...unpaced, pacing } } };
}

const SCOPES = ["tenant", "user", "key"] as const;
const PACED: Readonly<Record<Pacing, string>> = { above_floor: ", paced", below_floor: ", paced, also below the quality floor" };
/** One line for each budget that there is. */
export const budgetLines = (budgets: Budgets): string[] => SCOPES.flatMap((scope) => (["day", "month"] as const).flatMap((window) => {
  const budget = budgets[scope][window];
  return budget === undefined ? [] : [`${scope} ${window}: ${budget.usd} USD, ${budget.kind}${"pacing" in budget && budget.pacing !== undefined ? PACED[budget.pacing] : ""}`];
}));
