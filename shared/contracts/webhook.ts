/** What a tenant is told by HTTP (Standard Webhooks 1.0.0), where to, and how that went. ADR 0018. */
import { z } from "zod";

import { BatchReply } from "./batch.ts";
import { TenantId } from "./ids.ts";
import { InferReply } from "./reply.ts";
import { wellFormed } from "./text.ts";

export const EndpointId = z.string().regex(/^we_[0-9a-f]{20}$/, "an endpoint id is we_ and 20 of 0-9 a-f");
/** What `webhook-id` says: the same on every try. */
export const WebhookId = z.string().regex(/^msg_[0-9a-f]{32}$/, "a webhook id is msg_ and 32 of 0-9 a-f");

export const EndpointStatus = z.enum(["active", "disabled"]);
export type EndpointStatus = z.infer<typeof EndpointStatus>;

const url = wellFormed(z.string().min(1).max(2_048)).describe("`https`. What resolves to an address that is not public is refused, unless INFER_WEBHOOK_ALLOW names it.");

export const WebhookEndpoint = z.strictObject({
  endpoint_id: EndpointId,
  tenant_id: TenantId,
  url,
  status: EndpointStatus.describe("Nothing is sent to one that is `disabled`; it also becomes so by answering 410."),
  /** Until when its events are signed with the former secret too. */
  rotating_until: z.iso.datetime().nullable(),
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
});
export type WebhookEndpoint = z.infer<typeof WebhookEndpoint>;

export const NewEndpoint = z.strictObject({ url });
export const EndpointChange = z.strictObject({ status: EndpointStatus });
/** The only time that the secret is told. */
export const EndpointWithSecret = WebhookEndpoint.extend({ secret: z.string().describe("Shown once: keep it now. What events are verified with.") });
export type EndpointWithSecret = z.infer<typeof EndpointWithSecret>;

export const DeliveryStatus = z.enum(["pending", "delivered", "dead"]);
export type DeliveryStatus = z.infer<typeof DeliveryStatus>;

export const WebhookType = z.enum(["request.completed", "batch.finished"]);
export type WebhookType = z.infer<typeof WebhookType>;

/** One event to one endpoint. */
export const WebhookDelivery = z.strictObject({
  webhook_id: WebhookId,
  tenant_id: TenantId,
  endpoint_id: EndpointId,
  type: WebhookType,
  status: DeliveryStatus.describe("`dead`: given up on; it can be sent again by hand."),
  tries: z.int().nonnegative(),
  /** Of the next try, where it is `pending`. */
  next_at: z.iso.datetime().nullable(),
  last_status: z.int().nullable().describe("HTTP status of the last try. `null`: none came."),
  last_error: z.string().nullable(),
  created_at: z.iso.datetime(),
  delivered_at: z.iso.datetime().nullable(),
});
export type WebhookDelivery = z.infer<typeof WebhookDelivery>;

const PARTS = ["output", "message", "attempts", "decision.steps"] as const;
/** The body of an event. */
export const RequestCompleted = z.strictObject({
  type: z.literal("request.completed"),
  timestamp: z.iso.datetime().describe("When the request ended."),
  data: InferReply.extend({
    left_out: z.array(z.enum(PARTS)).optional().describe("Parts that are empty here because the event would be larger than 64 KiB with them. `GET` at `read_at` has them."),
    read_at: z.string().optional(),
  }),
});
export type RequestCompleted = z.infer<typeof RequestCompleted>;

/** The body of an event. */
export const BatchFinished = z.strictObject({
  type: z.literal("batch.finished"),
  timestamp: z.iso.datetime().describe("When the batch ended."),
  data: BatchReply.describe("As `GET /batches/:id` says it. Of one that is `cancelled` what ran then still ends, and counts there later."),
});
export type BatchFinished = z.infer<typeof BatchFinished>;

/** As JSON. Pure. */
export const batchFinished = (reply: BatchReply, finishedAtMs: number): string =>
  JSON.stringify({ type: "batch.finished", timestamp: new Date(finishedAtMs).toISOString(), data: reply } satisfies BatchFinished);

/** What an endpoint may be sent. */
export const WEBHOOK_BODIES = { "request.completed": RequestCompleted, "batch.finished": BatchFinished } as const satisfies Record<WebhookType, z.ZodType>;

export const MAX_EVENT_BYTES = 64 * 1024;
/** As JSON of 64 KiB at most. What a caller can read elsewhere gives way: first the answer, then how it came about. Pure. */
export function requestCompleted(reply: InferReply, completedAtMs: number): string {
  const { message: _message, ...rest } = reply;
  const read_at = `/requests/${reply.request_id}?tenant_id=${reply.tenant_id}`;
  const answerless = { ...rest, output: null, left_out: ["output", "message"] as (typeof PARTS)[number][], read_at };
  const bare = { ...answerless, attempts: [], decision: { ...rest.decision, steps: [] }, left_out: [...PARTS] };
  const bodies = [reply, answerless, bare].map((data) => JSON.stringify({ type: "request.completed", timestamp: new Date(completedAtMs).toISOString(), data } satisfies RequestCompleted));
  return bodies.find((body) => Buffer.byteLength(body) <= MAX_EVENT_BYTES) ?? bodies.at(-1) ?? "";
}
