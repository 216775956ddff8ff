import type { Attributes } from "@opentelemetry/api";

import { type Attempt, Completion, Job, Result } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { costOf, type Tier } from "#shared/contracts/tiers.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { completionSubject, resultSubject } from "#shared/messaging/topology.ts";
import { messagesAfter, readSaga } from "#shared/saga/messagesAfter.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";
import { traceIdOf } from "#shared/telemetry/traceparent.ts";

import type { Backend, BackendAnswer } from "./backends/backend.ts";
import { BackendError } from "./backends/backendError.ts";
import type { Breaker } from "./resilience/breaker.ts";
import { retry, type Tried } from "./resilience/retry.ts";

export interface JobDeps {
  readonly tier: Tier;
  readonly backend: Backend;
  readonly breaker: Breaker;
  readonly publisher: Publisher;
  readonly streams: StoredMessages;
  readonly prefix: string;
  readonly tracer: Tracer;
  readonly observe: (attempt: Attempt, isFinal: boolean) => void;
  readonly now: () => number;
  readonly random: () => number;
}

/** Runs one job: ends the request when the job's rule accepts the answer, asks the router otherwise. Idempotent. */
export const makeRunJob = (deps: JobDeps) => async (delivery: Delivery): Promise<void> => {
  const job = readEvent(Job, deps.prefix, delivery);
  if (delivery.mayBeRepeat && (await isDone(deps, job))) return;
  const attributes: Attributes = { "messaging.system": "nats", "messaging.operation.type": "process", "infer.tier": job.tier, "infer.attempt": job.attempt };
  await deps.tracer.span("process infer.job", { kind: "CONSUMER", parent: delivery.traceparent, attributes }, async (traceparent, annotate) => {
    const { result, output } = await runAttempt(deps, job, delivery.lease, traceparent);
    annotate({ "infer.outcome": result.outcome.kind, "infer.cost_nano_usd": result.cost_nano_usd });
    delivery.lease.throwIfAborted();
    await publishAfter(deps, job, { result, output }, { traceparent, delivery });
  });
};

/** An earlier delivery came this far: its result is there, or the request has ended. Whoever waits may have missed the reply. */
async function isDone({ streams, publisher, prefix }: JobDeps, job: Job): Promise<boolean> {
  const completion = await streams.last("COMPLETIONS", completionSubject(prefix, job));
  if (completion !== null) {
    publisher.reply(Completion.parse(completion.json()));
    return true;
  }
  const result = await streams.last("RESULTS", resultSubject(prefix, job, job.attempt));
  return result !== null && Result.safeParse(result.json()).success;
}

async function publishAfter({ publisher, observe, now }: JobDeps, job: Job, { result, output }: { result: Attempt; output: string | null }, { traceparent, delivery }: { traceparent: string; delivery: Delivery }): Promise<void> {
  const occasion = { nowMs: now(), traceId: traceIdOf(traceparent) };
  for (const message of messagesAfter(job.request, readSaga(job.saga), { type: "RESULT", result, output }, occasion)) {
    const { isDuplicate } = await publisher.emit(message, traceparent);
    observe(result, message.type === "completion.v1");
    if (!isDuplicate) continue;
    // It was paid for, but came too late to count: kept, and not charged to the request.
    const { tenant_id, request_id } = job;
    const { stream, seq: stream_seq, subject, deliveries } = delivery;
    await publisher.deadLetter({ type: "dead_letter.v1", stream, stream_seq, subject, tenant_id, request_id, reason: "late_result", message: "another outcome was stored first", deliveries, at_ms: now(), late_attempt: result });
  }
}

async function runAttempt(deps: JobDeps, job: Job, lease: AbortSignal, traceparent: string): Promise<{ result: Attempt; output: string | null }> {
  const { tier, now, random } = deps;
  const startedAtMs = now();
  const started = performance.now();
  const deadlineAtMs = Math.min(job.request.deadline_at_ms, startedAtMs + tier.timeout_ms);
  const tried = startedAtMs >= job.request.deadline_at_ms
    ? { tries: 0, outcome: { error: new BackendError("deadline_exceeded", "the deadline had passed before the call") } }
    : await callUntil(deps, job, { deadlineAtMs, lease, traceparent, now, random });
  const facts = { attempt: job.attempt, tier: tier.name, started_at_ms: startedAtMs, latency_ms: Math.round((performance.now() - started) * 1_000) / 1_000, tries: tried.tries };
  return "value" in tried.outcome ? answered(tier, facts, tried.outcome.value) : failed(tier, facts, tried.outcome.error);
}

interface Limits {
  readonly deadlineAtMs: number;
  readonly lease: AbortSignal;
  readonly traceparent: string;
  readonly now: () => number;
  readonly random: () => number;
}
async function callUntil({ backend, breaker, tier, tracer }: JobDeps, { request }: Job, { deadlineAtMs, lease, traceparent, now, random }: Limits): Promise<Tried<BackendAnswer>> {
  const timeout = AbortSignal.timeout(Math.max(1, deadlineAtMs - now()));
  const signal = AbortSignal.any([timeout, lease]);
  const attributes: Attributes = { "gen_ai.operation.name": "chat", "gen_ai.provider.name": tier.backend.kind, "gen_ai.request.model": tier.backend.model };
  const once = () => tracer.span(`chat ${tier.backend.model}`, { kind: "CLIENT", parent: traceparent, attributes }, async (inner, annotate) => {
    const answer = await backend.call(request.input, { signal, traceparent: inner });
    annotate({ "gen_ai.response.model": answer.model, "gen_ai.usage.input_tokens": answer.usage.input_tokens, "gen_ai.usage.output_tokens": answer.usage.output_tokens });
    return answer;
  });
  const call = () => breaker.call(() => once().catch((error: unknown) => { throw whyCut(error, timeout, request.deadline_at_ms <= deadlineAtMs); }));
  return retry(call, { maxTries: tier.max_tries, deadlineAtMs, signal, now, random });
}

/** An aborted call says only "aborted": was it the caller's deadline, or a backend that took longer than its tier allows? */
function whyCut(error: unknown, timeout: AbortSignal, isCallersDeadline: boolean): unknown {
  if (error instanceof BackendError || !timeout.aborted) return error;
  if (isCallersDeadline) return new BackendError("deadline_exceeded", "the deadline passed during the call", { mayHaveCost: true, cause: error });
  return new BackendError("backend_unavailable", "no answer within the tier's timeout_ms", { mayHaveCost: true, cause: error });
}

type AttemptFacts = Pick<Attempt, "attempt" | "tier" | "started_at_ms" | "latency_ms" | "tries">;

function answered(tier: Tier, facts: AttemptFacts, { output, model, usage, is_sound, confidence, confidence_source }: BackendAnswer) {
  const outcome = { kind: "answered", is_sound, confidence, confidence_source } as const;
  return { output, result: { ...facts, model, usage, cost_nano_usd: costOf(tier.price, usage), cost_is_partial: false, outcome } };
}

/** A failed call is an attempt too. Anything but a `BackendError` is a bug: thrown, so that the message is retried. */
function failed(tier: Tier, facts: AttemptFacts, error: unknown) {
  if (!(error instanceof BackendError)) throw error;
  const outcome = { kind: "failed", code: error.code, message: error.message } as const;
  return { output: null, result: { ...facts, model: tier.backend.model, usage: null, cost_nano_usd: nanoUsd(0), cost_is_partial: error.mayHaveCost, outcome } };
}
