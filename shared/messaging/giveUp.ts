import { AppError } from "#shared/contracts/errors.ts";
import { type Completion, type EventError, Job, Result } from "#shared/contracts/events.ts";
import { storable } from "#shared/contracts/text.ts";
import { closeRequest, closeSaga, unreadableCompletion } from "#shared/saga/closings.ts";
import type { Occasion } from "#shared/saga/messagesAfter.ts";
import { newTraceparent, traceIdOf } from "#shared/telemetry/traceparent.ts";

import { type GivenUp, type GiveUp, keepDeadLetter } from "./keepDeadLetter.ts";
import type { Publisher } from "./publish.ts";
import { readEvent } from "./readEvent.ts";
import { originOf, readRequest, type RequestLimits } from "./readRequest.ts";
import { CUSTODY_STREAMS, type Id, idOf } from "./topology.ts";

interface GiveUpDeps {
  readonly publisher: Publisher;
  readonly prefix: string;
  readonly limits: RequestLimits;
  readonly now: () => number;
  /** What a result says, as far as it may be believed; throws outages. Absent: all of it, for whoever reads no results. */
  readonly readResult?: (message: GivenUp) => Promise<Pick<Result, "request" | "saga">>;
}

/**
 * Ends what cannot be processed: where it is a request on its way and its subject names tenant and id, a terminal event
 * for whoever waits, and then a dead letter with its reason: when DEAD_LETTERS is full, the outcome is there already.
 * Idempotent, but for a second dead letter. The caller terminates the message after it.
 */
export function makeGiveUp({ publisher, prefix, limits, now, readResult = (message) => Promise.resolve(readEvent(Result, prefix, message)) }: GiveUpDeps): GiveUp {
  const keep = keepDeadLetter(publisher, prefix, now);
  return async (message, error) => {
    const id = idOf(prefix, message.subject);
    if (id !== null && CUSTODY_STREAMS.includes(message.stream)) await end(id, message, { ...error, message: storable(error.message) });
    await keep(message, error);
  };

  async function end(id: Id, message: GivenUp, error: EventError): Promise<void> {
    const traceparent = message.traceparent ?? newTraceparent();
    for (const completion of await completionsFor(id, message, error, { nowMs: now(), traceId: traceIdOf(traceparent) })) await publisher.emit(completion, traceparent);
  }

  async function completionsFor(id: Id, message: GivenUp, error: EventError, occasion: Occasion): Promise<Completion[]> {
    try {
      if (message.stream === "REQUESTS") return closeRequest(readRequest(id, message.data, message.storedAtMs, limits), limits.tierFile, error, occasion);
      if (message.stream === "JOBS") return closeSaga(readEvent(Job, prefix, message), error, occasion);
      return closeSaga(await readResult(message), error, occasion);
    } catch (problem) {
      if (problem instanceof AppError && problem.isOutage) throw problem;
      return [unreadableCompletion(id, message.storedAtMs, error, occasion, originOf(message.data))];
    }
  }
}
