/** The audit tables: rows of events, whose columns are named as in the event (`shared/contracts/events.ts`). */
import { sql } from "drizzle-orm";
import { bigint, boolean, customType, doublePrecision, index, integer, jsonb, pgTable, primaryKey, smallint, text } from "drizzle-orm/pg-core";

import type { Attempt, Completion, Outcome } from "#shared/contracts/events.ts";
import type { Shadow, ShadowTier } from "#shared/contracts/shadow.ts";

import { key, nanoUsd, time } from "./columns.ts";

type Question = NonNullable<Completion["input"]>;
/** Perhaps a text alone, read as the driver has it, which is parsed: `jsonb()` would parse a text once more, and make a number of "42". */
const question = customType<{ data: Question }>({ dataType: () => "jsonb", fromDriver: (value) => value as Question });

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
    experiment: jsonb().$type<NonNullable<Completion["experiment"]>>(),
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
    /** Wanted by the request. `null`: it named none, or was written by an older release. */
    latency_slo_ms: integer(),
    accepted_at: time().notNull(),
    completed_at: time().notNull(),
    origin: text().notNull(),
    output: text(),
    /** In place of `output` and `message`, where the tenant's retention has outputs hashed: SHA-256 in hex of the text, or of the message's JSON. */
    output_sha256: text(),
    message: jsonb().$type<NonNullable<Completion["message"]>>(),
    input_bytes: integer(),
    input_sha256: text(),
    /** What was asked, where the tenant's retention has it stored. */
    input: question(),
    fingerprint: text(),
    metadata: jsonb().$type<Completion["metadata"]>(),
    /** The answer was made for another request. */
    cache: jsonb().$type<NonNullable<Completion["cache"]>>(),
    decisions: jsonb().$type<Completion["decisions"]>().notNull(),
    /** For making the decisions again. None: of an older event. */
    terms: jsonb().$type<NonNullable<Completion["terms"]>>(),
    trace_id: text().notNull(),
    /** Of the event in COMPLETIONS. */
    stream_seq: bigint({ mode: "number" }).notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.request_id, t.tenant_id] }), index("requests_by_time").on(t.tenant_id, t.completed_at), index("requests_by_age").on(t.completed_at),
    index("requests_by_sequence").on(t.stream_seq), index("requests_by_experiment").on(sql`(${t.experiment} ->> 'experiment_id')`).where(sql`${t.experiment} IS NOT NULL`),
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
