import type { AnswerMessage } from "#shared/contracts/chat.ts";
import type { Attempt, Completion } from "#shared/contracts/events.ts";
import { toReply } from "#shared/contracts/reply.ts";
import { requestCompleted } from "#shared/contracts/webhook.ts";
import type { attempts, requests } from "#shared/db/schema/audit.ts";
import { type BookedRequest, bookedRequestOf, type Line, linesOfCompletion } from "#shared/ledger/linesOf.ts";
import type { WebhookEvent } from "#shared/webhooks/deliveries.ts";

export type RequestRow = typeof requests.$inferInsert;
export type AttemptRow = typeof attempts.$inferInsert;
export interface Rows {
  readonly request: RequestRow;
  readonly attempts: readonly AttemptRow[];
  /** For the books. */
  readonly booked: BookedRequest;
  readonly lines: readonly Line[];
  /** What its webhook endpoints are told, where the request asked for it. */
  readonly told: WebhookEvent | null;
}

const iso = (epochMs: number) => new Date(epochMs).toISOString();

/** Pure: an audit event as its rows. `streamSeq` is its place in COMPLETIONS, so reading it again gives the same rows. */
export function toRows(event: Completion, streamSeq: number): Rows {
  const { tenant_id, request_id } = event;
  const request: RequestRow = {
    tenant_id, request_id,
    user_id: event.user_id,
    key_id: event.key_id ?? null,
    outcome: event.outcome,
    degraded_reason: event.degraded_reason,
    error_code: event.error?.code ?? null,
    error_message: event.error?.message ?? null,
    policy: event.policy,
    experiment: event.experiment ?? null,
    task: event.task,
    tier: event.tier,
    model: event.model,
    confidence: event.confidence,
    confidence_source: event.confidence_source,
    cost_nano_usd: event.cost_nano_usd,
    baseline_tier: event.baseline_tier,
    baseline_cost_nano_usd: event.baseline_cost_nano_usd,
    budget_nano_usd: event.budget_nano_usd,
    attempt_count: event.attempts.length,
    latency_ms: event.latency_ms,
    latency_slo_ms: event.latency_slo_ms ?? null,
    accepted_at: iso(event.accepted_at_ms),
    completed_at: iso(event.completed_at_ms),
    origin: event.origin,
    output: event.output,
    message: event.message === undefined ? null : withoutVectors(event.message),
    input_bytes: event.input_bytes,
    input_sha256: event.input_sha256 ?? null,
    input: event.input ?? null,
    fingerprint: event.fingerprint,
    metadata: event.metadata,
    cache: event.cache ?? null,
    decisions: event.decisions,
    terms: event.terms ?? null,
    trace_id: event.trace_id,
    stream_seq: streamSeq,
  };
  const lines = linesOfCompletion(event, streamSeq);
  return {
    request, attempts: event.attempts.map((attempt) => ({ tenant_id, request_id, ...toAttemptRow(attempt) })), told: event.webhook === true ? toWebhook(event) : null,
    booked: bookedRequestOf(event, streamSeq, lines), lines,
  };
}

/** An id may be used again after some days, for another event. */
const toWebhook = (event: Completion): WebhookEvent => ({
  tenant_id: event.tenant_id, type: "request.completed", occurrence: `${event.request_id} ${event.completed_at_ms}`, payload: requestCompleted(toReply(event), event.completed_at_ms),
});

/** They are larger than all else together, and a model makes them again from the same texts; COMPLETIONS has them for its time. */
function withoutVectors({ vectors: _vectors, ...message }: AnswerMessage): AnswerMessage {
  return message;
}

function toAttemptRow({ outcome, usage, started_at_ms, ...rest }: Attempt): Omit<AttemptRow, "tenant_id" | "request_id"> {
  const answer = outcome.kind === "answered" ? outcome : null;
  return {
    attempt: rest.attempt,
    tier: rest.tier,
    model: rest.model,
    replica: rest.replica ?? null,
    outcome: outcome.kind,
    error_code: outcome.kind === "failed" ? outcome.code : null,
    error_message: outcome.kind === "failed" ? outcome.message : null,
    is_sound: answer?.is_sound ?? null,
    confidence: answer?.confidence ?? null,
    confidence_source: answer?.confidence_source ?? null,
    tries: rest.tries,
    input_tokens: usage?.input_tokens ?? null,
    output_tokens: usage?.output_tokens ?? null,
    cached_input_tokens: usage?.cached_input_tokens ?? null,
    cache_write_input_tokens: usage?.cache_write_input_tokens ?? null,
    reasoning_output_tokens: usage?.reasoning_output_tokens ?? null,
    unpriced_tokens: usage?.unpriced_tokens ?? null,
    usage_source: usage?.source ?? null,
    usage_is_clamped: usage?.is_clamped ?? false,
    reported_usage: usage?.reported ?? null,
    cost_nano_usd: rest.cost_nano_usd,
    uncapped_cost_nano_usd: rest.uncapped_cost_nano_usd ?? null,
    rates: rest.rates ?? null,
    charges: rest.charges ?? null,
    checks: rest.checks ?? null,
    cost_is_partial: rest.cost_is_partial,
    started_at: iso(started_at_ms),
    latency_ms: rest.latency_ms,
    first_token_ms: rest.first_token_ms ?? null,
  };
}
