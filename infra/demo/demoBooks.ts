/** What the books and the audit say of a demo's own requests: what is there already, and what each was paid. */
import type { PoolClient } from "pg";

import { type Rights, withRights } from "#shared/tenancy/database.ts";

import { DEMO_TENANTS, type DemoTenant } from "./demoTenants.ts";

/** Amounts in nano-dollars. */
export interface BookedRequest {
  readonly tenant_id: DemoTenant;
  readonly request_id: string;
  readonly outcome: "completed" | "degraded" | "failed" | "rejected";
  readonly is_cached: boolean;
  /** What the baseline tier would have cost; 0 where there is no answer, or it is not known. */
  readonly baseline: number;
  /** What its tenant pays for. */
  readonly spend: number;
  /** Shadows, audits of the cache and waste: paid for it, and charged to nobody. */
  readonly own: number;
  readonly shadows: number;
}

/** The highest run of this name and seed that anything was asked of, and how much; `null` when nothing was. */
export const latestRun = (rights: Rights, { name, seed }: { readonly name: string; readonly seed: number }): Promise<{ readonly run: number; readonly requests: number } | null> =>
  withRights(rights, async (client) => {
    const { rows: [latest] } = await client.query<{ run: number; requests: number }>(
      `SELECT run, count(*)::int AS requests FROM (SELECT DISTINCT request_id, (substring(request_id FROM $2))::int AS run FROM ledger_requests WHERE tenant_id = ANY($1)) AS one
       WHERE run IS NOT NULL GROUP BY run ORDER BY run DESC LIMIT 1`,
      [DEMO_TENANTS, `^demo-${name}-${seed}-([0-9]{1,6})-[0-9]+$`]);
    return latest ?? null;
  });

/** Ids of those that the audit has feedback of. */
export const judgedAmong = (rights: Rights, ids: readonly string[]): Promise<ReadonlySet<string>> =>
  withRights(rights, async (client) => idsIn(client, "SELECT request_id FROM feedback WHERE tenant_id = ANY($1) AND request_id = ANY($2) AND source = 'user'", ids));

/** How many of them are in the books. */
export const countBooked = (rights: Rights, ids: readonly string[]): Promise<number> =>
  withRights(rights, async (client) => (await idsIn(client, "SELECT request_id FROM ledger_requests WHERE tenant_id = ANY($1) AND request_id = ANY($2)", ids)).size);

const idsIn = async (client: PoolClient, sql: string, ids: readonly string[]): Promise<Set<string>> =>
  new Set((await client.query<{ request_id: string }>(sql, [DEMO_TENANTS, ids])).rows.map(({ request_id }) => request_id));

const OWN = "('shadow', 'cache_audit', 'waste')";
const BOOKED = `
  SELECT q.tenant_id, q.request_id, q.outcome, q.cache IS NOT NULL AS is_cached,
    CASE WHEN q.outcome IN ('completed', 'degraded') THEN COALESCE(q.baseline_cost_nano_usd, 0) ELSE 0 END::float8 AS baseline,
    COALESCE(sum(l.cost_nano_usd) FILTER (WHERE l.kind NOT IN ${OWN}), 0)::float8 AS spend,
    COALESCE(sum(l.cost_nano_usd) FILTER (WHERE l.kind IN ${OWN}), 0)::float8 AS own,
    (count(*) FILTER (WHERE l.kind = 'shadow'))::int AS shadows
  FROM ledger_requests q LEFT JOIN ledger l ON l.request_id = q.request_id AND l.tenant_id = q.tenant_id
  WHERE q.tenant_id = ANY($1) AND q.request_id = ANY($2)
  GROUP BY q.tenant_id, q.request_id, q.at, q.outcome, q.cache, q.baseline_cost_nano_usd`;

export const readBooked = (rights: Rights, ids: readonly string[]): Promise<BookedRequest[]> =>
  withRights(rights, async (client) => (await client.query<BookedRequest>(BOOKED, [DEMO_TENANTS, ids])).rows);
