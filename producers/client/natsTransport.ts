/**
 * The NATS door, with no more than a tenant may do: it publishes into its subjects, listens on them and on an inbox of its own,
 * and reads its outcomes by direct gets. So it cannot see REQUESTS: whether a repeated request is the same one says its outcome.
 */
import { pino } from "pino";

import { AppError } from "#shared/contracts/errors.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { DIRECT_ORIGIN } from "#shared/contracts/ids.ts";
import { toReply } from "#shared/contracts/reply.ts";
import { makeAckInbox } from "#shared/messaging/ackInbox.ts";
import { type AnswerStreams, makeAnswerStreams } from "#shared/messaging/answerStream.ts";
import { connectNats, permissionViolation } from "#shared/messaging/connect.ts";
import { makeReplies } from "#shared/messaging/replies.ts";
import { directMessages } from "#shared/messaging/storedMessages.ts";
import { makeSubmitFeedback } from "#shared/messaging/submitFeedback.ts";
import { assertSameRequest, makeSubmitRequest } from "#shared/messaging/submitRequest.ts";
import { type Id, inboxOf } from "#shared/messaging/topology.ts";
import { makeWire } from "#shared/messaging/wire.ts";
import { unlessAborted } from "#shared/runtime/lifecycle.ts";

import { fromAppError, InferError } from "./inferError.ts";
import type { Asked, Call, Ref, Transport } from "./transport.ts";

export interface NatsOptions {
  readonly url: string;
  readonly tenantId: string | undefined;
  readonly nkeySeed: string | undefined;
  readonly prefix: string;
  readonly ackTimeoutMs: number;
}

/** A reply that got lost is found this late. */
const LOOK_EVERY_MS = 5_000;

/** Throws `connection_failed` when nobody answers at `url`, and `unauthenticated`. */
export async function openNatsTransport({ url, tenantId, nkeySeed, prefix, ackTimeoutMs }: NatsOptions): Promise<Transport> {
  const inboxPrefix = tenantId === undefined ? undefined : inboxOf(tenantId);
  const nats = await connectNats({ url, name: "infer-client", nkeySeed, inboxPrefix }).catch((cause: unknown) => {
    const host = url.split(",").map((one) => new URL(one.trim()).host).join(", ");
    const isRefused = cause instanceof Error && cause.name === "AuthorizationError";
    throw isRefused ? new InferError("unauthenticated", `${host} does not know this user`, { cause }) : new InferError("connection_failed", `cannot connect to ${host}`, { cause });
  });
  const log = pino({ level: "silent" });
  const streams = await directMessages(nats);
  const acks = makeAckInbox(makeWire(nats, inboxPrefix), ackTimeoutMs);
  const replies = makeReplies({ nats, streams, prefix, origin: DIRECT_ORIGIN, perTenant: true, log, now: () => performance.now() });
  const submit = makeSubmitRequest({ acks, streams: null, prefix });
  const submitFeedback = makeSubmitFeedback({ acks, prefix });
  const answers = new Map<string, AnswerStreams>();
  const answersOf = (tenant: string): AnswerStreams => {
    const found = answers.get(tenant) ?? makeAnswerStreams(nats, { prefix, origin: `${DIRECT_ORIGIN}.${tenant}`, log });
    answers.set(tenant, found);
    return found;
  };

  /** What is thrown over NATS, as the client says it. */
  const guarded = async <T>(requestId: string, { signal }: Call, work: () => Promise<T>): Promise<T> => {
    try {
      return await unlessAborted(signal, work());
    } catch (error) {
      const violation = permissionViolation(error);
      if (violation !== null) throw new InferError("forbidden", `this user has no permission: ${violation.operation} ${violation.subject}`, { requestId, cause: error });
      throw error instanceof AppError ? fromAppError(error, requestId) : error;
    }
  };
  /** Looks until the call is over, by its signal. */
  const times = (deadlineMs = LOOK_EVERY_MS) => ({ deadlineAtMs: performance.now() + deadlineMs, lastLookAtMs: Infinity, lookEveryMs: LOOK_EVERY_MS });
  /** What somebody published, perhaps through a gateway. Listens first, then looks. */
  const join = async (id: Id, { signal }: Call): Promise<Completion> => {
    const expected = replies.expect(id, { ...times(), anyOrigin: true });
    const end = () => { expected.close(); };
    signal.addEventListener("abort", end, { once: true });
    try {
      return (await replies.find(id)) ?? known(id, await expected.outcome);
    } finally {
      signal.removeEventListener("abort", end);
      end();
    }
  };

  /** Publishes, unless a used id has its outcome already: REQUESTS forgets an id before COMPLETIONS does. */
  const publish = async ({ body, isIdChosen }: Asked, { traceparent }: Call, more: { stream?: true } = {}): Promise<Completion | "accepted" | "repeated"> => {
    const { id, content } = parted(body);
    const earlier = isIdChosen ? await replies.find(id) : null;
    if (earlier === null) return submit(id, { ...content, ...more }, { origin: DIRECT_ORIGIN, traceparent });
    assertSameRequest(earlier, content);
    return earlier;
  };

  return {
    infer(asked, call, onPiece) {
      const { id, content } = parted(asked.body);
      return guarded(id.request_id, call, async () => {
        const expected = replies.expect(id, { ...times(content.deadline_ms), anyOrigin: false });
        const endListening = onPiece === undefined ? () => undefined : answersOf(id.tenant_id).listen(id, onPiece);
        const end = () => {
          endListening();
          expected.close();
        };
        call.signal.addEventListener("abort", end, { once: true });
        try {
          const published = await publish(asked, call, onPiece === undefined ? {} : { stream: true });
          const completion = published === "accepted" ? known(id, await expected.outcome) : published === "repeated" ? await join(id, call) : published;
          assertSameRequest(completion, content);
          return toReply(completion, content);
        } finally {
          call.signal.removeEventListener("abort", end);
          end();
        }
      });
    },
    submit: (asked, call) => guarded(asked.body.request_id, call, async () => {
      const published = await publish(asked, call);
      return typeof published === "string" ? null : toReply(published, asked.body);
    }),
    outcome: (ref, call) => guarded(ref.request_id, call, async () => {
      const completion = await replies.find(idOf(ref));
      return completion === null ? null : toReply(completion);
    }),
    wait: (ref, call) => guarded(ref.request_id, call, async () => toReply(await join(idOf(ref), call))),
    feedback: (ref, body, call) => guarded(ref.request_id, call, () => submitFeedback(idOf(ref), body, call.traceparent)),
    async close() {
      replies.close();
      for (const one of answers.values()) one.close();
      await acks.close();
      await nats.drain().catch(() => nats.close()); // nobody to drain to
    },
  };
}

function parted({ request_id, tenant_id, ...content }: Asked["body"]) {
  return { id: idOf({ request_id, ...(tenant_id === undefined ? {} : { tenant_id }) }), content };
}

function known({ request_id }: Id, completion: Completion | null): Completion {
  if (completion === null) throw new AppError("outcome_pending", `request ${request_id} has no outcome yet`);
  return completion;
}

/** Over NATS the tenant is part of the subject. */
function idOf({ tenant_id, request_id }: Ref): Id {
  if (tenant_id === undefined) throw new InferError("invalid_request", "name the tenant: `tenantId` of the client, or `tenant_id` beside `request_id`", { requestId: request_id });
  return { tenant_id, request_id };
}
