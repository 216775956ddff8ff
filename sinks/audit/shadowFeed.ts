/** SHADOWS into the tables `shadows`, `shadow_tiers` and `cache_audits`, with what each call cost, and into the ledger. */
import type { ClientBase, Pool } from "pg";
import { Counter, type Registry } from "prom-client";

import { nanoUsd, toUsd } from "#shared/contracts/money.ts";
import { type Shadow, ShadowEvent, type ShadowTierEvent } from "#shared/contracts/shadow.ts";
import { makeBatchInsert } from "#shared/db/batchInsert.ts";
import { shadows, shadowTiers } from "#shared/db/schema/audit.ts";
import { ledger } from "#shared/db/schema/books.ts";
import { cacheAudits } from "#shared/db/schema/cache.ts";
import { type Line, linesOfShadow } from "#shared/ledger/linesOf.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { sourcesOf } from "#shared/messaging/topology.ts";

import { makeCalibrationMetrics } from "./calibrationMetrics.ts";
import type { Feed } from "./drain.ts";
import { placesOfErased } from "./leftOut.ts";
import { makePlacesOfOwnRows } from "./ownRows.ts";
import { type Insert, makeWriter } from "./writer.ts";

export type ShadowRow = typeof shadows.$inferInsert;
export type ShadowTierRow = typeof shadowTiers.$inferInsert;
export type CacheAuditRow = typeof cacheAudits.$inferInsert;
type ShadowTableRow = { readonly table: "shadows"; readonly row: ShadowRow } | { readonly table: "shadow_tiers"; readonly row: ShadowTierRow } | { readonly table: "cache_audits"; readonly row: CacheAuditRow };
/** A row of one of the tables, and what is booked of it. */
export type ShadowItem = ShadowTableRow & { readonly lines: readonly Line[] };

const iso = (epochMs: number) => new Date(epochMs).toISOString();

/** Pure. `streamSeq` is its place in SHADOWS, so reading it again gives the same row. */
export const toShadowItem = (event: ShadowEvent, streamSeq: number): ShadowItem => ({ ...toTableRow(event, streamSeq), lines: linesOfShadow(event, streamSeq) });

function toTableRow(event: ShadowEvent, streamSeq: number): ShadowTableRow {
  switch (event.type) {
    case "shadow.v1": return { table: "shadows", row: toShadowRow(event, streamSeq) };
    case "shadow_tier.v1": return { table: "shadow_tiers", row: toTierRow(event, streamSeq) };
    case "cache_audit.v1": {
      const { type: _type, at_ms, ...row } = event;
      return { table: "cache_audits", row: { ...row, at: iso(at_ms), stream_seq: streamSeq } };
    }
  }
}

function toTierRow(event: ShadowTierEvent, streamSeq: number): ShadowTierRow {
  const { tenant_id, request_id, tier, model, error_code, is_sound, confidence, confidence_source, agreement_with_baseline, agreement_with_kept, cost_nano_usd, cost_is_partial, latency_ms, usage, at_ms } = event;
  return {
    tenant_id, request_id, tier, model, error_code, is_sound, confidence, confidence_source, agreement_with_baseline, agreement_with_kept, cost_nano_usd, cost_is_partial, latency_ms, usage,
    at: iso(at_ms),
    stream_seq: streamSeq,
  };
}

function toShadowRow({ tenant_id, request_id, policy, task, query, kept, reference, agreement, tiers, model_version, at_ms }: Shadow, streamSeq: number): ShadowRow {
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

const insertShadows = insertOwn("shadows", makeBatchInsert(shadows));
const insertShadowTiers = insertOwn("shadow_tiers", makeBatchInsert(shadowTiers));
const insertCacheAudits = insertOwn("cache_audits", makeBatchInsert(cacheAudits));
const insertLines = makeBatchInsert(ledger);

function insertOwn<T extends ShadowRow | ShadowTierRow | CacheAuditRow>(table: ShadowItem["table"], insertRows: (client: ClientBase, rows: readonly T[]) => Promise<number>): Insert<T> {
  const placesOfOwnRows = makePlacesOfOwnRows(table);
  return async (client, rows) => (rows.length === 0 || (await insertRows(client, rows)) === rows.length ? new Set(rows.keys()) : placesOfOwnRows(client, rows));
}

async function insert(client: ClientBase, batch: readonly ShadowItem[]): Promise<ReadonlySet<number>> {
  const erased = await placesOfErased(client, batch.map(({ row }) => row));
  const kept = batch.map((item, place) => (erased.has(place) ? null : item));
  const labels = kept.flatMap((item, place) => (item?.table === "shadows" ? [{ place, row: item.row }] : []));
  const tiers = kept.flatMap((item, place) => (item?.table === "shadow_tiers" ? [{ place, row: item.row }] : []));
  const audits = kept.flatMap((item, place) => (item?.table === "cache_audits" ? [{ place, row: item.row }] : []));
  const written = await insertShadows(client, labels.map(({ row }) => row));
  const writtenTiers = await insertShadowTiers(client, tiers.map(({ row }) => row));
  const writtenAudits = await insertCacheAudits(client, audits.map(({ row }) => row));
  await insertLines(client, batch.flatMap(({ lines }) => lines));
  const own = [...labels.filter((_item, i) => written.has(i)), ...tiers.filter((_item, i) => writtenTiers.has(i)), ...audits.filter((_item, i) => writtenAudits.has(i))];
  return new Set([...erased, ...own.map(({ place }) => place)]);
}

/** `onFalseHit`: told once an audit is written that found one. */
export function shadowFeed(pool: Pool, registry: Registry, prefix: string, onFalseHit?: (tenantId: string) => void): Feed<ShadowItem> {
  const registers = [registry];
  const counted = new Counter({ name: "infer_shadow_total", help: "Sampled requests by tier of the kept answer and by what came of asking the baseline tier: own (not asked), compared, unsound, failed.", labelNames: ["tier", "outcome"], registers });
  const cost = new Counter({ name: "infer_shadow_cost_usd_total", help: "What all calls for shadow labels cost. No request pays for it.", registers });
  const compared = makeCalibrationMetrics(registry);
  const audits = new Counter({ name: "infer_cache_audits_total", help: "Hits of the semantic cache that were run afterwards, by what that says of the answer that was given: same, unclear, different, or unknown.", labelNames: ["result"], registers });
  const auditCost = new Counter({ name: "infer_cache_audit_cost_usd_total", help: "What those runs cost. No request pays for it.", registers });
  return {
    source: sourcesOf(prefix).auditShadows,
    table: "shadows",
    read: (delivery) => toShadowItem(readEvent(ShadowEvent, prefix, delivery), delivery.seq),
    writer: makeWriter(pool, insert),
    observe({ table, row }) {
      if (table === "shadows") for (const answer of row.tiers ?? []) if (answer.tier !== row.reference_tier) compared(answer);
      if (table === "shadow_tiers") compared(row);
      if (table === "cache_audits") {
        audits.inc({ result: row.verdict });
        auditCost.inc(toUsd(row.cost_nano_usd));
        if (row.verdict === "different") onFalseHit?.(row.tenant_id);
        return;
      }
      if (table === "shadows") counted.inc({ tier: row.kept_tier, outcome: outcomeOf(row) });
      cost.inc(toUsd(row.cost_nano_usd));
    },
  };
}
