/** One call of a replica, the answer's own or a check's, within the limits of its attempt. */
import { bytesOf, type Input } from "#shared/contracts/chat.ts";
import type { Usage } from "#shared/contracts/events.ts";
import { mostTokensOf } from "#shared/contracts/mostTokens.ts";
import { costOf, ratesFor, ratesOf } from "#shared/contracts/rates.ts";
import type { Tier } from "#shared/contracts/tiers.ts";
import { answerAttributes, callAttributes, callName, inputContent, outputContent, usageAttributes } from "#shared/telemetry/attributes.ts";
import { isSampled } from "#shared/telemetry/traceparent.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";

import type { BackendAnswer, CallOptions } from "./backends/backend.ts";
import { BackendError, CutOff } from "./backends/backendError.ts";
import { plausibleUsage, saidBytesOf } from "./plausibleUsage.ts";
import type { Replica } from "./resilience/balanced.ts";

/** What ends a call early. */
export interface Limits {
  /** Of an attempt, in epoch milliseconds. */
  readonly deadlineAtMs: number;
  /** The deadline is that of whoever waits, not the tier's own. */
  readonly isCallersDeadline: boolean;
  readonly isTimedOut: () => boolean;
  readonly lease: AbortSignal;
  readonly cancelled: AbortSignal | undefined;
  /** Aborts at the first of them. */
  readonly signal: AbortSignal;
  /** The attempt is over: nothing aborts any more. */
  readonly end: () => void;
}
/** By hand: `AbortSignal.any` and `.timeout` leave weak references to the garbage collector, some for each call, and it spends more on them than the call costs here. */
export function limitsOf({ deadlineAtMs: callersDeadlineAtMs, lease, cancelled }: { readonly deadlineAtMs: number; readonly lease: AbortSignal; readonly cancelled?: AbortSignal }, { timeout_ms }: Pick<Tier, "timeout_ms">, nowMs: number): Limits {
  const tiersDeadlineAtMs = nowMs + timeout_ms;
  const deadlineAtMs = Math.min(callersDeadlineAtMs, tiersDeadlineAtMs);
  const stop = new AbortController();
  const ends = cancelled === undefined ? [lease] : [lease, cancelled];
  const abort = () => { stop.abort(ends.find(({ aborted }) => aborted)?.reason); };
  let isTimedOut = false;
  const timer = setTimeout(() => {
    isTimedOut = true;
    stop.abort(new DOMException("the attempt's time is up", "TimeoutError"));
  }, Math.max(1, deadlineAtMs - nowMs));
  for (const end of ends) end.addEventListener("abort", abort, { once: true });
  if (ends.some(({ aborted }) => aborted)) abort();
  return {
    deadlineAtMs, isCallersDeadline: callersDeadlineAtMs <= tiersDeadlineAtMs, isTimedOut: () => isTimedOut, lease, cancelled, signal: stop.signal,
    end() {
      clearTimeout(timer);
      for (const end of ends) end.removeEventListener("abort", abort);
    },
  };
}

interface CallContext {
  readonly tier: Pick<Tier, "prior">;
  readonly tracer: Tracer;
  readonly limits: Limits;
  readonly traceparent: string;
  /** Its tenant has prompts stored, so that spans may hold what is asked where they are to. */
  readonly mayTraceContent?: boolean | undefined;
}
/** In a span of its own. Its usage, also that of an error, is what can be charged for. Throws `BackendError`, also when a limit cut it off; anything else is a bug. */
export async function callReplica({ tier, tracer, limits, traceparent, mayTraceContent = false }: CallContext, { name, backend, server, price }: Replica, input: Input, { onDelta }: Pick<CallOptions, "onDelta"> = {}): Promise<BackendAnswer> {
  const startedAtMs = performance.now();
  const size = { most: mostTokensOf(backend, input), inputBytes: bytesOf(input) };
  const costNanoUsd = (usage: Usage) => costOf(ratesOf(ratesFor(price, usage.input_tokens)), usage);
  const tracesContent = mayTraceContent && tracer.tracesContent === true;
  const attributes = () => ({ ...callAttributes(backend, input, { replica: name, streams: onDelta !== undefined }), ...(tracesContent ? inputContent(input) : {}) });
  return tracer.span(callName(backend, input), { kind: "CLIENT", parent: traceparent, attributes }, async (inner, annotate) => {
    let firstChunkS: number | undefined;
    const watched: typeof onDelta = onDelta === undefined ? undefined : (delta, tokens) => {
      firstChunkS ??= (performance.now() - startedAtMs) / 1_000;
      onDelta(delta, tokens);
    };
    try {
      const told = await server.call(input, { signal: limits.signal, traceparent: inner, ...(watched === undefined ? {} : { onDelta: watched }) });
      const answer = { ...told, usage: plausibleUsage(told.usage, { ...size, saidBytes: saidBytesOf(told) }) };
      if (isSampled(inner)) annotate({ ...answerAttributes(answer, costNanoUsd(answer.usage), firstChunkS), ...(tracesContent ? outputContent(answer.output, answer.message) : {}) });
      return answer;
    } catch (error) {
      const known = billable(whyCut(error, limits, performance.now() - startedAtMs >= tier.prior.latency_p95_ms), (usage) => plausibleUsage(usage, { ...size, saidBytes: 0 }));
      if (isSampled(inner) && known instanceof BackendError && known.usage !== null) annotate(usageAttributes(known.usage, costNanoUsd(known.usage)));
      throw known;
    }
  });
}

const billable = (error: unknown, charged: (told: Usage) => Usage): unknown => (error instanceof BackendError && error.usage !== null ? error.withUsage(charged(error.usage)) : error);

/**
 * An aborted call says only "aborted", perhaps with what it had spent (`CutOff`): was it the caller's deadline, a backend that
 * took longer than its tier allows, or a lost lease? `hadItsTime`: it ran for longer than this tier's calls usually do.
 */
function whyCut(error: unknown, { isTimedOut, lease, cancelled, isCallersDeadline }: Limits, hadItsTime: boolean): unknown {
  if (error instanceof BackendError) return error;
  const usage = error instanceof CutOff ? error.usage : null;
  const details = { mayHaveCost: usage?.source !== "reported", ...(usage === null ? {} : { usage }), cause: error };
  if (lease.aborted) return new BackendError("backend_unavailable", "the call was cut off: this worker lost the job", { ...details, isBackendsFault: false });
  if (cancelled?.aborted === true) return new BackendError("cancelled", "the caller went away", { ...details, isBackendsFault: false });
  if (!isTimedOut()) return error;
  if (isCallersDeadline) return new BackendError("deadline_exceeded", "the deadline passed during the call", { ...details, isBackendsFault: hadItsTime });
  return new BackendError("backend_unavailable", "no answer within the tier's timeout_ms", { ...details, isPushback: true });
}
