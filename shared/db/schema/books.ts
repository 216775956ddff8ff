/** What was paid and what was had for it (ADR 0023), and what reconciliation found of it. */
import { bigint, boolean, index, integer, jsonb, numeric, pgTable, primaryKey, text } from "drizzle-orm/pg-core";

import type { CacheUse } from "#shared/contracts/cache.ts";
import type { Difference } from "#shared/contracts/difference.ts";
import type { Outcome } from "#shared/contracts/events.ts";
import type { LineKind } from "#shared/contracts/ledger.ts";
import { latencyColumns } from "#shared/ledger/latencyBuckets.ts";

import { key, nanoUsd, time } from "./columns.ts";

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
    /** Tiers of its attempts in their order, with commas between them. `null`, as the next one: booked by an older release, and not in the audit any more. */
    attempted: text(),
    latency_ms: integer(),
    error_code: text(),
    /** As of `requests`. */
    latency_slo_ms: integer(),
    /** Of the event in COMPLETIONS. */
    stream_seq: bigint({ mode: "number" }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.request_id, t.tenant_id, t.at] }), index("ledger_requests_by_time").on(t.at), index("ledger_requests_by_tenant").on(t.tenant_id, t.at)],
);

const whole = () => integer().notNull();
/** Sums of amounts and of their squares, beyond what an integer of 8 bytes holds. */
const exact = () => numeric().notNull();
const ofHour = { /** Empty: of all tenants together. */ tenant_id: text().notNull(), hour: time().notNull(), /** Empty, as below: none. */ tier: text().notNull() };

/**
 * `ledger_requests` summed by the hour, exactly: a trigger adds each statement's rows in its own transaction, in the order of the key, so that no two writers
 * wait for each other crosswise. Latencies are counted in buckets (`LATENCY_BOUNDS_MS`), of answered requests.
 */
export const requestHours = pgTable(
  "request_hours",
  {
    ...ofHour,
    policy: text().notNull(),
    /** `>small>large`: tiers of its attempts; `cache`: none, since it was given an answer made for another. */
    path: text().notNull(),
    baseline_tier: text().notNull(),
    completed: whole(), degraded: whole(), failed: whole(), rejected: whole(),
    /** Of `failed`: deadline_exceeded. */
    late: whole(),
    /** Of answered ones. */
    unknown_baselines: whole(),
    partly_known: whole(),
    /** That named a latency SLO, and of those the ones that were answered within it. Hours that an older release booked have none. */
    with_slo: whole().default(0), within_slo: whole().default(0),
    /** Of answered ones. */
    baseline_nano_usd: exact(),
    paid_nano_usd: exact(), paid_to_answer_tier_nano_usd: exact(),
    /** Of each request's baseline less what was paid for it, and less what was paid to the tier that answered. */
    net_square: exact(), net_of_tier_square: exact(),
    slowest_ms: whole(),
    ...Object.fromEntries(latencyColumns.map((name) => [name, whole()])) as Record<(typeof latencyColumns)[number], ReturnType<typeof whole>>,
  },
  (t) => [primaryKey({ columns: [t.tenant_id, t.hour, t.tier, t.policy, t.path, t.baseline_tier] })],
);

/** `ledger` summed by the hour, likewise. */
export const lineHours = pgTable(
  "line_hours",
  {
    ...ofHour,
    attempt: exact(), verification: exact(), exploration: exact(), shadow: exact(), cache_audit: exact(), waste: exact(),
    /** Attempts that cost something. */
    calls: whole(),
    /** Of what completions paid to tiers that did not give their answer: pairs of request and tier, their sum and the sum of their squares. */
    apart: whole(), apart_nano_usd: exact(), apart_square: exact(),
  },
  (t) => [primaryKey({ columns: [t.tenant_id, t.hour, t.tier] })],
);

/**
 * Requests that something was paid for beside their completion, as `ledger_requests` has them: few, so that lines and requests of a long time are brought together
 * without looking for each in that large table. Written with such a line; one whose request is booked after it is not here, and has to be looked for.
 */
export const besideRequests = pgTable(
  "beside_requests",
  { ...key, at: time().notNull(), tier: text(), attempted: text(), net: exact(), net_of_tier: exact() },
  (t) => [primaryKey({ columns: [t.request_id, t.tenant_id, t.at] }), index("beside_requests_by_time").on(t.at)],
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
