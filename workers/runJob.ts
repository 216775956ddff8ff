import { randomUUID } from "node:crypto";

import type { Acceptance } from "#shared/contracts/decision.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { type Attempt, Completion, Job, Result, type SagaMessage } from "#shared/contracts/events.ts";
import { type ConfidenceMethod, methodFor, type Tier } from "#shared/contracts/tiers.ts";
import type { AnswerPublisher, AnswerPublisherOptions, Cancellations } from "#shared/messaging/answerStream.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import { processing } from "#shared/messaging/messageSpans.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { completionSubject, resultSubject } from "#shared/messaging/topology.ts";
import { failpoint, failpointAfter } from "#shared/runtime/failpoint.ts";
import { type SagaContext, spentOn } from "#shared/saga/inferenceMachine.ts";
import { messagesAfter, readSaga } from "#shared/saga/messagesAfter.ts";
import { attemptAttributes, jobAttributes } from "#shared/telemetry/attributes.ts";
import { traceIdOf } from "#shared/telemetry/traceparent.ts";

import { type EarlyCommit, earlyCommit } from "./confidence/earlyCommit.ts";
import { keepLate } from "./keepLate.ts";
import { type CallDeps, oncePerLease, type Run, runAttempt, type Task } from "./runAttempt.ts";
import { watchAnswer } from "./watchAnswer.ts";

export interface JobDeps extends CallDeps {
  readonly publisher: Publisher;
  readonly streams: StoredMessages;
  readonly prefix: string;
  readonly cancellations: Cancellations;
  /** Shows pieces of an answer that will be the outcome. */
  readonly show: (options: AnswerPublisherOptions) => AnswerPublisher;
  /** May keep the answer for others that ask the same; beside the request's way. Absent: none is kept. */
  readonly keep?: (request: Job["request"], completion: Completion) => void;
  readonly observe: (job: Job, attempt: Attempt, end: { isFinal: boolean; traceId: string }) => void;
}

/** Runs one job: ends the request when the job's rule accepts the answer, asks the router otherwise. Idempotent. */
export const makeRunJob = (deps: JobDeps) => {
  const once = oncePerLease<Shown>();
  return async (delivery: Delivery): Promise<void> => {
    const { lease } = delivery;
    const job = readEvent(Job, deps.prefix, delivery);
    if (delivery.mayBeRepeat && (await isDone(deps, job))) return;
    await deps.tracer.span(...processing(deps.prefix, delivery, jobAttributes(job)), async (traceparent, annotate) => {
      failpoint("before_call");
      // Blocked meanwhile, beyond the lease perhaps: another worker may have done it.
      if (!delivery.mayBeRepeat && delivery.isHeldLong?.() === true && (await isDone(deps, job))) return;
      failpointAfter("during_call", DURING_CALL_MS);
      const run = await once(lease, () => runShown(deps, job, { lease, traceparent }));
      failpoint("after_call");
      annotate(attemptAttributes(run.result));
      if (lease.aborted) {
        await keepLate(deps, job, run.result, delivery);
        throw lease.reason;
      }
      await publishAfter(deps, job, run, { traceparent, delivery });
      failpoint("after_result_publish");
    });
  };
};

/** The model's server has the call by then. */
const DURING_CALL_MS = 15;

/** One attempt; where its answer is certain to be kept, its pieces are shown as they come. */
async function runShown(deps: JobDeps, { tenant_id, request_id, tier, attempt, request, saga }: Job, { lease, traceparent }: { lease: AbortSignal; traceparent: string }): Promise<Shown> {
  const { stream = false, origin, input, deadline_at_ms: deadlineAtMs, keeps_input: mayTraceContent } = request;
  const id = { tenant_id, request_id };
  const { context } = readSaga(saga);
  const { acceptance, best } = context;
  const keepsAny = (acceptance?.min_confidence ?? 1) <= 0;
  const method = methodFor(deps.tier, request.task);
  const commit = commitRule(deps.tier, method, acceptance);
  const watcher = watchAnswer(({ backend: { model } }) => deps.show({ id, origin, run: randomUUID(), tier, model }), keepsAny ? null : commit);
  const cancellation = deps.cancellations.signalFor(id);
  const cancelled = cancellation.signal;
  const judged = { method, earlier: best?.output ?? null, isRead: !keepsAny };
  const run = await runAttempt(deps, { tenantId: tenant_id, input, attempt, deadlineAtMs, lease, traceparent, mayTraceContent, cancelled, judged, ...limitsOfCost(request, context, tier), ...(stream && (keepsAny || commit !== null) ? { watcher } : {}) }).finally(() => { cancellation.end(); });
  watcher.flush();
  return { ...run, isFinal: watcher.isShown() || cancelled.aborted };
}
/**
 * As the router quoted it: no more is charged than the most that it was quoted at, which is what a budget holds for it. A try that failed may
 * have cost money: another one is made only where the budget holds its worst case too.
 */
function limitsOfCost({ budget_nano_usd }: Job["request"], context: SagaContext, tier: string): Pick<Task, "mostNanoUsd" | "canAfford"> {
  const mostNanoUsd = context.decisions.at(-1)?.facts.quotes.find((quote) => quote.tier === tier)?.max_cost_nano_usd;
  const leftNanoUsd = budget_nano_usd - spentOn(context);
  return {
    ...(mostNanoUsd === undefined ? {} : { mostNanoUsd }),
    canAfford: (spentNanoUsd) => spentNanoUsd === 0 || spentNanoUsd + (mostNanoUsd ?? 0) <= leftNanoUsd,
  };
}

/** How an answer that may still be rejected becomes certain before it is whole; `null`: not at all. */
function commitRule({ commit_after_tokens: afterTokens }: Tier, method: ConfidenceMethod, acceptance: Acceptance): (() => EarlyCommit) | null {
  if (afterTokens === undefined || acceptance === null) return null;
  const rule = () => earlyCommit(method, { afterTokens, minConfidence: acceptance.min_confidence });
  return rule() === null ? null : () => rule() ?? (() => false);
}
interface Shown extends Run {
  /** No other answer can follow. */
  readonly isFinal: boolean;
}

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

async function publishAfter(deps: JobDeps, job: Job, { result, output, message, isFinal }: Shown, { traceparent, delivery }: { traceparent: string; delivery: Delivery }): Promise<void> {
  const traceId = traceIdOf(traceparent);
  for (const event of messagesAfter(job.request, readSaga(job.saga), { type: "RESULT", result, output, isFinal, ...(message === undefined ? {} : { message }) }, { nowMs: deps.now(), traceId })) {
    const { isDuplicate } = await emitWith(deps, job, event, traceparent);
    deps.observe(job, result, { isFinal: event.type === "completion.v1", traceId });
    if (!isDuplicate && event.type === "completion.v1") deps.keep?.(job.request, event);
    if (isDuplicate) await keepLate(deps, job, result, delivery);
  }
}

/** A result brings back what the router had signed; where that does not fit into a message, the router looks into JOBS. */
async function emitWith({ publisher }: JobDeps, { saga, signature }: Job, event: SagaMessage, traceparent: string): Promise<{ readonly isDuplicate: boolean }> {
  if (event.type !== "result.v1" || signature === undefined) return publisher.emit(event, traceparent);
  try {
    return await publisher.emit({ ...event, routed: { saga, signature } }, traceparent);
  } catch (error) {
    if (error instanceof AppError && error.code === "payload_too_large") return publisher.emit(event, traceparent);
    throw error;
  }
}
