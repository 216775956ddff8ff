/** One paid call of a tier's model, with its breaker and retries, as an attempt with its cost. For jobs and shadow jobs alike. */
import type { Attributes } from "@opentelemetry/api";

import { type AnswerDelta, type AnswerMessage, askedIn, type Input } from "#shared/contracts/chat.ts";
import type { Attempt, Usage } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { costOf, type Tier } from "#shared/contracts/tiers.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";

import { assess, type Assessed, type AssessOptions } from "./assess.ts";
import type { Backend, BackendAnswer } from "./backends/backend.ts";
import { BackendError, CutOff } from "./backends/backendError.ts";
import { isInAskedScript } from "./confidence/language.ts";
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
  readonly input: Input;
  readonly attempt: number;
  /** Of whoever waits for the answer, in epoch milliseconds; `Infinity`: nobody waits, and the tier's `timeout_ms` alone ends the call. */
  readonly deadlineAtMs: number;
  readonly lease: AbortSignal;
  readonly traceparent: string;
  /** Told of the answer piece by piece, where somebody may see it grow. */
  readonly onDelta?: (delta: AnswerDelta) => void;
  /** How the confidence is found, and whether a rule reads it; absent: as the backend says. */
  readonly judged?: Pick<AssessOptions, "method" | "earlier" | "isRead">;
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
  const first: { tokenMs?: number } = {};
  const { onDelta } = task;
  const watched: Task = onDelta === undefined ? task : { ...task, onDelta: (delta) => { first.tokenMs ??= rounded(performance.now() - started); onDelta(delta); } };
  const tried = startedAtMs >= task.deadlineAtMs
    ? { tries: 0, mayHaveCost: false, spent: [], outcome: { error: new BackendError("deadline_exceeded", "the deadline had passed before the call") } }
    : await callUntil(deps, watched, deadlineAtMs, () => first.tokenMs !== undefined);
  const assessed = "value" in tried.outcome ? await assessedIn(deps, task, tried.outcome.value, deadlineAtMs) : null;
  const facts = { attempt: task.attempt, tier: tier.name, started_at_ms: startedAtMs, latency_ms: rounded(performance.now() - started), ...(first.tokenMs === undefined ? {} : { first_token_ms: first.tokenMs }), tries: tried.tries };
  const billedCalls = { ...facts, cost_is_partial: tried.mayHaveCost, ...billed(tier, tried) };
  if ("error" in tried.outcome) return failed(billedCalls, tried.outcome.error);
  return answered(billedCalls, { ...tried.outcome.value, checks: [], ...assessed });
}

/** What is sound and how sure it is, as the tier judges its answers. */
async function assessedIn(deps: CallDeps, { input, judged, lease, cancelled, traceparent }: Task, whole: BackendAnswer, deadlineAtMs: number): Promise<Assessed & Pick<BackendAnswer, "is_sound">> {
  const is_sound = whole.is_sound && (!deps.tier.same_script || isInAskedScript(askedIn(input), whole.output));
  const { confidence, confidence_source } = whole;
  if (judged === undefined) return { is_sound, confidence, confidence_source, checks: [] };
  const signal = AbortSignal.any([AbortSignal.timeout(Math.max(1, deadlineAtMs - deps.now())), lease, ...(cancelled === undefined ? [] : [cancelled])]);
  return { is_sound, ...(await assess(deps, { ...judged, input, answer: { ...whole, is_sound }, signal, traceparent })) };
}

const rounded = (ms: number): number => Math.round(ms * 1_000) / 1_000;

/** `isShown`: pieces of an answer were told, so that it cannot be begun again. */
async function callUntil({ backend, breaker, tier, tracer, now, random }: CallDeps, task: Task, deadlineAtMs: number, isShown: () => boolean): Promise<Tried<BackendAnswer>> {
  const { input, deadlineAtMs: callersDeadlineAtMs, lease, traceparent, onDelta, cancelled } = task;
  const timeout = AbortSignal.timeout(Math.max(1, deadlineAtMs - now()));
  const signal = AbortSignal.any([timeout, lease, ...(cancelled === undefined ? [] : [cancelled])]);
  const attributes: Attributes = { "gen_ai.operation.name": "chat", "gen_ai.provider.name": tier.backend.kind, "gen_ai.request.model": tier.backend.model };
  const once = () => tracer.span(`chat ${tier.backend.model}`, { kind: "CLIENT", parent: traceparent, attributes }, async (inner, annotate) => {
    const answer = await backend.call(input, { signal, traceparent: inner, ...(onDelta === undefined ? {} : { onDelta }) });
    annotate({ "gen_ai.response.model": answer.model, "gen_ai.usage.input_tokens": answer.usage.input_tokens, "gen_ai.usage.output_tokens": answer.usage.output_tokens });
    return answer;
  });
  const call = () => {
    const startedAtMs = performance.now();
    const why = (error: unknown) => whyCut(error, { timeout, lease, cancelled, isCallersDeadline: callersDeadlineAtMs <= deadlineAtMs, hadItsTime: performance.now() - startedAtMs >= tier.prior.latency_p95_ms });
    return breaker.call(() => once().catch((error: unknown) => { throw why(error); }));
  };
  return retry(call, { maxTries: tier.max_tries, isOver: isShown, deadlineAtMs, signal, now, random });
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
  const usage = error instanceof CutOff ? error.usage : null;
  const details = { mayHaveCost: usage?.source !== "reported", ...(usage === null ? {} : { usage }), cause: error };
  if (lease.aborted) return new BackendError("backend_unavailable", "the call was cut off: this worker lost the job", { ...details, isBackendsFault: false });
  if (cancelled?.aborted === true) return new BackendError("cancelled", "the caller went away", { ...details, isBackendsFault: false });
  if (!timeout.aborted) return error;
  if (isCallersDeadline) return new BackendError("deadline_exceeded", "the deadline passed during the call", { ...details, isBackendsFault: hadItsTime });
  return new BackendError("backend_unavailable", "no answer within the tier's timeout_ms", details);
}

/** Every call for itself, as the server charges it; their tokens together. */
function billed({ price, backend }: Tier, { spent, outcome }: Tried<BackendAnswer>): Pick<Attempt, "model" | "usage" | "cost_nano_usd"> {
  const answer = "value" in outcome ? outcome.value : null;
  const last = answer?.usage ?? ("error" in outcome && outcome.error instanceof BackendError ? outcome.error.usage : null);
  const usages = last === null ? spent : [...spent, last];
  const cost_nano_usd = nanoUsd(usages.reduce((sum, usage) => sum + costOf(price, usage), 0));
  return { model: answer?.model ?? backend.model, usage: usages.length === 0 ? null : usages.reduce(together), cost_nano_usd };
}

function together(a: Usage, b: Usage): Usage {
  const sum = (key: "cached_input_tokens" | "reasoning_output_tokens") => (a[key] === undefined && b[key] === undefined ? {} : { [key]: (a[key] ?? 0) + (b[key] ?? 0) });
  return {
    input_tokens: a.input_tokens + b.input_tokens,
    output_tokens: a.output_tokens + b.output_tokens,
    ...sum("cached_input_tokens"),
    ...sum("reasoning_output_tokens"),
    source: a.source === "reported" ? b.source : a.source,
  };
}

type Billed = Omit<Attempt, "outcome">;

function answered(billedCalls: Billed, { output, message, is_sound, confidence, confidence_source, checks }: Omit<BackendAnswer, "confidence_source"> & Assessed): Run {
  const outcome = { kind: "answered", is_sound, confidence, confidence_source } as const;
  const cost_nano_usd = nanoUsd(checks.reduce((sum, check) => sum + check.cost_nano_usd, Number(billedCalls.cost_nano_usd)));
  return { output, ...(message === undefined ? {} : { message }), result: { ...billedCalls, cost_nano_usd, ...(checks.length === 0 ? {} : { checks: [...checks] }), outcome } };
}

/** A failed call is an attempt too. Anything but a `BackendError` is a bug: thrown, so that the message is retried. */
function failed(billedCall: Billed, error: unknown): Run {
  if (!(error instanceof BackendError)) throw error;
  const outcome = { kind: "failed", code: error.code, message: error.message } as const;
  return { output: null, result: { ...billedCall, outcome } };
}
