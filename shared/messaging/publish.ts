import { AppError } from "#shared/contracts/errors.ts";
import { CacheAudit, CacheAuditJob } from "#shared/contracts/cacheAudit.ts";
import { Completion, type DeadLetter, Job, Result } from "#shared/contracts/events.ts";
import { type OnceMessage, Shadow, ShadowJob, ShadowTierEvent } from "#shared/contracts/shadow.ts";

import { type AckInbox, SERVED_BY_HEADER, SERVED_MS_HEADER, WITHOUT_REQUEST_HEADER } from "./ackInbox.ts";
import { readStored } from "./readStored.ts";
import type { StoredMessages } from "./storedMessages.ts";
import { deadLetterSubject, replySubject, STREAM_OF, subjectOf } from "./topology.ts";
import type { Wire } from "./wire.ts";

export interface Published<E extends OnceMessage> {
  /** Something else was first. The same message published twice is not a duplicate: it is stored. */
  readonly isDuplicate: boolean;
  /** What the broker keeps under this subject: this event, or the one that came first; `null` when that cannot be read here. */
  readonly stored: E | null;
}
export interface Publisher {
  /** Resolves once the broker has the message. Safe to repeat. No message id: the subject is the key. `isWithoutRequest`: of a completion whose request was never published. `isSwept`: of one that nobody finished, so that when it ended says nothing about what can be done. */
  emit<E extends OnceMessage>(event: E, traceparent: string, options?: { readonly isWithoutRequest?: boolean; readonly isSwept?: boolean }): Promise<Published<E>>;
  /** Tells whoever waits. Only ever with a stored completion. */
  reply(stored: Completion): void;
  deadLetter(letter: DeadLetter): Promise<void>;
}

const SCHEMA_OF = { "job.v1": Job, "result.v1": Result, "completion.v1": Completion, "shadow_job.v1": ShadowJob, "cache_audit_job.v1": CacheAuditJob, "shadow.v1": Shadow, "shadow_tier.v1": ShadowTierEvent, "cache_audit.v1": CacheAudit } as const;

export function makePublisher({ nats, atTick }: Wire, streams: StoredMessages, acks: AckInbox, prefix: string): Publisher {
  const encoder = new TextEncoder();
  /** Like any core publish it gets lost where the connection is not there; whoever waits looks what is stored. */
  const replyWith = (stored: Completion, body: Uint8Array) => {
    atTick(() => { if (!nats.isClosed()) nats.publish(replySubject(prefix, stored.origin, stored), body); });
  };
  const reply = (stored: Completion) => { replyWith(stored, encoder.encode(JSON.stringify(stored))); };
  return {
    reply,
    async emit<E extends OnceMessage>(event: E, traceparent: string, { isWithoutRequest = false, isSwept = false } = {}): Promise<Published<E>> {
      const subject = subjectOf(prefix, event);
      const body = JSON.stringify(event);
      const bytes = encoder.encode(body);
      const outcome = await acks.publish(subject, bytes, traceparent, { [WITHOUT_REQUEST_HEADER]: isWithoutRequest ? "1" : undefined, ...(isSwept ? {} : servedHeaders(event)) });
      // After the PubAck, and what is stored: a refused publish reaches core subscribers too, but nobody may answer from it.
      if (outcome === "stored") {
        if (event.type === "completion.v1") replyWith(event, bytes);
        return { isDuplicate: false, stored: event };
      }
      const first = await readFirst(subject, event, body);
      if (first.stored?.type === "completion.v1") reply(first.stored);
      return first;
    },
    async deadLetter(letter) {
      const outcome = await acks.publish(deadLetterSubject(prefix, letter.stream, letter.tenant_id), encoder.encode(JSON.stringify(letter)));
      if (outcome !== "stored") throw new AppError("storage_full", "DEAD_LETTERS is full");
    },
  };

  /** Refused: if the subject holds a message, that one was first; if not, the stream is full. */
  async function readFirst<E extends OnceMessage>(subject: string, event: E, body: string): Promise<Published<E>> {
    const stream = STREAM_OF[event.type];
    const first = await streams.last(stream, subject);
    if (!first) throw new AppError("storage_full", `${stream} is full`);
    const stored = readStored<OnceMessage>(SCHEMA_OF[event.type], first) as E | null; // same subject, same type
    return { isDuplicate: first.string() !== body, stored };
  }
}

/** None: no backend was called for it. */
function servedHeaders(event: OnceMessage) {
  const msOf = new Map<string, number>();
  for (const { tier, tries, latency_ms } of event.type === "completion.v1" ? event.attempts : []) if (tries > 0) msOf.set(tier, (msOf.get(tier) ?? 0) + latency_ms);
  if (msOf.size === 0) return {};
  const totalMs = [...msOf.values()].reduce((sum, ms) => sum + ms, 0);
  return { [SERVED_MS_HEADER]: totalMs.toFixed(3), [SERVED_BY_HEADER]: [...msOf].map(([tier, ms]) => `${tier}=${ms.toFixed(3)}`).join() };
}
