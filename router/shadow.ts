/**
 * Samples COMPLETIONS for shadow labels. Reads with a durable of its own, and writes into streams of their own, so that
 * whatever is slow or full here holds up no request. Keeps no state; several may run.
 */
import { type Attempt, Completion, Result } from "#shared/contracts/events.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import { processing } from "#shared/messaging/messageSpans.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { askedBy } from "#shared/contracts/request.ts";
import { fingerprintOf, parseRequestMessage } from "#shared/messaging/readRequest.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { type Id, idOf, requestSubject, resultSubject, shadowSubject } from "#shared/messaging/topology.ts";
import { Saga } from "#shared/saga/inferenceMachine.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";
import type { Standing } from "#shared/tenancy/directory.ts";

import { type Allowance, makeAllowance } from "#shared/runtime/allowance.ts";
import { earlierAnswers, type Found, isSampled, keptAnswerOf, type SampleOptions, shadowStep } from "./shadowStep.ts";

export interface ShadowDeps extends SampleOptions {
  readonly publisher: Publisher;
  readonly streams: StoredMessages;
  readonly prefix: string;
  /** What holds for a tenant now: it may rule tiers out. */
  readonly standingOf: (tenantId: string) => Promise<Standing>;
  /** Share of requests that are sampled, in [0, 1]. */
  readonly share: number;
  readonly tracer: Tracer;
  /** Told of each sampled request whose input is gone. */
  readonly observeGone: () => void;
  readonly now: () => number;
}

/**
 * After an outage of hours every sampled input may be gone. Requests that fail need the room in DEAD_LETTERS, so beyond
 * these the dead letters of a flood are counted in the next one.
 */
const GONE_LETTERS = { burst: 100, refillMs: 60_000 };

/** The caller acks after it resolves. A crash before that repeats it, and nothing is stored twice. */
export const makeShadow = (deps: ShadowDeps) => {
  const { publisher, streams, prefix, share, tracer, now } = deps;
  const letters = makeAllowance(GONE_LETTERS);
  return async (delivery: Delivery): Promise<void> => {
    const id = idOf(prefix, delivery.subject);
    if (id === null || !isSampled(id, share)) return; // before the body is looked at
    const completion = readEvent(Completion, prefix, delivery);
    const keptAnswer = keptAnswerOf(completion);
    if (keptAnswer === null) return;
    await tracer.span(...processing(prefix, delivery), async (traceparent, annotate) => {
      const step = shadowStep(completion, keptAnswer, await find(deps, completion, earlierAnswers(completion, keptAnswer)), deps, now());
      annotate({ "infer.shadow": step.kind });
      switch (step.kind) {
        case "run": await publisher.emit(step.job, traceparent); break;
        case "known":
          await publisher.emit(step.shadow, traceparent); // first: a label does not wait for room in SHADOW_JOBS
          if (step.job !== null) await publisher.emit(step.job, traceparent);
          break;
        case "gone":
          // What was done before is not missed.
          if (!delivery.mayBeRepeat || (await streams.last("SHADOWS", shadowSubject(prefix, id))) === null) await keepGone(deps, letters, id, delivery);
          break;
        case "none": break;
      }
    });
  };
};

async function find(deps: ShadowDeps, completion: Completion, earlier: readonly Attempt[]): Promise<Found> {
  const { streams, prefix, standingOf } = deps;
  const stored = await streams.last("REQUESTS", requestSubject(prefix, completion));
  const message = stored === null ? null : parseRequestMessage(stored.data);
  const outputs = await earlierOutputs(deps, completion, earlier);
  // Another fingerprint: REQUESTS had forgotten the id, and it was used again.
  const isSame = message !== null && fingerprintOf(message) === completion.fingerprint;
  const { allowed_tiers } = (await standingOf(completion.tenant_id)).settings;
  return { request: isSame ? { input: askedBy(message), max_tier: message.max_tier, allowed_tiers } : null, outputs };
}

/** Texts of these answers of the request, by the number of the attempt, as far as RESULTS still has them. */
export async function earlierOutputs({ streams, prefix }: Pick<ShadowDeps, "streams" | "prefix">, completion: Completion, earlier: readonly Attempt[]): Promise<Found["outputs"]> {
  const outputs = new Map<number, string>();
  for (const { attempt } of earlier) {
    const result = await streams.last("RESULTS", resultSubject(prefix, completion, attempt));
    const best = result === null ? null : bestAfter(readStored(Result, result));
    if (best?.attempt === attempt) outputs.set(attempt, best.output);
  }
  return outputs;
}

/** A sound answer is the best one when it comes, so the result that hands it on has its text. */
const bestAfter = (result: Result | null) => Saga.safeParse(result?.saga).data?.context.best ?? null;

/** Trying again cannot help. */
async function keepGone({ publisher, observeGone, now }: ShadowDeps, letters: Allowance, { tenant_id, request_id }: Id, { stream, seq: stream_seq, subject, deliveries }: Delivery): Promise<void> {
  observeGone();
  const withheld = letters.take(now());
  if (withheld === null) return;
  const message = `REQUESTS does not hold the input any more, so the baseline tier could not be asked${withheld === 0 ? "" : `; the same of ${withheld} others since the last such dead letter`}`;
  await publisher.deadLetter({ type: "dead_letter.v1", stream, stream_seq, subject, tenant_id, request_id, reason: "shadow_input_gone", message, deliveries, at_ms: now(), late_attempt: null });
}
