import { openHome } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { TenantId } from "#shared/contracts/ids.ts";
import type { Tenant } from "#shared/contracts/tenant.ts";
import { type BudgetState, budgetStatesOf } from "#shared/ledger/budgetStates.ts";
import { readCounters } from "#shared/ledger/readCounters.ts";
import { noSuchTenant, type Rights } from "#shared/tenancy/database.ts";
import { listTenants, readTenant } from "#shared/tenancy/tenants.ts";

import { type Command, EXIT_UNAVAILABLE, wrongUse } from "../command.ts";
import { openRedis } from "../redis.ts";
import { serverUrl } from "../serverUrl.ts";
import { withTenancy } from "../tenancy.ts";
import { textTable } from "../textTable.ts";

export const budgets: Command = {
  summary: "How budgets over many requests stand: what is spent, reserved and left in the windows of now.",
  usage: "[--tenant <tenant>] [--json]",
  details: [
    "--tenant   of this tenant alone; default: of all that have budgets",
    "--json     { budgets, has_more }, amounts in USD; has_more: Redis has more accounts than were read",
    "Budgets of users and keys are shown for those who have spent. \"?\": Redis does not know it, since nothing was asked in this window or it was restarted; the next request has",
    "it looked up. Budgets are set with: inferctl tenants set <tenant> --budget tenant.month=500. docs/budgets.md says how they are kept.",
  ],
  example: "inferctl budgets --tenant acme",
  options: { tenant: { type: "string" }, json: { type: "boolean" } },
  maxPositionals: 0,
  run: async ({ values }, { environment, print }) => {
    const tenantId = typeof values["tenant"] === "string" ? values["tenant"] : undefined;
    if (tenantId !== undefined && !TenantId.safeParse(tenantId).success) throw wrongUse("budgets", "--tenant: is no id of a tenant");
    const home = openHome(environment);
    const tenants = await withTenancy(environment, (rights) => tenantsOf(rights, tenantId));
    const redis = await openRedis(serverUrl("redis", environment, home)).catch((error: unknown) => { throw unreachable(error); });
    try {
      const { counters, hasMore } = await readCounters(redis, { prefix: readSettings(environment, home).prefix, tenantId }).catch((error: unknown) => { throw unreachable(error); });
      const nowMs = Date.now();
      const states = tenants.flatMap(({ tenant_id, settings }) => budgetStatesOf(tenant_id, settings.budgets, counters, nowMs));
      print(values["json"] === true ? JSON.stringify({ budgets: states, has_more: hasMore }) : textOf(states, hasMore));
      return 0;
    } finally {
      redis.disconnect();
    }
  },
};

const PAGE = 500;
/** All, or the one. */
export async function tenantsOf(rights: Rights, tenantId: string | undefined): Promise<Tenant[]> {
  if (tenantId !== undefined) {
    const tenant = await readTenant(rights, tenantId);
    if (tenant === null) throw noSuchTenant(tenantId);
    return [tenant];
  }
  const all: Tenant[] = [];
  for (let page = await listTenants(rights, { limit: PAGE }); page.length > 0; page = await listTenants(rights, { limit: PAGE, after: page.at(-1)?.tenant_id })) all.push(...page);
  return all;
}

const amount = (usd: number | null): string => (usd === null ? "?" : usd.toFixed(6));
function textOf(states: readonly BudgetState[], hasMore: boolean): string {
  if (states.length === 0) return "no budgets: inferctl tenants set <tenant> --budget tenant.month=500";
  const rows = states.map(({ tenant_id, scope, owner, window, kind, limit_usd, spent_usd, reserved_usd, left_usd, begins_anew_at, time_zone }) =>
    [tenant_id, scope === "tenant" ? scope : `${scope} ${owner ?? "(each)"}`, window, kind, amount(limit_usd), amount(spent_usd), amount(reserved_usd), amount(left_usd), `${begins_anew_at.slice(0, 16)}Z (${time_zone})`]);
  return [textTable(["tenant", "of", "window", "kind", "USD", "spent", "reserved", "left", "begins anew"], rows), ...(hasMore ? ["There are more accounts than were read: ask with --tenant."] : [])].join("\n");
}

const unreachable = (cause: unknown) =>
  new SetupError(`cannot read the counters of budgets: ${cause instanceof AppError ? cause.message : cause instanceof Error ? cause.message : String(cause)}`, "Is Redis up? See: inferctl status", { exitCode: EXIT_UNAVAILABLE, cause });
