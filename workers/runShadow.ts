import type { Attributes } from "@opentelemetry/api";

import type { Attempt } from "#shared/contracts/events.ts";
import { type Shadow, ShadowJob } from "#shared/contracts/shadow.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { shadowSubject } from "#shared/messaging/topology.ts";
import { agreement } from "#shared/statistics/agreement.ts";
import { traceIdOf } from "#shared/telemetry/traceparent.ts";

import { keepLate } from "./keepLate.ts";
import { type CallDeps, oncePerLease, type Run, runAttempt } from "./runAttempt.ts";

export interface ShadowDeps extends CallDeps {
  readonly publisher: Publisher;
  readonly streams: StoredMessages;
  readonly prefix: string;
  readonly observe: (shadow: Shadow, attempt: Attempt, traceId: string) => void;
}

/**
 * Asks this tier what it would have answered, and says how far that is what the request was given. Idempotent: whether it
 * was done is looked up each time, for a call costs more than a read, and nobody waits.
 */
export const makeRunShadow = (deps: ShadowDeps) => {
  const { publisher, streams, prefix, tracer, observe, now } = deps;
  const once = oncePerLease();
  return async (delivery: Delivery): Promise<void> => {
    const { lease } = delivery;
    const job = readEvent(ShadowJob, prefix, delivery);
    if ((await streams.last("SHADOWS", shadowSubject(prefix, job))) !== null) return;
    const attributes: Attributes = { "messaging.system": "nats", "messaging.operation.type": "process", "infer.tier": job.tier };
    await tracer.span("process infer.shadowjob", { kind: "CONSUMER", parent: delivery.traceparent, attributes }, async (traceparent, annotate) => {
      const run = await once(lease, () => runAttempt(deps, { input: job.input, attempt: 1, deadlineAtMs: Infinity, lease, traceparent }));
      annotate({ "infer.outcome": run.result.outcome.kind, "infer.cost_nano_usd": run.result.cost_nano_usd });
      if (lease.aborted) {
        await keepLate(deps, job, run.result, delivery);
        throw lease.reason;
      }
      const shadow = toShadow(job, run, now());
      const { isDuplicate } = await publisher.emit(shadow, traceparent);
      if (isDuplicate) await keepLate(deps, job, run.result, delivery);
      else observe(shadow, run.result, traceIdOf(traceparent));
    });
  };
};

/** Pure. An answer that is not sound is no reference, so there is nothing to agree with. */
function toShadow({ tenant_id, request_id, policy, kept, tier, model_version, floor_steps }: ShadowJob, { result, output }: Run, nowMs: number): Shadow {
  const { output: keptOutput, ...keptAnswer } = kept;
  const isReference = output !== null && result.outcome.kind === "answered" && result.outcome.is_sound;
  return {
    type: "shadow.v1", tenant_id, request_id, policy,
    kept: keptAnswer,
    reference: { tier, attempt: result },
    agreement: isReference ? agreement(keptOutput, output) : null,
    at_ms: nowMs,
    model_version, floor_steps,
  };
}
