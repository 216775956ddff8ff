import type { Attributes } from "@opentelemetry/api";

import { type Attempt, Completion, Job, Result } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { costOf, type Tier } from "#shared/contracts/tiers.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { readStored } from "#shared/messaging/readStored.ts";
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
  readonly observe: (job: Job, attempt: Attempt, end: { isFinal: boolean; traceId: string }) => void;
  readonly now: () => number;
  readonly random: () => number;
}

interface Run {
  readonly result: Attempt;
  readonly output: string | null;
}

/** Runs one job: ends the request when the job's rule accepts the answer, asks the router otherwise. Idempotent. */
export const makeRunJob = (deps: JobDeps) => {
  // A message that is held through an outage is handled again, but its call is not paid again. Its lease stays the same.
  const inHand = new WeakMap<AbortSignal, Run>();
  return async (delivery: Delivery): Promise<void> => {
    const { lease } = delivery;
    const job = readEvent(Job, deps.prefix, delivery);
    if (delivery.mayBeRepeat && (await isDone(deps, job))) return;
    const attributes: Attributes = { "messaging.system": "nats", "messaging.operation.type": "process", "infer.tier": job.tier, "infer.attempt": job.attempt };
    await deps.tracer.span("process infer.job", { kind: "CONSUMER", parent: delivery.traceparent, attributes }, async (traceparent, annotate) => {
      const run = inHand.get(lease) ?? (await runAttempt(deps, job, lease, traceparent));
      inHand.set(lease, run);
      annotate({ "infer.outcome": run.result.outcome.kind, "infer.cost_nano_usd": run.result.cost_nano_usd });
      if (lease.aborted) {
        await keepLate(deps, job, run.result, delivery);
        throw lease.reason;
      }
      await publishAfter(deps, job, run, { traceparent, delivery });
    });
  };
};

/** An earlier delivery came this far: its result is there, or the request has ended. Whoever waits may have missed the reply. */
async function isDone({ streams, publisher, prefix }: JobDeps, job: Job): Promise<boolean> {
  const completion = await streams.last("COMPLETIONS", completionSubject(prefix, job));
  if (completion !== null) {
    const stored = readStored(Completion, completion);
    if (stored !== null) publisher.reply(stored);
    return true;
  }
  const result = await streams.last("RESULTS", resultSubject(prefix, job, job.attempt));
  return result !== null && readStored(Result, result) !== null;
}

async function publishAfter(deps: JobDeps, job: Job, { result, output }: Run, { traceparent, delivery }: { traceparent: string; delivery: Delivery }): Promise<void> {
  const traceId = traceIdOf(traceparent);
  for (const message of messagesAfter(job.request, readSaga(job.saga), { type: "RESULT", result, output }, { nowMs: deps.now(), traceId })) {
    const { isDuplicate } = await deps.publisher.emit(message, traceparent);
    deps.observe(job, result, { isFinal: message.type === "completion.v1", traceId });
    if (isDuplicate) await keepLate(deps, job, result, delivery);
  }
}

/** It was paid for, but came too late to count: kept, and not charged to the request. */
async function keepLate({ publisher, now }: JobDeps, { tenant_id, request_id }: Job, late_attempt: Attempt, { stream, seq: stream_seq, subject, deliveries }: Delivery): Promise<void> {
  const message = "another outcome was stored first, or another worker has the job";
  await publisher.deadLetter({ type: "dead_letter.v1", stream, stream_seq, subject, tenant_id, request_id, reason: "late_result", message, deliveries, at_ms: now(), late_attempt });
}

async function runAttempt(deps: JobDeps, job: Job, lease: AbortSignal, traceparent: string): Promise<Run> {
  const { tier, now, random } = deps;
  const startedAtMs = now();
  const started = performance.now();
  const deadlineAtMs = Math.min(job.request.deadline_at_ms, startedAtMs + tier.timeout_ms);
  const tried = startedAtMs >= job.request.deadline_at_ms
    ? { tries: 0, mayHaveCost: false, outcome: { error: new BackendError("deadline_exceeded", "the deadline had passed before the call") } }
    : await callUntil(deps, job, { deadlineAtMs, lease, traceparent, now, random });
  const facts = { attempt: job.attempt, tier: tier.name, started_at_ms: startedAtMs, latency_ms: Math.round((performance.now() - started) * 1_000) / 1_000, tries: tried.tries };
  const cost_is_partial = tried.mayHaveCost;
  return "value" in tried.outcome ? answered(tier, { ...facts, cost_is_partial }, tried.outcome.value) : failed(tier, { ...facts, cost_is_partial }, tried.outcome.error);
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
  const call = () => {
    const startedAtMs = performance.now();
    const why = (error: unknown) => whyCut(error, { timeout, lease, isCallersDeadline: request.deadline_at_ms <= deadlineAtMs, hadItsTime: performance.now() - startedAtMs >= tier.prior.latency_p95_ms });
    return breaker.call(() => once().catch((error: unknown) => { throw why(error); }));
  };
  return retry(call, { maxTries: tier.max_tries, deadlineAtMs, signal, now, random });
}

interface Cut {
  readonly timeout: AbortSignal;
  readonly lease: AbortSignal;
  readonly isCallersDeadline: boolean;
  /** It ran for longer than this tier's calls usually do. */
  readonly hadItsTime: boolean;
}
/** An aborted call says only "aborted": was it the caller's deadline, a backend that took longer than its tier allows, or a lost lease? */
function whyCut(error: unknown, { timeout, lease, isCallersDeadline, hadItsTime }: Cut): unknown {
  if (error instanceof BackendError) return error;
  if (lease.aborted) return new BackendError("backend_unavailable", "the call was cut off: this worker lost the job", { mayHaveCost: true, isBackendsFault: false, cause: error });
  if (!timeout.aborted) return error;
  if (isCallersDeadline) return new BackendError("deadline_exceeded", "the deadline passed during the call", { mayHaveCost: true, isBackendsFault: hadItsTime, cause: error });
  return new BackendError("backend_unavailable", "no answer within the tier's timeout_ms", { mayHaveCost: true, cause: error });
}

type AttemptFacts = Pick<Attempt, "attempt" | "tier" | "started_at_ms" | "latency_ms" | "tries" | "cost_is_partial">;

function answered(tier: Tier, facts: AttemptFacts, { output, model, usage, is_sound, confidence, confidence_source }: BackendAnswer) {
  const outcome = { kind: "answered", is_sound, confidence, confidence_source } as const;
  return { output, result: { ...facts, model, usage, cost_nano_usd: costOf(tier.price, usage), outcome } };
}

/** A failed call is an attempt too. Anything but a `BackendError` is a bug: thrown, so that the message is retried. */
function failed(tier: Tier, facts: AttemptFacts, error: unknown) {
  if (!(error instanceof BackendError)) throw error;
  const outcome = { kind: "failed", code: error.code, message: error.message } as const;
  return { output: null, result: { ...facts, model: tier.backend.model, usage: null, cost_nano_usd: nanoUsd(0), outcome } };
}
