import type { Attributes } from "@opentelemetry/api";

import { AppError } from "#shared/contracts/errors.ts";
import type { Attempt } from "#shared/contracts/events.ts";
import { type Shadow, ShadowJob } from "#shared/contracts/shadow.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { shadowSubject, subjectOf } from "#shared/messaging/topology.ts";
import { compareAnswers, isReference } from "#shared/statistics/compareAnswers.ts";
import { traceIdOf } from "#shared/telemetry/traceparent.ts";

import { keepLate } from "./keepLate.ts";
import { type CallDeps, oncePerLease, type Run, runAttempt } from "./runAttempt.ts";

export interface ShadowDeps extends CallDeps {
  readonly publisher: Publisher;
  readonly streams: StoredMessages;
  readonly prefix: string;
  /** `shadow`: what came of it, once nobody else is asked. */
  readonly observe: (job: ShadowJob, attempt: Attempt, end: { readonly shadow: Shadow | null; readonly traceId: string }) => void;
}

/**
 * Asks this tier what it would have answered, then hands on to the next one; the last says how far all agree. Idempotent:
 * whether it was done is looked up each time, for a call costs more than a read, and nobody waits.
 */
export const makeRunShadow = (deps: ShadowDeps) => {
  const { prefix, tracer, observe } = deps;
  const once = oncePerLease();
  return async (delivery: Delivery): Promise<void> => {
    const { lease } = delivery;
    const job = readEvent(ShadowJob, prefix, delivery);
    if (await isDone(deps, job)) return;
    const attributes: Attributes = { "messaging.system": "nats", "messaging.operation.type": "process", "infer.tier": job.tier };
    await tracer.span("process infer.shadowjob", { kind: "CONSUMER", parent: delivery.traceparent, attributes }, async (traceparent, annotate) => {
      const run = await once(lease, () => runAttempt(deps, { input: job.input, attempt: 1, deadlineAtMs: Infinity, lease, traceparent }));
      annotate({ "infer.outcome": run.result.outcome.kind, "infer.cost_nano_usd": run.result.cost_nano_usd });
      if (lease.aborted) {
        await keepLate(deps, job, run.result, delivery);
        throw lease.reason;
      }
      const { message, isDuplicate } = await emitAfter(deps, asked(job, run), traceparent);
      if (isDuplicate) await keepLate(deps, job, run.result, delivery);
      else observe(job, run.result, { shadow: message.type === "shadow.v1" ? message : null, traceId: traceIdOf(traceparent) });
    });
  };
};

/** An earlier delivery, or another worker, came this far. */
async function isDone({ streams, prefix }: ShadowDeps, job: ShadowJob): Promise<boolean> {
  if ((await streams.last("SHADOWS", shadowSubject(prefix, job))) !== null) return true;
  const [tier] = job.next_tiers;
  return tier !== undefined && (await streams.last("SHADOW_JOBS", subjectOf(prefix, { ...job, tier }))) !== null;
}

/** Where the texts are more than the broker takes, the chain ends: the event has no texts, and it has what was paid. */
async function emitAfter({ publisher, now }: ShadowDeps, job: ShadowJob, traceparent: string): Promise<{ message: ShadowJob | Shadow; isDuplicate: boolean }> {
  const emit = async (message: ShadowJob | Shadow) => ({ message, isDuplicate: (await publisher.emit(message, traceparent)).isDuplicate });
  const next = nextJob(job);
  if (next === null) return emit(compareAnswers(job, now()));
  return emit(next).catch((error: unknown) => {
    if (!(error instanceof AppError && error.code === "payload_too_large")) throw error;
    return emit(compareAnswers(job, now()));
  });
}

/** Pure. With this tier's answer. */
const asked = (job: ShadowJob, { result, output }: Run): ShadowJob => ({ ...job, answers: [...job.answers, { attempt: result, is_own: false, output }] });

/**
 * Pure. `null`: nobody else is asked. A tier that failed is recorded as such, and the others are asked all the same. Without
 * a baseline to compare them with they would be paid for nothing.
 */
function nextJob(job: ShadowJob): ShadowJob | null {
  const answer = job.answers.at(-1);
  const isVain = job.tier === job.baseline_tier && (answer === undefined || !isReference(answer));
  const [tier, ...next_tiers] = job.next_tiers;
  return tier === undefined || isVain ? null : { ...job, tier, next_tiers };
}
