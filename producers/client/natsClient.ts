/**
 * A small typed client for the NATS door: publishes a request, waits for its durable outcome. It has no publish without
 * an acknowledgement, so a request is either accepted or an error.
 */
import { pino } from "pino";
import { v7 as uuidv7 } from "uuid";

import { badRequest } from "#shared/contracts/describeIssues.ts";
import { AppError } from "#shared/contracts/errors.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { FeedbackBody } from "#shared/contracts/feedback.ts";
import { DIRECT_ORIGIN, RequestId, TenantId } from "#shared/contracts/ids.ts";
import { InferBody } from "#shared/contracts/request.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { joinOutcome, makeReplies } from "#shared/messaging/replies.ts";
import { makeSubmitFeedback } from "#shared/messaging/submitFeedback.ts";
import { assertSameRequest, makeSubmitRequest } from "#shared/messaging/submitRequest.ts";
import { newTraceparent, traceparentFrom } from "#shared/telemetry/traceparent.ts";

export type { Completion, FeedbackBody, InferBody };
export { AppError };

export interface InferClientOptions {
  /** `nats://host:port` */
  readonly url: string;
  readonly prefix?: string;
  /** Longest wait for the acknowledgement of a publish, in milliseconds. */
  readonly ackTimeoutMs?: number;
  /** Longest wait for an outcome, in milliseconds from the call on: the request's deadline and the sweeper's grace. */
  readonly outcomeTimeoutMs?: number;
}
export interface InferOptions {
  /** W3C trace context to continue. */
  readonly traceparent?: string;
  readonly timeoutMs?: number;
}
export interface InferClient {
  /**
   * Publishes and waits. Resolves with the stored audit event, whatever its outcome. Throws an `AppError`:
   * `invalid_request` before anything is sent, `idempotency_mismatch` when the id was used for another request,
   * `broker_unavailable`, `storage_full`, `accept_unknown` (publish the same again), `outcome_pending` (nothing in time).
   */
  infer(body: InferBody, options?: InferOptions): Promise<Completion>;
  /** Publishes and returns once the broker has it. The outcome is read with `completion`. Throws as `infer` does. */
  publish(body: InferBody, options?: InferOptions): Promise<{ tenant_id: string; request_id: string }>;
  /** The stored outcome; `null` while there is none. */
  completion(id: { tenant_id: string; request_id: string }): Promise<Completion | null>;
  /**
   * Says how good an answer was; resolves once the broker has it. Safe to repeat: the latest of a source counts. Whether
   * there is such a request is not looked at. Throws `invalid_request` before anything is sent, `broker_unavailable`,
   * `storage_full`, `accept_unknown` (publish the same again).
   */
  feedback(id: { tenant_id: string; request_id: string }, body: FeedbackBody, options?: Pick<InferOptions, "traceparent">): Promise<void>;
  close(): Promise<void>;
}

const FeedbackOf = FeedbackBody.extend({ tenant_id: TenantId, request_id: RequestId });

/** Throws `broker_unavailable` when nobody answers at `url`. */
export async function connectInferClient({ url, prefix = "infer", ackTimeoutMs = 5_000, outcomeTimeoutMs = 60_000 }: InferClientOptions): Promise<InferClient> {
  const nats = await connectNats({ url, name: "infer-client" }).catch((cause: unknown) => {
    throw new AppError("broker_unavailable", `cannot connect to ${new URL(url).host}`, { cause });
  });
  const { acks, streams } = await brokerOver(nats, prefix, ackTimeoutMs);
  const replies = makeReplies({ nats, streams, prefix, origin: DIRECT_ORIGIN, perTenant: true, log: pino({ level: "silent" }), now: Date.now });
  const submit = makeSubmitRequest({ acks, streams, prefix });
  const submitFeedback = makeSubmitFeedback({ acks, prefix });

  const checked = (body: InferBody) => {
    const parsed = InferBody.safeParse(body);
    if (!parsed.success) throw badRequest(parsed.error);
    const { request_id = uuidv7(), tenant_id, ...content } = parsed.data;
    if (tenant_id === undefined) throw new AppError("invalid_request", "tenant_id: say which tenant it is for");
    return { id: { tenant_id, request_id }, content };
  };
  const traceOf = ({ traceparent }: InferOptions) => traceparentFrom(traceparent) ?? newTraceparent();
  const send = (id: { tenant_id: string; request_id: string }, content: Parameters<typeof submit>[1], options: InferOptions) =>
    submit(id, content, { origin: DIRECT_ORIGIN, traceparent: traceOf(options) });

  return {
    async infer(body, options = {}) {
      const { id, content } = checked(body);
      const lastLookAtMs = Date.now() + (options.timeoutMs ?? outcomeTimeoutMs);
      const times = { deadlineAtMs: Math.min(lastLookAtMs, Date.now() + (body.deadline_ms ?? lastLookAtMs)), lastLookAtMs };
      const expected = replies.expect(id, { ...times, anyOrigin: false });
      try {
        const submitted = await send(id, content, options);
        const completion = submitted === "repeated" ? await joinOutcome(replies, id, times) : await expected.outcome;
        if (completion === null) throw new AppError("outcome_pending", `request ${id.request_id} was accepted and has no outcome yet`);
        assertSameRequest(completion, content); // REQUESTS forgets an id before COMPLETIONS does
        return completion;
      } finally {
        expected.close();
      }
    },
    async publish(body, options = {}) {
      const { id, content } = checked(body);
      await send(id, content, options);
      return id;
    },
    completion: (id) => replies.find(id),
    async feedback(id, body, options = {}) {
      const parsed = FeedbackOf.safeParse({ ...body, tenant_id: id.tenant_id, request_id: id.request_id });
      if (!parsed.success) throw badRequest(parsed.error);
      const { tenant_id, request_id, ...content } = parsed.data;
      await submitFeedback({ tenant_id, request_id }, content, traceOf(options));
    },
    async close() {
      replies.close();
      await acks.close();
      await nats.drain();
    },
  };
}
