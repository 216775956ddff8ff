/** One paid call of a tier's model, with its breaker and retries, as an attempt with its cost. For jobs and shadow jobs alike. */
import type { Attributes } from "@opentelemetry/api";

import type { Attempt } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { costOf, type Tier } from "#shared/contracts/tiers.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";

import type { Backend, BackendAnswer } from "./backends/backend.ts";
import { BackendError } from "./backends/backendError.ts";
import type { Breaker } from "./resilience/breaker.ts";
import { retry, type Tried } from "./resilience/retry.ts";

export interface CallDeps {
  readonly tier: Tier;
  readonly backend: Backend;
  readonly breaker: Breaker;
  readonly tracer: Tracer;
  readonly now: () => number;
  readonly random: () => number;
}
export interface Task {
  readonly input: string;
  readonly attempt: number;
  /** Of whoever waits for the answer, in epoch milliseconds; `Infinity`: nobody waits, and the tier's `timeout_ms` alone ends the call. */
  readonly deadlineAtMs: number;
  readonly lease: AbortSignal;
  readonly traceparent: string;
}
export interface Run {
  readonly result: Attempt;
  /** `null`: the attempt failed. */
  readonly output: string | null;
}

/**
 * Makes `run` give the same again for the same lease: a message that is held through an outage is handled again, but its
 * call is not paid again. Its lease stays the same.
 */
export function oncePerLease(): (lease: AbortSignal, run: () => Promise<Run>) => Promise<Run> {
  const inHand = new WeakMap<AbortSignal, Run>();
  return async (lease, run) => {
    const found = inHand.get(lease) ?? (await run());
    inHand.set(lease, found);
    return found;
  };
}

/** Runs one attempt. A call that fails is an attempt too; what it throws is a bug. */
export async function runAttempt(deps: CallDeps, task: Task): Promise<Run> {
  const { tier, now } = deps;
  const startedAtMs = now();
  const started = performance.now();
  const deadlineAtMs = Math.min(task.deadlineAtMs, startedAtMs + tier.timeout_ms);
  const tried = startedAtMs >= task.deadlineAtMs
    ? { tries: 0, mayHaveCost: false, outcome: { error: new BackendError("deadline_exceeded", "the deadline had passed before the call") } }
    : await callUntil(deps, task, deadlineAtMs);
  const facts = { attempt: task.attempt, tier: tier.name, started_at_ms: startedAtMs, latency_ms: Math.round((performance.now() - started) * 1_000) / 1_000, tries: tried.tries };
  const cost_is_partial = tried.mayHaveCost;
  return "value" in tried.outcome ? answered(tier, { ...facts, cost_is_partial }, tried.outcome.value) : failed(tier, { ...facts, cost_is_partial }, tried.outcome.error);
}

async function callUntil({ backend, breaker, tier, tracer, now, random }: CallDeps, { input, deadlineAtMs: callersDeadlineAtMs, lease, traceparent }: Task, deadlineAtMs: number): Promise<Tried<BackendAnswer>> {
  const timeout = AbortSignal.timeout(Math.max(1, deadlineAtMs - now()));
  const signal = AbortSignal.any([timeout, lease]);
  const attributes: Attributes = { "gen_ai.operation.name": "chat", "gen_ai.provider.name": tier.backend.kind, "gen_ai.request.model": tier.backend.model };
  const once = () => tracer.span(`chat ${tier.backend.model}`, { kind: "CLIENT", parent: traceparent, attributes }, async (inner, annotate) => {
    const answer = await backend.call(input, { signal, traceparent: inner });
    annotate({ "gen_ai.response.model": answer.model, "gen_ai.usage.input_tokens": answer.usage.input_tokens, "gen_ai.usage.output_tokens": answer.usage.output_tokens });
    return answer;
  });
  const call = () => {
    const startedAtMs = performance.now();
    const why = (error: unknown) => whyCut(error, { timeout, lease, isCallersDeadline: callersDeadlineAtMs <= deadlineAtMs, hadItsTime: performance.now() - startedAtMs >= tier.prior.latency_p95_ms });
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
