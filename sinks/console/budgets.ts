/** How budgets stand, of one tenant or of all: settings from Postgres, what is spent from Redis, what pacing asks from the tenant's latest request. */
import type { Redis } from "ioredis";
import type { Pool } from "pg";

import type { ConsoleBudgets } from "#shared/contracts/console.ts";
import type { Tenant } from "#shared/contracts/tenant.ts";
import { budgetStatesOf } from "#shared/ledger/budgetStates.ts";
import { readCounters } from "#shared/ledger/readCounters.ts";
import { windowOf } from "#shared/ledger/windows.ts";
import { type Rights, withRights } from "#shared/tenancy/database.ts";
import { listTenants, readTenant } from "#shared/tenancy/tenants.ts";

interface Deps {
  readonly pool: Pool;
  readonly redis: Redis;
  readonly prefix: string;
}
/** Of a page. */
const MOST_TENANTS = 1_000;

export async function readBudgets({ pool, redis, prefix }: Deps, tenantId: string | null, nowMs: number): Promise<ConsoleBudgets> {
  const rights: Rights = { pool, tenantId, isViewer: true };
  const tenants = (await tenantsOf(rights)).filter(({ tenant_id, settings }) => budgetStatesOf(tenant_id, settings.budgets, [], nowMs).length > 0);
  if (tenants.length === 0) return { budgets: [] };
  const { counters } = await readCounters(redis, { prefix, ...(tenantId === null ? {} : { tenantId }) });
  const paces = await readPaces(rights, tenants.map(({ tenant_id }) => tenant_id));
  return {
    budgets: tenants.flatMap(({ tenant_id, settings }) => budgetStatesOf(tenant_id, settings.budgets, counters, nowMs).flatMap(({ scope, ...state }) => {
      if (scope === "global") return []; // no tenant's
      const kind = state.window.length === 7 ? "month" : "day";
      const { startsAtMs, endsAtMs } = windowOf(kind, nowMs, state.time_zone);
      const pace = scope === "tenant" ? paces.get(tenant_id) : undefined;
      const isPaced = pace?.window === kind && pace.atMs >= startsAtMs;
      return [{ ...state, scope, elapsed: (nowMs - startsAtMs) / (endsAtMs - startsAtMs), lambda_per_usd: isPaced ? pace.lambdaPerUsd : null }];
    })),
  };
}

async function tenantsOf(rights: Rights): Promise<Tenant[]> {
  if (rights.tenantId === null) return listTenants(rights, { limit: MOST_TENANTS });
  const own = await readTenant(rights, rights.tenantId);
  return own === null ? [] : [own];
}

interface Pace {
  readonly window: string;
  readonly lambdaPerUsd: number;
  readonly atMs: number;
}
/** By tenant: of the latest request, if its decision was paced. */
async function readPaces(rights: Rights, tenantIds: readonly string[]): Promise<ReadonlyMap<string, Pace>> {
  const { rows } = await withRights(rights, (client) => client.query<{ tenant_id: string; pace: { window: string; lambda_per_usd: number } | null; accepted_at: Date }>(
    `SELECT one.tenant_id, latest.pace, latest.accepted_at FROM unnest($1::text[]) AS one(tenant_id) CROSS JOIN LATERAL (
       SELECT decisions #> '{0,facts,pacing}' AS pace, accepted_at FROM requests r WHERE r.tenant_id = one.tenant_id ORDER BY completed_at DESC LIMIT 1) AS latest`, [tenantIds]));
  return new Map(rows.flatMap(({ tenant_id, pace, accepted_at }) => (pace === null ? [] : [[tenant_id, { window: pace.window, lambdaPerUsd: pace.lambda_per_usd, atMs: accepted_at.getTime() }] as const])));
}
