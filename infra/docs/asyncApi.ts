import { z } from "zod";

import { CacheAudit, CacheAuditJob } from "#shared/contracts/cacheAudit.ts";
import { Completion, DeadLetter, Job, Result } from "#shared/contracts/events.ts";
import { FeedbackMessage } from "#shared/contracts/feedback.ts";
import { RequestMessage } from "#shared/contracts/request.ts";
import { Shadow, ShadowJob, ShadowTierEvent } from "#shared/contracts/shadow.ts";
import { VERSION } from "#shared/runtime/version.ts";

interface Channel {
  readonly name: string;
  readonly address: string;
  readonly schema: z.ZodType;
  readonly io: "input" | "output";
  readonly description: string;
  /** Seen from this service. */
  readonly action: "receive" | "send";
}

const CHANNELS: readonly Channel[] = [
  {
    name: "request", address: "infer.request.{tenant_id}.{request_id}", schema: RequestMessage, io: "input", action: "receive",
    description: "Publish a request here (JetStream stream REQUESTS; accepted once you have the PubAck). The fields are those of `POST /infer`; tenant and id come from the subject. The first message per subject wins.",
  },
  {
    name: "completion", address: "infer.completion.{tenant_id}.{request_id}", schema: Completion, io: "output", action: "send",
    description: "The outcome, exactly one per request (stream COMPLETIONS): read it with a direct get by subject. Do not take the core copy for it: a refused publish is delivered there too.",
  },
  {
    name: "reply", address: "infer.reply.{origin}.{tenant_id}.{request_id}", schema: Completion, io: "output", action: "send",
    description: "The stored outcome, sent once it is durable (core NATS). `origin` is `direct` for NATS publishers. May be lost: the stream is the truth.",
  },
  {
    name: "feedback", address: "infer.feedback.{tenant_id}.{request_id}", schema: FeedbackMessage, io: "input", action: "receive",
    description: "Say here how good an answer was (stream FEEDBACK; recorded once you have the PubAck). The fields are those of `POST /requests/:id/feedback`. Each source has one feedback per request; its latest counts.",
  },
  {
    name: "deadLetter", address: "infer.deadletter.{stream}.{tenant_id}", schema: DeadLetter, io: "output", action: "send",
    description: "What could not be processed, and why (stream DEAD_LETTERS). The message itself stays in its stream.",
  },
  {
    name: "shadow", address: "infer.shadow.{tenant_id}.{request_id}", schema: Shadow, io: "output", action: "send",
    description: "How far a kept answer is what the baseline tier says, one per sampled request, with how every tier did on it that was known by then and the cost of asking (stream SHADOWS). That cost is none of the request's.",
  },
  {
    name: "shadowTier", address: "infer.shadow.{tenant_id}.{request_id}.{tier}", schema: ShadowTierEvent, io: "output", action: "send",
    description: "How one more tier did on a sampled request, and the cost of asking it, one per tier that was asked after the baseline (stream SHADOWS, beside the request's shadow).",
  },
  {
    name: "cacheAudit", address: "infer.shadow.{tenant_id}.{request_id}.{tier}", schema: CacheAudit, io: "output", action: "send",
    description: "What a run says of the answer that a request was given from the semantic cache, one per sampled hit, and the cost of that run (stream SHADOWS). That cost is none of the request's.",
  },
  { name: "job", address: "infer.job.{tier}.{tenant_id}.{request_id}.{attempt}", schema: Job, io: "output", action: "send", description: "Internal: one attempt, from a router to the workers of a tier (stream JOBS)." },
  { name: "batchJob", address: "infer.batchjob.{tier}.{tenant_id}.{request_id}.{attempt}", schema: Job, io: "output", action: "send", description: "Internal: the same for a request of the priority `batch` (stream JOBS too): workers take it up only while not all slots of their tier are in use." },
  { name: "shadowJob", address: "infer.shadowjob.{tier}.{tenant_id}.{request_id}", schema: ShadowJob, io: "output", action: "send", description: "Internal: a sampled request that a tier is asked about after it has its outcome, with what the tiers before it answered (stream SHADOW_JOBS)." },
  { name: "cacheAuditJob", address: "infer.auditjob.{tier}.{tenant_id}.{request_id}", schema: CacheAuditJob, io: "output", action: "send", description: "Internal: a sampled hit of the semantic cache that its tier is asked after all, with the answer that was given (stream SHADOW_JOBS)." },
  { name: "result", address: "infer.result.{tenant_id}.{request_id}.{attempt}", schema: Result, io: "output", action: "send", description: "Internal: an attempt that the worker may not accept itself, back to a router (stream RESULTS)." },
];

/** The NATS side as an AsyncAPI 3.0 document, from the schemas that the services validate with. */
export function asyncApi(): Record<string, unknown> {
  return {
    asyncapi: "3.0.0",
    info: { title: "Cost-Aware ML Inference Optimizer, NATS side", version: VERSION, description: "`infer` is the default of INFER_PREFIX." },
    defaultContentType: "application/json",
    channels: Object.fromEntries(CHANNELS.map(({ name, address, description }) => [name, { address, description, parameters: parametersOf(address), messages: { [name]: { $ref: `#/components/messages/${name}` } } }])),
    operations: Object.fromEntries(CHANNELS.map(({ name, action }) => [`${action}${name[0]?.toUpperCase() ?? ""}${name.slice(1)}`, { action, channel: { $ref: `#/channels/${name}` } }])),
    components: { messages: Object.fromEntries(CHANNELS.map(({ name, schema, io }) => [name, { name, headers: HEADERS, payload: z.toJSONSchema(schema, { target: "draft-7", io }) }])) },
  };
}

const HEADERS = { type: "object", properties: { traceparent: { type: "string", description: "W3C trace context." } } };
const parametersOf = (address: string): Record<string, object> => Object.fromEntries([...address.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => [name, {}]));
