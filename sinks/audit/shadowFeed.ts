/** SHADOWS into the table `shadows`, with what they cost. */
import type { Pool } from "pg";
import { Counter, type Registry } from "prom-client";

import { nanoUsd } from "#shared/contracts/money.ts";
import { Shadow } from "#shared/contracts/shadow.ts";
import { makeBatchInsert } from "#shared/db/batchInsert.ts";
import { shadows } from "#shared/db/schema.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { sourcesOf } from "#shared/messaging/topology.ts";

import type { Feed } from "./drain.ts";
import { makePlacesOfOwnRows } from "./ownRows.ts";
import { makeWriter } from "./writer.ts";

export type ShadowRow = typeof shadows.$inferInsert;

const insertShadows = makeBatchInsert(shadows);
const placesOfOwnRows = makePlacesOfOwnRows("shadows");

const iso = (epochMs: number) => new Date(epochMs).toISOString();

/** Pure. `streamSeq` is its place in SHADOWS, so reading it again gives the same row. */
export function toShadowRow({ tenant_id, request_id, policy, task, query, kept, reference, agreement, tiers, model_version, at_ms }: Shadow, streamSeq: number): ShadowRow {
  const { tier, attempt } = reference;
  const calls = tiers.filter(({ is_shadow }) => is_shadow);
  const answer = attempt?.outcome.kind === "answered" ? attempt.outcome : null;
  const failure = attempt?.outcome.kind === "failed" ? attempt.outcome : null;
  return {
    tenant_id, request_id, policy, task,
    kept_tier: kept.tier, kept_model: kept.model, kept_confidence: kept.confidence,
    reference_tier: tier,
    agreement, model_version,
    cost_nano_usd: nanoUsd(calls.reduce((sum, { cost_nano_usd }) => sum + cost_nano_usd, 0)),
    cost_is_partial: calls.some(({ cost_is_partial }) => cost_is_partial),
    outcome: attempt?.outcome.kind ?? null,
    error_code: failure?.code ?? null,
    error_message: failure?.message ?? null,
    is_sound: answer?.is_sound ?? null,
    reference_model: attempt?.model ?? null,
    reference_confidence: answer?.confidence ?? null,
    reference_confidence_source: answer?.confidence_source ?? null,
    tries: attempt?.tries ?? null,
    input_tokens: attempt?.usage?.input_tokens ?? null,
    output_tokens: attempt?.usage?.output_tokens ?? null,
    usage_source: attempt?.usage?.source ?? null,
    started_at: attempt === null ? null : iso(attempt.started_at_ms),
    latency_ms: attempt?.latency_ms ?? null,
    query, tiers,
    at: iso(at_ms),
    stream_seq: streamSeq,
  };
}

/** `own`: the request itself has the baseline's answer. `compared`: there is an agreement. */
const outcomeOf = ({ outcome, is_sound }: ShadowRow): string => (outcome === null ? "own" : outcome === "failed" ? "failed" : is_sound === true ? "compared" : "unsound");

export function shadowFeed(pool: Pool, registry: Registry, prefix: string): Feed<ShadowRow> {
  const registers = [registry];
  const counted = new Counter({ name: "infer_shadow_total", help: "Sampled requests by tier of the kept answer and by what came of asking the baseline tier: own (not asked), compared, unsound, failed.", labelNames: ["tier", "outcome"], registers });
  const cost = new Counter({ name: "infer_shadow_cost_nano_usd_total", help: "What all calls for shadow labels cost. No request pays for it.", registers });
  return {
    source: sourcesOf(prefix).auditShadows,
    what: "infer.shadow",
    read: (delivery) => toShadowRow(readEvent(Shadow, prefix, delivery), delivery.seq),
    writer: makeWriter(pool, async (client, rows: readonly ShadowRow[]) => {
      const newRows = await insertShadows(client, rows);
      return newRows === rows.length ? new Set(rows.keys()) : placesOfOwnRows(client, rows);
    }),
    observe(row) {
      counted.inc({ tier: row.kept_tier, outcome: outcomeOf(row) });
      cost.inc(row.cost_nano_usd);
    },
  };
}
