/**
 * Which sender sends what, in Postgres. Whoever claims a delivery has it for a lease, and adds a try; what came of it is noted only
 * while it has that try's number. A sender that dies leaves a lease that ends, and the delivery is sent again under the same id.
 */
import type { Pool } from "pg";

import { inTransaction } from "#shared/db/transaction.ts";
import { changeStatus } from "#shared/webhooks/endpoints.ts";

import type { Next, Tried } from "./afterTry.ts";

export interface Claimed {
  readonly webhook_id: string;
  readonly tenant_id: string;
  readonly endpoint_id: string;
  readonly payload: string;
  /** This one included. */
  readonly tries: number;
  readonly url: string;
  readonly endpoint_status: "active" | "disabled" | "removed";
  readonly secret_sealed: string;
  /** While they rotate. */
  readonly former_sealed: string | null;
}

export interface Wanted {
  readonly limit: number;
  readonly mostPerEndpoint: number;
  readonly mostPerTenant: number;
  /** What this sender sends at the moment. */
  readonly underWay: readonly Pick<Claimed, "tenant_id" | "endpoint_id">[];
  readonly leaseMs: number;
}

/**
 * So many of each endpoint and tenant as they may still have, so that one with a long queue leaves room for the others. Endpoints that
 * nothing waits for are not looked at: from one with something pending the index leads to the next.
 */
const CLAIM = `
  WITH RECURSIVE under_way AS (SELECT * FROM unnest($1::text[], $2::text[]) AS one(tenant_id, endpoint_id)),
  pending(endpoint_id) AS (
    SELECT min(endpoint_id) FROM webhook_deliveries WHERE status = 'pending'
    UNION ALL
    SELECT (SELECT min(endpoint_id) FROM webhook_deliveries AS delivery WHERE delivery.status = 'pending' AND delivery.endpoint_id > pending.endpoint_id) FROM pending WHERE endpoint_id IS NOT NULL),
  candidates AS MATERIALIZED (
    SELECT first.* FROM pending CROSS JOIN LATERAL (
      SELECT webhook_id, tenant_id, next_at FROM webhook_deliveries AS delivery
      WHERE delivery.endpoint_id = pending.endpoint_id AND delivery.status = 'pending' AND next_at <= now()
      ORDER BY next_at LIMIT greatest(0, $3 - (SELECT count(*) FROM under_way WHERE under_way.endpoint_id = pending.endpoint_id)) FOR UPDATE SKIP LOCKED) AS first),
  ranked AS (SELECT *, row_number() OVER (PARTITION BY tenant_id ORDER BY next_at, webhook_id) AS place FROM candidates),
  due AS (
    SELECT webhook_id FROM ranked WHERE place <= $4 - (SELECT count(*) FROM under_way WHERE under_way.tenant_id = ranked.tenant_id)
    ORDER BY next_at LIMIT $5)
  UPDATE webhook_deliveries AS delivery SET tries = tries + 1, next_at = now() + make_interval(secs => $6)
  FROM due, webhook_endpoints AS endpoint WHERE delivery.webhook_id = due.webhook_id AND endpoint.endpoint_id = delivery.endpoint_id
  RETURNING delivery.webhook_id, delivery.tenant_id, delivery.endpoint_id, payload, tries, url, endpoint.status AS endpoint_status, secret_sealed,
    CASE WHEN former_until > now() THEN former_sealed END AS former_sealed`;

export async function claimDue(pool: Pool, { limit, mostPerEndpoint, mostPerTenant, underWay, leaseMs }: Wanted): Promise<Claimed[]> {
  const values = [underWay.map(({ tenant_id }) => tenant_id), underWay.map(({ endpoint_id }) => endpoint_id), mostPerEndpoint, mostPerTenant, limit, leaseMs / 1_000];
  const { rows } = await pool.query<Claimed>(CLAIM, values);
  return rows;
}

const THIS_TRY = "webhook_id = $1 AND tries = $2 AND status = 'pending'";
const NOTES: Readonly<Record<Next["kind"], string>> = {
  delivered: `UPDATE webhook_deliveries SET status = 'delivered', delivered_at = now(), last_status = $3, last_error = $4 WHERE ${THIS_TRY}`,
  dead: `UPDATE webhook_deliveries SET status = 'dead', last_status = $3, last_error = $4 WHERE ${THIS_TRY}`,
  gone: `UPDATE webhook_deliveries SET status = 'dead', last_status = $3, last_error = $4 WHERE ${THIS_TRY}`,
  retry: `UPDATE webhook_deliveries SET next_at = now() + make_interval(secs => $5), last_status = $3, last_error = $4 WHERE ${THIS_TRY}`,
};

/** Nothing when another sender has it by now. `gone` disables the endpoint in the same transaction. */
export async function noteTry(pool: Pool, { webhook_id, tenant_id, endpoint_id, tries }: Pick<Claimed, "webhook_id" | "tenant_id" | "endpoint_id" | "tries">, { status, error }: Pick<Tried, "status" | "error">, next: Next): Promise<void> {
  const values = [webhook_id, tries, status, error, ...(next.kind === "retry" ? [next.afterMs / 1_000] : [])];
  if (next.kind !== "gone") {
    await pool.query(NOTES[next.kind], values);
    return;
  }
  await inTransaction(pool, async (client) => {
    const { rowCount } = await client.query(NOTES.gone, values);
    if (rowCount === 1) await changeStatus(client, { kind: "webhook-sender" }, { tenantId: tenant_id, endpointId: endpoint_id, status: "disabled" });
  });
}

/** Of the delivery that is due for longest; 0 when none is. */
export async function oldestDueS(pool: Pool): Promise<number> {
  const { rows: [row] } = await pool.query<{ seconds: number | null }>("SELECT extract(epoch FROM now() - min(next_at))::float8 AS seconds FROM webhook_deliveries WHERE status = 'pending'");
  return Math.max(0, row?.seconds ?? 0);
}
