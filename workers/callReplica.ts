/** One call of a replica, the answer's own or a check's, within the limits of its attempt. */
import type { Attributes } from "@opentelemetry/api";

import { bytesOf, type Input, isEmbed } from "#shared/contracts/chat.ts";
import type { Usage } from "#shared/contracts/events.ts";
import { mostTokensOf } from "#shared/contracts/mostTokens.ts";
import type { Tier } from "#shared/contracts/tiers.ts";
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
  readonly timeout: AbortSignal;
  readonly lease: AbortSignal;
  readonly cancelled: AbortSignal | undefined;
  /** Any of them. */
  readonly signal: AbortSignal;
}
export function limitsOf({ deadlineAtMs: callersDeadlineAtMs, lease, cancelled }: { readonly deadlineAtMs: number; readonly lease: AbortSignal; readonly cancelled?: AbortSignal }, { timeout_ms }: Pick<Tier, "timeout_ms">, nowMs: number): Limits {
  const tiersDeadlineAtMs = nowMs + timeout_ms;
  const deadlineAtMs = Math.min(callersDeadlineAtMs, tiersDeadlineAtMs);
  const timeout = AbortSignal.timeout(Math.max(1, deadlineAtMs - nowMs));
  const signal = AbortSignal.any([timeout, lease, ...(cancelled === undefined ? [] : [cancelled])]);
  return { deadlineAtMs, isCallersDeadline: callersDeadlineAtMs <= tiersDeadlineAtMs, timeout, lease, cancelled, signal };
}

interface CallContext {
  readonly tier: Pick<Tier, "prior">;
  readonly tracer: Tracer;
  readonly limits: Limits;
  readonly traceparent: string;
}
/** In a span of its own. Its usage, also that of an error, is what can be charged for. Throws `BackendError`, also when a limit cut it off; anything else is a bug. */
export async function callReplica({ tier, tracer, limits, traceparent }: CallContext, { name, backend, server }: Replica, input: Input, more: Pick<CallOptions, "onDelta"> = {}): Promise<BackendAnswer> {
  const startedAtMs = performance.now();
  const { kind, model } = backend;
  const size = { most: mostTokensOf(backend, input), inputBytes: bytesOf(input) };
  const operation = isEmbed(input) ? "embeddings" : "chat";
  const attributes: Attributes = { "gen_ai.operation.name": operation, "gen_ai.provider.name": kind, "gen_ai.request.model": model, "infer.replica": name };
  try {
    return await tracer.span(`${operation} ${model}`, { kind: "CLIENT", parent: traceparent, attributes }, async (inner, annotate) => {
      const told = await server.call(input, { signal: limits.signal, traceparent: inner, ...more });
      const answer = { ...told, usage: plausibleUsage(told.usage, { ...size, saidBytes: saidBytesOf(told) }) };
      annotate({ "gen_ai.response.model": answer.model, "gen_ai.usage.input_tokens": answer.usage.input_tokens, "gen_ai.usage.output_tokens": answer.usage.output_tokens });
      return answer;
    });
  } catch (error) {
    throw billable(whyCut(error, limits, performance.now() - startedAtMs >= tier.prior.latency_p95_ms), (usage) => plausibleUsage(usage, { ...size, saidBytes: 0 }));
  }
}

const billable = (error: unknown, charged: (told: Usage) => Usage): unknown => (error instanceof BackendError && error.usage !== null ? error.withUsage(charged(error.usage)) : error);

/**
 * An aborted call says only "aborted", perhaps with what it had spent (`CutOff`): was it the caller's deadline, a backend that
 * took longer than its tier allows, or a lost lease? `hadItsTime`: it ran for longer than this tier's calls usually do.
 */
function whyCut(error: unknown, { timeout, lease, cancelled, isCallersDeadline }: Limits, hadItsTime: boolean): unknown {
  if (error instanceof BackendError) return error;
  const usage = error instanceof CutOff ? error.usage : null;
  const details = { mayHaveCost: usage?.source !== "reported", ...(usage === null ? {} : { usage }), cause: error };
  if (lease.aborted) return new BackendError("backend_unavailable", "the call was cut off: this worker lost the job", { ...details, isBackendsFault: false });
  if (cancelled?.aborted === true) return new BackendError("cancelled", "the caller went away", { ...details, isBackendsFault: false });
  if (!timeout.aborted) return error;
  if (isCallersDeadline) return new BackendError("deadline_exceeded", "the deadline passed during the call", { ...details, isBackendsFault: hadItsTime });
  return new BackendError("backend_unavailable", "no answer within the tier's timeout_ms", { ...details, isPushback: true });
}
