/** One paid call of a tier's model, with its replicas and retries, as an attempt with its cost. For jobs and shadow jobs alike. */
import type { Attributes } from "@opentelemetry/api";

import type { AnswerDelta, AnswerMessage, Input } from "#shared/contracts/chat.ts";
import type { Attempt } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { costOf, type Rates, replicasOf, type Tier } from "#shared/contracts/tiers.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";

import type { BackendAnswer } from "./backends/backend.ts";
import { BackendError } from "./backends/backendError.ts";
import type { Balanced, Replica } from "./resilience/balanced.ts";
import { retry, type Tried } from "./resilience/retry.ts";

export interface CallDeps {
  readonly tier: Tier;
  readonly replicas: Balanced;
  readonly tracer: Tracer;
  readonly now: () => number;
  readonly random: () => number;
}
export interface Task {
  readonly tenantId: string;
  readonly input: Input;
  readonly attempt: number;
  /** Of whoever waits for the answer, in epoch milliseconds; `Infinity`: nobody waits, and the tier's `timeout_ms` alone ends the call. */
  readonly deadlineAtMs: number;
  readonly lease: AbortSignal;
  readonly traceparent: string;
  /** Told of the answer piece by piece, and who gives it, where somebody may see it grow. */
  readonly onDelta?: (delta: AnswerDelta, replica: Replica) => void;
  /** Aborts when nobody waits any more. */
  readonly cancelled?: AbortSignal;
}
export interface Run {
  readonly result: Attempt;
  /** `null`: the attempt failed. */
  readonly output: string | null;
  readonly message?: AnswerMessage;
}

/**
 * Makes `run` give the same again for the same lease: a message that is held through an outage is handled again, but its
 * call is not paid again. Its lease stays the same.
 */
export function oncePerLease<R>(): (lease: AbortSignal, run: () => Promise<R>) => Promise<R> {
  const inHand = new WeakMap<AbortSignal, R>();
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
  const seen: Seen = { failed: new Set() };
  const { onDelta } = task;
  const watched: Task = onDelta === undefined ? task : { ...task, onDelta: (delta, replica) => { seen.firstTokenMs ??= rounded(performance.now() - started); onDelta(delta, replica); } };
  const tried = startedAtMs >= task.deadlineAtMs
    ? { tries: 0, mayHaveCost: false, outcome: { error: new BackendError("deadline_exceeded", "the deadline had passed before the call") } }
    : await callUntil(deps, watched, deadlineAtMs, seen);
  const facts = {
    attempt: task.attempt, tier: tier.name, started_at_ms: startedAtMs, latency_ms: rounded(performance.now() - started), tries: tried.tries, cost_is_partial: tried.mayHaveCost,
    ...(seen.firstTokenMs === undefined ? {} : { first_token_ms: seen.firstTokenMs }),
    ...(seen.last === undefined || tier.replicas === undefined ? {} : { replica: seen.last.name }),
  };
  const { backend: { model }, price } = seen.last ?? replicasOf(tier)[0];
  return "value" in tried.outcome ? answered(price, facts, tried.outcome.value) : failed(price, { ...facts, model }, tried.outcome.error);
}

/** What is known of an attempt while it runs. */
interface Seen {
  /** Pieces of an answer were told, so that it cannot be begun again. */
  firstTokenMs?: number;
  /** Who was called last. */
  last?: Replica;
  /** Names of replicas. */
  readonly failed: Set<string>;
}

const rounded = (ms: number): number => Math.round(ms * 1_000) / 1_000;

async function callUntil({ replicas, tier, tracer, now, random }: CallDeps, task: Task, deadlineAtMs: number, seen: Seen): Promise<Tried<BackendAnswer>> {
  const { tenantId, input, deadlineAtMs: callersDeadlineAtMs, lease, traceparent, onDelta, cancelled } = task;
  const timeout = AbortSignal.timeout(Math.max(1, deadlineAtMs - now()));
  const signal = AbortSignal.any([timeout, lease, ...(cancelled === undefined ? [] : [cancelled])]);
  const once = (replica: Replica) => {
    const { name, backend: { kind, model }, server } = replica;
    const attributes: Attributes = { "gen_ai.operation.name": "chat", "gen_ai.provider.name": kind, "gen_ai.request.model": model, "infer.replica": name };
    return tracer.span(`chat ${model}`, { kind: "CLIENT", parent: traceparent, attributes }, async (inner, annotate) => {
      const answer = await server.call(input, { signal, traceparent: inner, ...(onDelta === undefined ? {} : { onDelta: (delta: AnswerDelta) => { onDelta(delta, replica); } }) });
      annotate({ "gen_ai.response.model": answer.model, "gen_ai.usage.input_tokens": answer.usage.input_tokens, "gen_ai.usage.output_tokens": answer.usage.output_tokens });
      return answer;
    });
  };
  const call = () => replicas.call({ tenantId, input, avoid: seen.failed }, (replica) => {
    seen.last = replica;
    const startedAtMs = performance.now();
    const why = (error: unknown) => whyCut(error, { timeout, lease, cancelled, isCallersDeadline: callersDeadlineAtMs <= deadlineAtMs, hadItsTime: performance.now() - startedAtMs >= tier.prior.latency_p95_ms });
    return once(replica).catch((error: unknown) => {
      seen.failed.add(replica.name);
      throw why(error);
    });
  });
  return retry(call, { maxTries: tier.max_tries, isOver: () => seen.firstTokenMs !== undefined, canGoElsewhere: () => replicas.hasOther(seen.failed), deadlineAtMs, signal, now, random });
}

interface Cut {
  readonly timeout: AbortSignal;
  readonly lease: AbortSignal;
  readonly cancelled: AbortSignal | undefined;
  readonly isCallersDeadline: boolean;
  /** It ran for longer than this tier's calls usually do. */
  readonly hadItsTime: boolean;
}
/** An aborted call says only "aborted": was it the caller's deadline, a backend that took longer than its tier allows, or a lost lease? */
function whyCut(error: unknown, { timeout, lease, cancelled, isCallersDeadline, hadItsTime }: Cut): unknown {
  if (error instanceof BackendError) return error;
  if (lease.aborted) return new BackendError("backend_unavailable", "the call was cut off: this worker lost the job", { mayHaveCost: true, isBackendsFault: false, cause: error });
  if (cancelled?.aborted === true) return new BackendError("cancelled", "the caller went away", { mayHaveCost: true, isBackendsFault: false, cause: error });
  if (!timeout.aborted) return error;
  if (isCallersDeadline) return new BackendError("deadline_exceeded", "the deadline passed during the call", { mayHaveCost: true, isBackendsFault: hadItsTime, cause: error });
  return new BackendError("backend_unavailable", "no answer within the tier's timeout_ms", { mayHaveCost: true, cause: error });
}

type AttemptFacts = Pick<Attempt, "attempt" | "tier" | "replica" | "started_at_ms" | "latency_ms" | "first_token_ms" | "tries" | "cost_is_partial">;

function answered(price: Rates, facts: AttemptFacts, { output, message, model, usage, is_sound, confidence, confidence_source }: BackendAnswer): Run {
  const outcome = { kind: "answered", is_sound, confidence, confidence_source } as const;
  return { output, ...(message === undefined ? {} : { message }), result: { ...facts, model, usage, cost_nano_usd: costOf(price, usage), outcome } };
}

/** A failed call is an attempt too. Anything but a `BackendError` is a bug: thrown, so that the message is retried. */
function failed(price: Rates, facts: AttemptFacts & Pick<Attempt, "model">, error: unknown): Run {
  if (!(error instanceof BackendError)) throw error;
  const outcome = { kind: "failed", code: error.code, message: error.message } as const;
  const { usage } = error;
  return { output: null, result: { ...facts, usage, cost_nano_usd: usage === null ? nanoUsd(0) : costOf(price, usage), outcome } };
}
