/**
 * The audit tables, whose columns are named as in the audit event (`shared/contracts/events.ts`); the books (ADR 0023) and what reconciliation found; tenants with their keys, webhook
 * endpoints and what is sent to them; batches with their lines. Row-level security and the role `infer_tenant` that it binds are in the migration: see `transaction.ts`.
 */
import { sql } from "drizzle-orm";
import { bigint, boolean, doublePrecision, index, integer, jsonb, pgTable, primaryKey, smallint, text, timestamp } from "drizzle-orm/pg-core";

import type { KeyRole } from "#shared/contracts/apiKey.ts";
import type { BatchDefaults, BatchResult, BatchStatus } from "#shared/contracts/batch.ts";
import type { CacheUse } from "#shared/contracts/cache.ts";
import type { CacheAudit } from "#shared/contracts/cacheAudit.ts";
import type { Difference } from "#shared/contracts/difference.ts";
import type { Attempt, Completion, Outcome } from "#shared/contracts/events.ts";
import type { LineKind } from "#shared/contracts/ledger.ts";
import type { NanoUsd } from "#shared/contracts/money.ts";
import type { InferBody } from "#shared/contracts/request.ts";
import type { Shadow, ShadowTier } from "#shared/contracts/shadow.ts";
import type { TenantSettings, TenantStatus } from "#shared/contracts/tenant.ts";
import type { DeliveryStatus, EndpointStatus, WebhookType } from "#shared/contracts/webhook.ts";

const key = { tenant_id: text().notNull(), request_id: text().notNull() };
const nanoUsd = () => bigint({ mode: "number" }).$type<NanoUsd>();
const time = () => timestamp({ withTimezone: true, mode: "string" });

/** One row per finished request. Append-only; rebuildable by reading COMPLETIONS again. */
export const requests = pgTable(
  "requests",
  {
    ...key,
    user_id: text(),
    key_id: text(),
    outcome: text().$type<Outcome>().notNull(),
    degraded_reason: text().$type<Completion["degraded_reason"]>(),
    error_code: text(),
    error_message: text(),
    policy: text(),
    task: text(),
    tier: text(),
    model: text(),
    confidence: doublePrecision(),
    confidence_source: text(),
    cost_nano_usd: nanoUsd().notNull(),
    baseline_tier: text(),
    baseline_cost_nano_usd: nanoUsd(),
    budget_nano_usd: nanoUsd(),
    attempt_count: smallint().notNull(),
    latency_ms: integer().notNull(),
    accepted_at: time().notNull(),
    completed_at: time().notNull(),
    origin: text().notNull(),
    output: text(),
    message: jsonb().$type<NonNullable<Completion["message"]>>(),
    input_bytes: integer(),
    input_sha256: text(),
    /** What was asked, where the tenant's retention has it stored. */
    input: jsonb().$type<Completion["input"]>(),
    fingerprint: text(),
    metadata: jsonb().$type<Completion["metadata"]>(),
    /** The answer was made for another request. */
    cache: jsonb().$type<NonNullable<Completion["cache"]>>(),
    decisions: jsonb().$type<Completion["decisions"]>().notNull(),
    trace_id: text().notNull(),
    /** Of the event in COMPLETIONS. */
    stream_seq: bigint({ mode: "number" }).notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.request_id, t.tenant_id] }), index("requests_by_time").on(t.tenant_id, t.completed_at), index("requests_by_age").on(t.completed_at),
    index("requests_by_sequence").on(t.stream_seq),
  ],
);

/** One row per attempt, whatever came of it. */
export const attempts = pgTable(
  "attempts",
  {
    ...key,
    attempt: smallint().notNull(),
    tier: text().notNull(),
    model: text().notNull(),
    replica: text(),
    outcome: text().$type<Attempt["outcome"]["kind"]>().notNull(),
    error_code: text(),
    error_message: text(),
    is_sound: boolean(),
    confidence: doublePrecision(),
    confidence_source: text(),
    tries: smallint().notNull(),
    input_tokens: integer(),
    output_tokens: integer(),
    cached_input_tokens: integer(),
    cache_write_input_tokens: integer(),
    reasoning_output_tokens: integer(),
    /** Charged like all others, for want of a price. */
    unpriced_tokens: integer(),
    usage_source: text(),
    /** What the server told cannot be; the columns above have what can, and `reported_usage` what it said, if it said anything. */
    usage_is_clamped: boolean().notNull().default(false),
    reported_usage: jsonb().$type<NonNullable<NonNullable<Attempt["usage"]>["reported"]>>(),
    cost_nano_usd: nanoUsd().notNull(),
    /** Where it cost more than its step was quoted at, and so was charged less. */
    uncapped_cost_nano_usd: nanoUsd(),
    /** In nano-dollars: the price that it was charged at. */
    rates: jsonb().$type<NonNullable<Attempt["rates"]>>(),
    /** Where it was charged at several. */
    charges: jsonb().$type<NonNullable<Attempt["charges"]>>(),
    checks: jsonb().$type<NonNullable<Attempt["checks"]>>(),
    cost_is_partial: boolean().notNull(),
    started_at: time().notNull(),
    latency_ms: doublePrecision().notNull(),
    first_token_ms: doublePrecision(),
  },
  (t) => [primaryKey({ columns: [t.request_id, t.tenant_id, t.attempt] })],
);

/** What was said about an answer: the latest of each source. Rebuildable by reading FEEDBACK again, for as long as that keeps it. */
export const feedback = pgTable(
  "feedback",
  {
    ...key,
    source: text().notNull(),
    score: doublePrecision().notNull(),
    comment: text(),
    /** Of the message in FEEDBACK: a later one replaces an earlier one. */
    stream_seq: bigint({ mode: "number" }).notNull(),
    /** When FEEDBACK stored it. */
    at: time().notNull(),
  },
  (t) => [primaryKey({ columns: [t.request_id, t.tenant_id, t.source] }), index("feedback_by_age").on(t.at)],
);

/**
 * What the baseline tier says about kept answers, one row per sampled request, and how every tier did on it that was known
 * by then. `cost_nano_usd` is of the calls that were made for it: beside the request's, never in it, and never in
 * `shadow_tiers`. `outcome` and all that follows are of the baseline's call, `null` when none was needed.
 */
export const shadows = pgTable(
  "shadows",
  {
    ...key,
    policy: text().notNull(),
    task: text(),
    kept_tier: text().notNull(),
    kept_model: text().notNull(),
    kept_confidence: doublePrecision().notNull(),
    reference_tier: text().notNull(),
    agreement: doublePrecision(),
    model_version: text(),
    cost_nano_usd: nanoUsd().notNull(),
    cost_is_partial: boolean().notNull(),
    outcome: text().$type<Attempt["outcome"]["kind"]>(),
    error_code: text(),
    error_message: text(),
    is_sound: boolean(),
    reference_model: text(),
    reference_confidence: doublePrecision(),
    reference_confidence_source: text(),
    tries: smallint(),
    input_tokens: integer(),
    output_tokens: integer(),
    usage_source: text(),
    started_at: time(),
    latency_ms: doublePrecision(),
    query: jsonb().$type<Shadow["query"]>(),
    tiers: jsonb().$type<Shadow["tiers"]>().notNull().default([]),
    at: time().notNull(),
    /** Of the event in SHADOWS. */
    stream_seq: bigint({ mode: "number" }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.request_id, t.tenant_id] }), index("shadows_by_age").on(t.at)],
);

/**
 * How a tier did on a sampled request that was asked after the baseline, one row per call, with its cost. May be there before
 * the request's own row in `shadows`. Columns have the names of `ShadowTier`, so that a row can be read as one.
 */
export const shadowTiers = pgTable(
  "shadow_tiers",
  {
    ...key,
    tier: text().notNull(),
    model: text().notNull(),
    error_code: text(),
    is_sound: boolean().notNull(),
    confidence: doublePrecision(),
    confidence_source: text(),
    agreement_with_baseline: doublePrecision(),
    agreement_with_kept: doublePrecision(),
    cost_nano_usd: nanoUsd().notNull(),
    cost_is_partial: boolean().notNull(),
    latency_ms: doublePrecision().notNull(),
    usage: jsonb().$type<ShadowTier["usage"]>(),
    at: time().notNull(),
    /** Of the event in SHADOWS. */
    stream_seq: bigint({ mode: "number" }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.request_id, t.tenant_id, t.tier] }), index("shadow_tiers_by_age").on(t.at)],
);

/**
 * The books: one line for everything that was paid, whoever asked for it. Append-only. Of a completion the lines add up to its cost.
 * `at` is part of the key, since an id may be used again once COMPLETIONS has forgotten it, and each use was paid.
 */
export const ledger = pgTable(
  "ledger",
  {
    ...key,
    kind: text().$type<LineKind>().notNull(),
    /** Number of the attempt, tier, or late run. */
    part: text().notNull(),
    user_id: text(),
    /** API key that asked. `null`: not known. */
    key_id: text(),
    tier: text().notNull(),
    model: text().notNull(),
    policy: text(),
    cost_nano_usd: nanoUsd().notNull(),
    /** The tenant pays for it, see `isCharged`. */
    is_charged: boolean().notNull(),
    cost_is_partial: boolean().notNull(),
    /** In the request's own completion, and paid to the tier, and to the model, whose answer was kept. */
    is_to_answer_tier: boolean().notNull(),
    is_to_answer_model: boolean().notNull(),
    /** When its request was accepted; of a shadow or a cache audit when it was made; of waste when its run began. */
    at: time().notNull(),
    /** Of the event that it was booked from. */
    stream: text().notNull(),
    stream_seq: bigint({ mode: "number" }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.request_id, t.tenant_id, t.kind, t.part, t.at] }), index("ledger_by_time").on(t.at), index("ledger_by_tenant").on(t.tenant_id, t.at), index("ledger_by_user").on(t.tenant_id, t.user_id, t.at), index("ledger_by_key").on(t.tenant_id, t.key_id, t.at)],
);

/** What was had for it: one row per finished request, without its texts, kept for as long as the ledger. `requests` may be deleted before. */
export const ledgerRequests = pgTable(
  "ledger_requests",
  {
    ...key,
    /** When it was accepted. */
    at: time().notNull(),
    user_id: text(),
    key_id: text(),
    policy: text(),
    /** Of the answer. */
    tier: text(),
    model: text(),
    outcome: text().$type<Outcome>().notNull(),
    cache: text().$type<CacheUse["kind"]>(),
    baseline_tier: text(),
    baseline_cost_nano_usd: nanoUsd(),
    /** Of one of its attempts: its server may have charged something that it did not tell. */
    cost_is_partial: boolean().notNull(),
    /** Sum of its completion's lines, so that a report pairs cost and baseline of a request without a join; and of those to the tier and the model that answered. */
    paid_nano_usd: nanoUsd().notNull(),
    paid_to_answer_tier_nano_usd: nanoUsd().notNull(),
    paid_to_answer_model_nano_usd: nanoUsd().notNull(),
    /** Of the event in COMPLETIONS. */
    stream_seq: bigint({ mode: "number" }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.request_id, t.tenant_id, t.at] }), index("ledger_requests_by_time").on(t.at), index("ledger_requests_by_tenant").on(t.tenant_id, t.at)],
);

/** How far each part of the reconciliation has come, whoever ran it last (docs/reconcile.md). */
export const reconcileMarks = pgTable("reconcile_marks", {
  part: text().primaryKey(),
  /** What tells the stream that it reads from one that was made anew; empty where it reads none. */
  stream_created: text().notNull(),
  /** Up to here all was looked at. */
  seq: bigint({ mode: "number" }).notNull(),
  /** Messages that were there and not looked at when its last run ended. */
  behind: bigint({ mode: "number" }).notNull(),
  checked: bigint({ mode: "number" }).notNull(),
  finished_at: time().notNull(),
});

/** Differences that are open: each is looked at again in every run, and deleted once it is gone. */
export const reconcileDifferences = pgTable(
  "reconcile_differences",
  {
    key: text().primaryKey(),
    part: text().notNull(),
    kind: text().$type<Difference["kind"]>().notNull(),
    tenant_id: text(),
    request_id: text(),
    difference: jsonb().$type<Difference>().notNull(),
    found_at: time().notNull().defaultNow(),
    seen_at: time().notNull().defaultNow(),
  },
  (t) => [index("reconcile_differences_by_part").on(t.part, t.seen_at)],
);

export const tenants = pgTable("tenants", {
  tenant_id: text().primaryKey(),
  name: text().notNull(),
  status: text().$type<TenantStatus>().notNull(),
  settings: jsonb().$type<TenantSettings>().notNull(),
  created_at: time().notNull().defaultNow(),
  updated_at: time().notNull().defaultNow(),
});

export const apiKeys = pgTable(
  "api_keys",
  {
    key_id: text().primaryKey(),
    /** `null`: of whoever runs the service. */
    tenant_id: text().references(() => tenants.tenant_id),
    role: text().$type<KeyRole>().notNull(),
    name: text().notNull(),
    /** HMAC-SHA256 of the secret, in base64url. */
    secret_hmac: text().notNull(),
    last_four: text().notNull(),
    created_at: time().notNull().defaultNow(),
    expires_at: time(),
    revoked_at: time(),
  },
  (t) => [index("api_keys_by_tenant").on(t.tenant_id, t.name)],
);

/** Who changed what of tenants and keys. Append-only: the migration's triggers refuse all else. */
export const adminAudit = pgTable(
  "admin_audit",
  {
    seq: bigint({ mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
    at: time().notNull().defaultNow(),
    /** `key:<key id>`, `inferctl`, `keyless`, `webhook-sender` or `cache-audit`. */
    actor: text().notNull(),
    tenant_id: text(),
    action: text().notNull(),
    /** Id of what was changed. */
    object: text().notNull(),
    /** Never a secret. */
    change: jsonb().$type<Record<string, unknown>>().notNull(),
  },
  (t) => [index("admin_audit_by_tenant").on(t.tenant_id, t.seq)],
);

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

/** Where a tenant is told what happened. */
export const webhookEndpoints = pgTable(
  "webhook_endpoints",
  {
    endpoint_id: text().primaryKey(),
    tenant_id: text().notNull().references(() => tenants.tenant_id),
    url: text().notNull(),
    status: text().$type<EndpointStatus | "removed">().notNull(),
    /** Encrypted under INFER_SECRET; empty once it was removed. */
    secret_sealed: text().notNull(),
    /** The one before it, which still signs until then. */
    former_sealed: text(),
    former_until: time(),
    created_at: time().notNull().defaultNow(),
    updated_at: time().notNull().defaultNow(),
  },
  (t) => [index("webhook_endpoints_by_tenant").on(t.tenant_id, t.created_at)],
);

/** One event to one endpoint. `dead`: the dead letters. */
export const webhookDeliveries = pgTable(
  "webhook_deliveries",
  {
    webhook_id: text().primaryKey(),
    tenant_id: text().notNull(),
    endpoint_id: text().notNull().references(() => webhookEndpoints.endpoint_id),
    type: text().$type<WebhookType>().notNull(),
    /** As it is sent, byte by byte. */
    payload: text().notNull(),
    status: text().$type<DeliveryStatus>().notNull(),
    /** Begun ones. Whoever begins one adds to it, so that a sender which lost its lease cannot note over another. */
    tries: smallint().notNull(),
    /** While one is under way: when its lease ends. */
    next_at: time().notNull(),
    last_status: smallint(),
    last_error: text(),
    created_at: time().notNull().defaultNow(),
    delivered_at: time(),
  },
  (t) => [
    index("webhook_deliveries_due").on(t.endpoint_id, t.next_at).where(sql`status = 'pending'`),
    index("webhook_deliveries_by_tenant").on(t.tenant_id, t.created_at),
    index("webhook_deliveries_by_age").on(t.created_at),
  ],
);
