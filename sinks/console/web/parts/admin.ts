/** What the page can change, over the routes of /admin: each writes the admin audit. */
import type { ConsoleBudgets } from "#shared/contracts/console.ts";
import type { DeadLetter } from "#shared/contracts/events.ts";
import type { Tenant } from "#shared/contracts/tenant.ts";

import { windowKind } from "../pure/pace.ts";
import { type Answer, call } from "./api.ts";

type Budget = ConsoleBudgets["budgets"][number];

/** A group of settings is replaced as a whole, so the others of it are read first. */
export async function changeBudget({ tenant_id, scope, window }: Budget, usd: number): Promise<Answer<unknown>> {
  const path = `/admin/tenants/${encodeURIComponent(tenant_id)}`;
  const answer = await call<Tenant>(path);
  if (answer.kind === "problem") return answer;
  const { budgets } = answer.value.settings;
  const name = windowKind(window);
  const before = budgets[scope][name];
  if (before === undefined) return { kind: "problem", problem: { status: 404, code: "not_found", message: "this budget was taken away meanwhile" } };
  return call(path, { method: "PATCH", body: { settings: { budgets: { ...budgets, [scope]: { ...budgets[scope], [name]: { ...before, usd } } } } } });
}

/** An empty body in JSON, which no page of another origin may send. */
const post = (path: string, body: object = {}): Promise<Answer<unknown>> => call(path, { method: "POST", body });

export const resetBreaker = (tier: string): Promise<Answer<unknown>> => post(`/admin/tiers/${encodeURIComponent(tier)}/breaker/reset`);
export const activateModel = (version: string): Promise<Answer<unknown>> => post(`/admin/models/${encodeURIComponent(version)}/activate`);
export const rollBackModel = (): Promise<Answer<unknown>> => post("/admin/models/rollback");
export const deactivateModel = (): Promise<Answer<unknown>> => post("/admin/models/deactivate");
export const retryDeadLetter = (seq: number): Promise<Answer<unknown>> => post(`/admin/dead-letters/${seq}/retry`);
export const discardDeadLetter = (seq: number, note: string): Promise<Answer<unknown>> => post(`/admin/dead-letters/${seq}/discard`, note === "" ? {} : { note });

/** GET /admin/models */
export interface StoredModels {
  readonly active: { readonly version: string | null; readonly previous: readonly (string | null)[]; readonly activated_at: string } | null;
  readonly versions: readonly string[];
}
/** GET /admin/dead-letters */
export interface DeadLetters {
  readonly letters: readonly { readonly seq: number; readonly letter: Pick<DeadLetter, "stream" | "tenant_id" | "request_id" | "reason" | "message" | "deliveries" | "at_ms"> }[];
}
