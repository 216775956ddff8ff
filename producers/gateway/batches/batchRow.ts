/** A batch as Postgres has it, as callers see it, and as its tenant's endpoints are told of its end. */
import type { ClientBase } from "pg";

import type { BatchDefaults, BatchReply, BatchStatus } from "#shared/contracts/batch.ts";
import { sumToUsd } from "#shared/contracts/money.ts";
import { batchFinished } from "#shared/contracts/webhook.ts";
import { isoOf, isoOrNull } from "#shared/tenancy/database.ts";
import { insertDeliveries } from "#shared/webhooks/deliveries.ts";

export interface BatchRow {
  readonly tenant_id: string;
  readonly batch_id: string;
  readonly name: string | null;
  readonly status: BatchStatus;
  readonly defaults: BatchDefaults;
  readonly key_id: string | null;
  readonly line_count: number;
  readonly completed_count: number;
  readonly degraded_count: number;
  readonly failed_count: number;
  readonly rejected_count: number;
  readonly cost_nano_usd: string;
  readonly baseline_cost_nano_usd: string;
  readonly created_at: Date;
  readonly started_at: Date | null;
  readonly finished_at: Date | null;
  readonly leased_by: string | null;
  readonly lease_until: Date | null;
}
export interface EndedRow extends BatchRow {
  readonly finished_at: Date;
}

export function toReply(row: BatchRow): BatchReply {
  const [cost, baseline] = [BigInt(row.cost_nano_usd), BigInt(row.baseline_cost_nano_usd)];
  return {
    batch_id: row.batch_id, tenant_id: row.tenant_id, name: row.name, status: row.status, lines: row.line_count,
    ended: { completed: row.completed_count, degraded: row.degraded_count, failed: row.failed_count, rejected: row.rejected_count },
    cost_usd: sumToUsd(cost), baseline_cost_usd: sumToUsd(baseline), saving_usd: sumToUsd(baseline - cost),
    created_at: isoOf(row.created_at), started_at: isoOrNull(row.started_at), finished_at: isoOrNull(row.finished_at),
  };
}

/** In the transaction that ends it, so once, whoever is killed. With the rights of whoever runs the service: a tenant writes no deliveries. */
export const tellOfEnd = (client: ClientBase, row: EndedRow): Promise<void> =>
  insertDeliveries(client, [{ tenant_id: row.tenant_id, type: "batch.finished", occurrence: `${row.batch_id} ${row.finished_at.getTime()}`, payload: batchFinished(toReply(row), row.finished_at.getTime()) }]);
