/**
 * Samples COMPLETIONS for shadow labels. Reads with a durable of its own, and writes into streams of their own, so that
 * whatever is slow or full here holds up no request. Keeps no state; several may run.
 */
import type { Attributes } from "@opentelemetry/api";

import { Completion } from "#shared/contracts/events.ts";
import type { ShadowJob } from "#shared/contracts/shadow.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { fingerprintOf, parseRequestMessage } from "#shared/messaging/readRequest.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { type Id, idOf, requestSubject, shadowSubject } from "#shared/messaging/topology.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";

import { type Allowance, makeAllowance } from "./allowance.ts";
import { isSampled, shadowStep } from "./shadowStep.ts";

export interface ShadowDeps {
  readonly publisher: Publisher;
  readonly streams: StoredMessages;
  readonly prefix: string;
  /** Share of requests that are sampled, in [0, 1]. */
  readonly share: number;
  readonly tierFile: Pick<TierFile, "tiers" | "baseline_tier">;
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
  const { publisher, streams, prefix, share, tierFile, tracer, now } = deps;
  const letters = makeAllowance(GONE_LETTERS);
  return async (delivery: Delivery): Promise<void> => {
    const id = idOf(prefix, delivery.subject);
    if (id === null || !isSampled(id, share)) return; // before the body is looked at
    const completion = readEvent(Completion, prefix, delivery);
    const step = shadowStep(completion, tierFile.baseline_tier, now());
    if (step.kind === "none") return;
    // The input may be gone by now, and the job too: what was done is not missed.
    if (delivery.mayBeRepeat && (await streams.last("SHADOWS", shadowSubject(prefix, id))) !== null) return;
    const attributes: Attributes = { "messaging.system": "nats", "messaging.operation.type": "process", "infer.shadow": step.kind };
    await tracer.span("shadow", { kind: "CONSUMER", parent: delivery.traceparent, attributes }, async (traceparent) => {
      if (step.kind === "known") await publisher.emit(step.shadow, traceparent);
      else await run(completion, step.job, { delivery, traceparent });
    });
  };

  async function run({ fingerprint }: Completion, job: Omit<ShadowJob, "input">, { delivery, traceparent }: { delivery: Delivery; traceparent: string }): Promise<void> {
    const stored = await streams.last("REQUESTS", requestSubject(prefix, job));
    const message = stored === null ? null : parseRequestMessage(stored.data);
    // Another fingerprint: REQUESTS had forgotten the id, and it was used again.
    if (message === null || fingerprintOf(message) !== fingerprint) {
      await keepGone(deps, letters, job, delivery);
      return;
    }
    if (isAbove(tierFile, job.tier, message.max_tier)) return;
    await publisher.emit({ ...job, input: message.input }, traceparent);
  }
};

/** A caller that rules the baseline tier out has a reason, and it may be who gets to see the input. */
function isAbove({ tiers }: Pick<TierFile, "tiers">, tier: string, maxTier: string | undefined): boolean {
  const rankOf = (wanted: string) => tiers.findIndex(({ name }) => name === wanted);
  return maxTier !== undefined && rankOf(tier) > rankOf(maxTier);
}

/** Trying again cannot help. */
async function keepGone({ publisher, observeGone, now }: ShadowDeps, letters: Allowance, { tenant_id, request_id }: Id, { stream, seq: stream_seq, subject, deliveries }: Delivery): Promise<void> {
  observeGone();
  const withheld = letters.take(now());
  if (withheld === null) return;
  const message = `REQUESTS does not hold the input any more, so the baseline tier could not be asked${withheld === 0 ? "" : `; the same of ${withheld} others since the last such dead letter`}`;
  await publisher.deadLetter({ type: "dead_letter.v1", stream, stream_seq, subject, tenant_id, request_id, reason: "shadow_input_gone", message, deliveries, at_ms: now(), late_attempt: null });
}
