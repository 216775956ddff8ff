/** What the page can change, over the routes of /admin: each writes the admin audit. */
import type { ConsoleBudgets } from "#shared/contracts/console.ts";
import type { Tenant } from "#shared/contracts/tenant.ts";

import { type Answer, call } from "./api.ts";

type Budget = ConsoleBudgets["budgets"][number];

/** A group of settings is replaced as a whole, so the others of it are read first. */
export async function changeBudget({ tenant_id, scope, window }: Budget, usd: number): Promise<Answer<unknown>> {
  const path = `/admin/tenants/${encodeURIComponent(tenant_id)}`;
  const answer = await call<Tenant>(path);
  if (answer.kind === "problem") return answer;
  const { budgets } = answer.value.settings;
  const name = window === "month" ? "month" : "day";
  const before = budgets[scope][name];
  if (before === undefined) return { kind: "problem", problem: { status: 404, code: "not_found", message: "this budget was taken away meanwhile" } };
  return call(path, { method: "PATCH", body: { settings: { budgets: { ...budgets, [scope]: { ...budgets[scope], [name]: { ...before, usd } } } } } });
}
