import type { Attributes } from "@opentelemetry/api";

import { type Attempt, Completion, Job, Result } from "#shared/contracts/events.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { completionSubject, resultSubject } from "#shared/messaging/topology.ts";
import { messagesAfter, readSaga } from "#shared/saga/messagesAfter.ts";
import { traceIdOf } from "#shared/telemetry/traceparent.ts";

import { keepLate } from "./keepLate.ts";
import { type CallDeps, oncePerLease, type Run, runAttempt } from "./runAttempt.ts";

export interface JobDeps extends CallDeps {
  readonly publisher: Publisher;
  readonly streams: StoredMessages;
  readonly prefix: string;
  readonly observe: (job: Job, attempt: Attempt, end: { isFinal: boolean; traceId: string }) => void;
}

/** Runs one job: ends the request when the job's rule accepts the answer, asks the router otherwise. Idempotent. */
export const makeRunJob = (deps: JobDeps) => {
  const once = oncePerLease();
  return async (delivery: Delivery): Promise<void> => {
    const { lease } = delivery;
    const job = readEvent(Job, deps.prefix, delivery);
    if (delivery.mayBeRepeat && (await isDone(deps, job))) return;
    const attributes: Attributes = { "messaging.system": "nats", "messaging.operation.type": "process", "infer.tier": job.tier, "infer.attempt": job.attempt };
    await deps.tracer.span("process infer.job", { kind: "CONSUMER", parent: delivery.traceparent, attributes }, async (traceparent, annotate) => {
      const { input, deadline_at_ms: deadlineAtMs } = job.request;
      const run = await once(lease, () => runAttempt(deps, { input, attempt: job.attempt, deadlineAtMs, lease, traceparent }));
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
