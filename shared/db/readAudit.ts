import { and, asc, eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import type { Pool, PoolClient } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import { type Attempt, Completion } from "#shared/contracts/events.ts";

import { attempts, requests } from "./schema/audit.ts";
import { inTransactionOf } from "./transaction.ts";

/** The audit event of one request, rebuilt from its rows. Throws `database_unavailable`; `invalid_request` when several tenants used the id. */
export async function readCompletion(pool: Pool, requestId: string, tenantId: string | null): Promise<Completion | null> {
  try {
    return await inTransactionOf(pool, tenantId, (client) => readCompletionIn(client, requestId, tenantId));
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw new AppError("database_unavailable", "the audit database cannot be read now", { cause });
  }
}

/** The same in a transaction that is there, with the rights that it has. */
export async function readCompletionIn(client: PoolClient, requestId: string, tenantId: string | null): Promise<Completion | null> {
  const db = drizzle(client);
  const mine = tenantId === null ? eq(requests.request_id, requestId) : and(eq(requests.tenant_id, tenantId), eq(requests.request_id, requestId));
  const rows = await db.select().from(requests).where(mine).limit(2);
  if (rows.length > 1) throw new AppError("invalid_request", "several tenants used this id: add ?tenant_id=");
  const [row] = rows;
  if (row === undefined) return null;
  const ofRequest = and(eq(attempts.tenant_id, row.tenant_id), eq(attempts.request_id, requestId));
  return Completion.parse(eventOf(row, await db.select().from(attempts).where(ofRequest).orderBy(asc(attempts.attempt))));
}

export type RequestRow = typeof requests.$inferSelect;
export type AttemptRow = typeof attempts.$inferSelect;
/** The event that the rows were made from, for its schema to read. Pure. */
export function eventOf(row: RequestRow, attemptRows: readonly AttemptRow[]): object {
  const { message, key_id, error_code, error_message, accepted_at, completed_at, input, input_sha256, cache, experiment, terms, latency_slo_ms, attempt_count: _count, stream_seq: _seq, ...same } = row;
  return {
    ...same,
    message: message ?? undefined,
    key_id: key_id ?? undefined,
    input: input ?? undefined,
    cache: cache ?? undefined,
    experiment: experiment ?? undefined,
    input_sha256: input_sha256 ?? undefined,
    terms: terms ?? undefined,
    latency_slo_ms: latency_slo_ms ?? undefined,
    type: "completion.v1",
    error: error_code === null ? null : { code: error_code, message: error_message ?? "" },
    accepted_at_ms: Date.parse(accepted_at),
    completed_at_ms: Date.parse(completed_at),
    attempts: attemptRows.map(toAttempt),
  };
}

/** Without the wait that a server asked for: it is over by now. */
function toAttempt(row: AttemptRow): unknown {
  const { attempt, tier, model, tries, latency_ms, cost_nano_usd, cost_is_partial, input_tokens, output_tokens, usage_source: source } = row;
  const replica = row.replica ?? undefined;
  const first_token_ms = row.first_token_ms ?? undefined;
  const outcome = row.outcome === "answered"
    ? { kind: "answered", is_sound: row.is_sound, confidence: row.confidence, confidence_source: row.confidence_source }
    : { kind: "failed", code: row.error_code, message: row.error_message };
  const usage = source === null ? null : {
    input_tokens, output_tokens, source, cached_input_tokens: row.cached_input_tokens ?? undefined, cache_write_input_tokens: row.cache_write_input_tokens ?? undefined, reasoning_output_tokens: row.reasoning_output_tokens ?? undefined,
    unpriced_tokens: row.unpriced_tokens ?? undefined, is_clamped: row.usage_is_clamped ? true : undefined, reported: row.reported_usage ?? undefined };
  return { attempt, tier, model, replica, tries, latency_ms, first_token_ms, rates: row.rates ?? undefined, charges: row.charges ?? undefined, checks: row.checks ?? undefined, cost_nano_usd, uncapped_cost_nano_usd: row.uncapped_cost_nano_usd ?? undefined, cost_is_partial, usage, outcome, started_at_ms: Date.parse(row.started_at) } satisfies Record<keyof Attempt, unknown>;
}
