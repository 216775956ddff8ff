/** What a gateway does with batches that run, as whoever runs the service: claims them, takes lines, notes how they ended. */
import type { Pool } from "pg";

import type { BatchResult } from "#shared/contracts/batch.ts";
import type { NanoUsd } from "#shared/contracts/money.ts";
import type { InferBody } from "#shared/contracts/request.ts";
import { inTransaction } from "#shared/db/transaction.ts";

import { type EndedRow, tellOfEnd } from "./batchRow.ts";

export interface ClaimedBatch {
  readonly tenant_id: string;
  readonly batch_id: string;
  readonly key_id: string | null;
}
export interface OpenLine {
  readonly line: number;
  readonly request: InferBody;
}
/** How a line ended. */
export interface Ended {
  readonly line: number;
  readonly cost: NanoUsd;
  /** 0 where it is not known. */
  readonly baseline: NanoUsd;
  readonly result: Omit<BatchResult, "line" | "custom_id">;
}

/** A gateway that says nothing for this long has lost its batches. */
const LEASE_S = 15;

const IS_SUSPENDED = "EXISTS (SELECT 1 FROM tenants WHERE tenants.tenant_id = batches.tenant_id AND tenants.status = 'suspended')";

export interface Most {
  readonly batches: number;
  /** So that no tenant keeps the others' from running. */
  readonly perTenant: number;
}
/**
 * Takes what nobody has, and says again what this gateway has: all of it comes back, the oldest first. The batches of a suspended
 * tenant are left, and wait.
 */
export async function claimBatches(pool: Pool, instance: string, most: Most): Promise<ClaimedBatch[]> {
  const { rows } = await pool.query<ClaimedBatch>(`
    WITH takeable AS (
      SELECT tenant_id, batch_id, row_number() OVER (PARTITION BY tenant_id ORDER BY (leased_by = $1) DESC NULLS LAST, created_at, batch_id) AS nth
      FROM batches WHERE status = 'running' AND (leased_by IS NULL OR leased_by = $1 OR lease_until < now())
        AND NOT ${IS_SUSPENDED}
    ), taken AS (
      SELECT tenant_id, batch_id FROM batches JOIN takeable USING (tenant_id, batch_id)
      WHERE nth <= $3 AND status = 'running' AND (leased_by IS NULL OR leased_by = $1 OR lease_until < now())
      ORDER BY (leased_by = $1) DESC NULLS LAST, created_at, batch_id LIMIT $2 FOR UPDATE OF batches SKIP LOCKED
    )
    UPDATE batches SET leased_by = $1, lease_until = now() + make_interval(secs => ${LEASE_S}) FROM taken
    WHERE batches.tenant_id = taken.tenant_id AND batches.batch_id = taken.batch_id
    RETURNING batches.tenant_id, batches.batch_id, batches.key_id`, [instance, most.batches, most.perTenant]);
  return rows;
}

/** So that another gateway need not wait for the leases. */
export async function releaseBatches(pool: Pool, instance: string): Promise<void> {
  await pool.query("UPDATE batches SET leased_by = NULL, lease_until = NULL WHERE leased_by = $1", [instance]);
}

/** The next lines that have not ended. */
export async function nextLines(pool: Pool, { tenant_id, batch_id }: ClaimedBatch, after: number, limit: number): Promise<OpenLine[]> {
  const { rows } = await pool.query<OpenLine>("SELECT line, request FROM batch_items WHERE tenant_id = $1 AND batch_id = $2 AND line > $3 AND result IS NULL ORDER BY line LIMIT $4", [tenant_id, batch_id, after, limit]);
  return rows;
}

const OUTCOMES = ["completed", "degraded", "failed", "rejected"] as const;
export interface Noted {
  /** `false`: another gateway has the batch, it was cancelled, or its tenant is suspended; the lines are noted all the same. */
  readonly isOurs: boolean;
  /** Lines that were not noted before. */
  readonly fresh: readonly Ended[];
}
/** Notes how lines ended, and counts them, in one transaction; a line that is noted already is not counted again. */
export const endLines = (pool: Pool, instance: string, { tenant_id, batch_id }: ClaimedBatch, ended: readonly Ended[]): Promise<Noted> =>
  inTransaction(pool, async (client) => {
    const { rows: [batch] } = await client.query<{ is_ours: boolean }>(
      `SELECT leased_by = $3 AND status = 'running' AND NOT ${IS_SUSPENDED} AS is_ours FROM batches WHERE tenant_id = $1 AND batch_id = $2 FOR UPDATE`, [tenant_id, batch_id, instance]);
    let fresh: readonly Ended[] = [];
    if (ended.length > 0) {
      const { rows } = await client.query<{ line: number }>({
        name: "end_batch_lines",
        text: `UPDATE batch_items AS item SET result = done.result, request = NULL FROM unnest($3::int[], $4::jsonb[]) AS done(line, result)
          WHERE item.tenant_id = $1 AND item.batch_id = $2 AND item.line = done.line AND item.result IS NULL RETURNING item.line`,
        values: [tenant_id, batch_id, ended.map(({ line }) => line), ended.map(({ result }) => JSON.stringify(result))],
      });
      const lines = new Set(rows.map(({ line }) => line));
      fresh = ended.filter(({ line }) => lines.has(line));
      const sum = (of: (one: Ended) => NanoUsd) => fresh.reduce((total, one) => total + of(one), 0);
      const count = (outcome: BatchResult["outcome"]) => fresh.filter(({ result }) => result.outcome === outcome).length;
      await client.query(
        `UPDATE batches SET ${OUTCOMES.map((outcome, i) => `${outcome}_count = ${outcome}_count + $${i + 3}`).join(", ")}, cost_nano_usd = cost_nano_usd + $7, baseline_cost_nano_usd = baseline_cost_nano_usd + $8 WHERE tenant_id = $1 AND batch_id = $2`,
        [tenant_id, batch_id, ...OUTCOMES.map(count), sum(({ cost }) => cost), sum(({ baseline }) => baseline)],
      );
    }
    return { isOurs: batch?.is_ours === true, fresh };
  });

/** Once every line has ended. The tenant's endpoints are told in the same transaction. */
export const finishBatch = (pool: Pool, instance: string, { tenant_id, batch_id }: ClaimedBatch): Promise<void> =>
  inTransaction(pool, async (client) => {
    const { rows: [finished] } = await client.query<EndedRow>(`
      UPDATE batches SET status = 'completed', finished_at = now(), leased_by = NULL, lease_until = NULL
      WHERE tenant_id = $1 AND batch_id = $2 AND status = 'running' AND leased_by = $3
        AND NOT EXISTS (SELECT 1 FROM batch_items i WHERE i.tenant_id = $1 AND i.batch_id = $2 AND i.result IS NULL)
      RETURNING *`, [tenant_id, batch_id, instance]);
    if (finished !== undefined) await tellOfEnd(client, finished);
  });
