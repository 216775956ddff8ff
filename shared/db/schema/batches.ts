/** Batches and their lines. */
import { sql } from "drizzle-orm";
import { index, integer, jsonb, pgTable, primaryKey, text } from "drizzle-orm/pg-core";

import type { BatchDefaults, BatchResult, BatchStatus } from "#shared/contracts/batch.ts";
import type { NanoUsd } from "#shared/contracts/money.ts";
import type { InferBody } from "#shared/contracts/request.ts";

import { nanoUsd, time } from "./columns.ts";

export const batches = pgTable(
  "batches",
  {
    tenant_id: text().notNull(),
    batch_id: text().notNull(),
    name: text(),
    status: text().$type<BatchStatus>().notNull(),
    defaults: jsonb().$type<BatchDefaults>().notNull(),
    /** The key that made it: its limits count. */
    key_id: text(),
    line_count: integer().notNull().default(0),
    completed_count: integer().notNull().default(0),
    degraded_count: integer().notNull().default(0),
    failed_count: integer().notNull().default(0),
    rejected_count: integer().notNull().default(0),
    /** Of lines that have ended; summed in the transaction that ends them. */
    cost_nano_usd: nanoUsd().notNull().default(0 as NanoUsd),
    baseline_cost_nano_usd: nanoUsd().notNull().default(0 as NanoUsd),
    created_at: time().notNull().defaultNow(),
    started_at: time(),
    finished_at: time(),
    /** The gateway that runs it, and until when it need not say so again. */
    leased_by: text(),
    lease_until: time(),
  },
  (t) => [primaryKey({ columns: [t.tenant_id, t.batch_id] }), index("batches_by_status").on(t.status, t.created_at)],
);

export const batchItems = pgTable(
  "batch_items",
  {
    tenant_id: text().notNull(),
    batch_id: text().notNull(),
    /** From 1 on. */
    line: integer().notNull(),
    custom_id: text(),
    /** SHA-256 of what was asked, to tell a line that is sent again from another one under its number. */
    fingerprint: text().notNull(),
    /** `null` once it has ended: what was asked is kept no longer than it is needed. */
    request: jsonb().$type<InferBody>(),
    /** `null` until it has ended. */
    result: jsonb().$type<Omit<BatchResult, "line" | "custom_id">>(),
  },
  (t) => [primaryKey({ columns: [t.tenant_id, t.batch_id, t.line] }), index("batch_items_open").on(t.tenant_id, t.batch_id, t.line).where(sql`result IS NULL`)],
);
