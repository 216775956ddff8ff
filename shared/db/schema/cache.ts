/** What is known of how good the hits of the semantic cache are. */
import { bigint, boolean, doublePrecision, index, integer, pgTable, primaryKey, text } from "drizzle-orm/pg-core";

import type { CacheAudit } from "#shared/contracts/cacheAudit.ts";

import { key, nanoUsd, time } from "./columns.ts";
import { tenants } from "./tenancy.ts";

/** How the guard of the semantic cache did on pairs of questions that a tenant, or whoever runs the service for it, had labelled. */
export const cacheEvaluations = pgTable(
  "cache_evaluations",
  {
    seq: bigint({ mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
    tenant_id: text().notNull().references(() => tenants.tenant_id),
    at: time().notNull().defaultNow(),
    guard_version: integer().notNull(),
    /** Of the pairs. */
    set_sha256: text().notNull(),
    same_pairs: integer().notNull(),
    hits: integer().notNull(),
    other_pairs: integer().notNull(),
    false_hits: integer().notNull(),
    /** Interval of the share of false hits, 95 %. */
    false_hit_lower: doublePrecision().notNull(),
    false_hit_upper: doublePrecision().notNull(),
  },
  (t) => [index("cache_evaluations_by_tenant").on(t.tenant_id, t.seq)],
);

/** Hits of the semantic cache that were run afterwards. `cost_nano_usd` is beside the request's, never in it. */
export const cacheAudits = pgTable(
  "cache_audits",
  {
    ...key,
    source_request_id: text().notNull(),
    guard_version: integer().notNull(),
    tier: text().notNull(),
    model: text().notNull(),
    verdict: text().$type<CacheAudit["verdict"]>().notNull(),
    /** Of the two answers; `null` when the run brought no sound one. */
    agreement: doublePrecision(),
    error_code: text(),
    cost_nano_usd: nanoUsd().notNull(),
    cost_is_partial: boolean().notNull(),
    latency_ms: doublePrecision().notNull(),
    at: time().notNull(),
    /** Of the event in SHADOWS. */
    stream_seq: bigint({ mode: "number" }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.request_id, t.tenant_id] }), index("cache_audits_by_tenant").on(t.tenant_id, t.guard_version), index("cache_audits_by_age").on(t.at)],
);

/**
 * What audits have shown of a guard, for good: rows of `cache_audits` are deleted by their age, and what they disproved is not proved by that.
 * A trigger of `cache_audits` counts, once per row.
 */
export const cacheAuditCounts = pgTable(
  "cache_audit_counts",
  {
    tenant_id: text().notNull(),
    guard_version: integer().notNull(),
    same: bigint({ mode: "number" }).notNull().default(0),
    unclear: bigint({ mode: "number" }).notNull().default(0),
    different: bigint({ mode: "number" }).notNull().default(0),
    unknown: bigint({ mode: "number" }).notNull().default(0),
    /** Highest `max_false_hit_rate` that was disproved; it never falls. */
    disproved_rate: doublePrecision(),
  },
  (t) => [primaryKey({ columns: [t.tenant_id, t.guard_version] })],
);
