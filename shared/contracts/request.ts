/**
 * One request, through either door: the body of `POST /infer` and the body of a message on
 * `infer.request.<tenant>.<request id>` have the same fields, so the same request has the same outcome.
 */
import { z } from "zod";

import { Chat, Embed, Input } from "./chat.ts";
import { AssignedArm } from "./experimentArm.ts";
import { DIRECT_ORIGIN, Origin, RequestId, TenantId } from "./ids.ts";
import { NanoUsd, UsdAmount } from "./money.ts";
import { Probability } from "./probability.ts";
import { isStorable, storable, wellFormed } from "./text.ts";
import type { TenantSettings } from "./tenant.ts";
import { policyNames, type TierFile, TierName } from "./tiers.ts";

/** Epoch milliseconds that a `Date` can hold: one that it cannot would throw wherever it is read, for ever. */
export const EpochMs = z.int().positive().max(8.64e15);

/**
 * Counted as what travels: the JOB that carries the input with its saga must stay below NATS's `max_payload` of 1 MiB, and
 * both doors must take the same requests, so it leaves room for the other fields in an HTTP body of 256 KiB.
 */
const MAX_INPUT_BYTES = 240 * 1024;
const QUOTES = 2;
/** Most UTF-8 bytes that JSON makes of one UTF-16 unit: an escaped control character. */
const MOST_BYTES_PER_UNIT = 6;
const tooLong = { error: `must be at most ${MAX_INPUT_BYTES / 1024} KiB as a JSON string in UTF-8`, abort: true };
const fitsAJob = (text: string) => text.length * MOST_BYTES_PER_UNIT + QUOTES <= MAX_INPUT_BYTES || Buffer.byteLength(JSON.stringify(text)) <= MAX_INPUT_BYTES;

/** What handles a value level by level, JSON's own writer too, runs out of stack on a few thousand. */
const MOST_DEPTH = 128;
function isShallow(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; depth <= MOST_DEPTH; depth++) {
    level = level.flatMap((one) => (typeof one === "object" && one !== null ? (Object.values(one) as unknown[]) : []));
    if (level.length === 0) return true;
  }
  return false;
}

/** What is asked, but for a plain text: bounded as that is. `abort`: what is too deep must not be written as JSON. */
const asked = <T extends z.ZodType>(schema: T) => schema
  .refine(isShallow, { error: `must not be nested more than ${MOST_DEPTH} deep`, abort: true })
  .superRefine((value, context) => {
    const json = JSON.stringify(value);
    if (Buffer.byteLength(json) > MAX_INPUT_BYTES) context.addIssue({ code: "custom", message: `must be at most ${MAX_INPUT_BYTES / 1024} KiB as JSON in UTF-8` });
    else if (!isStorable(value, json)) context.addIssue({ code: "custom", message: "must be well-formed Unicode without NUL", params: { code: "invalid_unicode" } });
  })
  .optional();

const MOST_METADATA = 16;
/** Counted before they are looked at: each costs a check, and what is refused must cost next to nothing. */
const Metadata = z.preprocess((value, context) => {
  if (typeof value === "object" && value !== null && Object.keys(value).length > MOST_METADATA) {
    context.addIssue({ code: "custom", message: `at most ${MOST_METADATA} entries` });
    return z.NEVER;
  }
  return value;
}, z.record(wellFormed(z.string().min(1).max(64)), z.union([wellFormed(z.string().max(512)), z.number(), z.boolean()])));

/** Whether somebody waits for the answer. */
const Priority = z.enum(["interactive", "batch"]);

const fields = {
  user_id: wellFormed(z.string().min(1).max(128)).describe("Whose request it is; for reports and limits."),
  input: wellFormed(z.string().min(1).max(MAX_INPUT_BYTES - QUOTES, tooLong).refine(fitsAJob, tooLong)).refine((text) => text.trim() !== "", "must not be blank").optional()
    .describe("What the model is asked: at most 240 KiB as a JSON string in UTF-8. Either this or `chat`."),
  chat: asked(Chat)
    .describe("A conversation as OpenAI's chat completions have it, instead of `input`: at most 240 KiB as JSON in UTF-8."),
  embed: asked(Embed)
    .describe("Texts to turn into vectors, instead of `input`: at most 240 KiB as JSON in UTF-8. `policy` names the embedder: `always-<embedder>`."),
  stream: z.boolean().optional().describe("Pieces of the answer go to `infer.token.<origin>.<tenant>.<request id>` while it grows, once it is certain to be the outcome. No part of the request's content."),
  priority: Priority.optional().describe("`batch`: for what nobody waits for. It runs beside `interactive` requests (the default), in slots of its own, and only while those leave one of theirs free. No part of the request's content: a repeated request changes nothing about the first."),
  budget: z.number().nonnegative().max(1_000_000).describe("Most that all attempts together may cost, in USD."),
  latency_slo_ms: z.int().positive().max(1_800_000).optional().describe("Wanted latency. Tiers that would miss it are skipped while another can meet it."),
  deadline_ms: z.int().positive().optional().describe("Latest time for an outcome, from acceptance on. Cut to the service's maximum."),
  min_quality: Probability.optional().describe("Least confidence of an answer that is kept; below it the request escalates."),
  min_tier: TierName.optional(),
  max_tier: TierName.optional(),
  policy: z.string().min(1).max(64).optional().describe("`cascade-routing`, `cascade`, `predictive`, `cheapest`, `static`, `random` or `always-<tier>`. Default: the tier file's."),
  task: z.string().regex(/^[a-z0-9_-]{1,64}$/).optional().describe("Class of work, for static routes and statistics."),
  metadata: Metadata.optional().describe("Kept in the audit as it is: up to 16 short values."),
  cache_control: z.string().max(256).optional().describe("Of kept answers, as HTTP's request header: `no-cache`, `no-store`, `exact-only`, `max-age=<seconds>`, `only-if-cached`. No part of the request's content."),
  webhook: z.boolean().optional().describe("Tell the tenant's webhook endpoints when the request has ended: one `request.completed` to each. No part of the request's content."),
  explain: z.boolean().optional().describe("Over HTTP, the reply to this very call says of each decision all that it knew, predicted and drew. An audit event always does. No part of the request's content: a repeated request may choose anew."),
};

const ONE_THING = { error: "one of input, chat and embed says what is asked", path: ["input"] };
function asksOneThing({ input, chat, embed }: { input?: string | undefined; chat?: Chat | undefined; embed?: Embed | undefined }): boolean {
  return [input, chat, embed].filter((one) => one !== undefined).length === 1;
}

/** Body of `POST /infer`. Unknown fields are refused, so a misspelt `budget` cannot pass as "no budget". */
export const InferBody = z.strictObject({ request_id: RequestId.optional(), tenant_id: TenantId.optional().describe("Needed without an API key. With one it is the key's, and may be left out."), ...fields }).refine(asksOneThing, ONE_THING);
export type InferBody = z.infer<typeof InferBody>;

/** Body of a message in REQUESTS. Tenant and id are in the subject; if they are here too, they must agree with it. */
export const RequestMessage = z.strictObject({
  type: z.literal("request.v1").optional(),
  request_id: RequestId.optional(),
  tenant_id: TenantId.optional(),
  /** Written by gateways: where the reply goes. */
  origin: Origin.default(DIRECT_ORIGIN),
  /** Written by gateways: the API key that it came with. Of nobody else it is believed. */
  key_id: z.string().min(1).max(64).optional(),
  /** Written by gateways: it has waited so long for another request's answer, and its deadline is so much nearer. */
  waited_ms: z.int().nonnegative().max(1_800_000).optional(),
  ...fields,
}).refine(asksOneThing, ONE_THING);
export type RequestMessage = z.infer<typeof RequestMessage>;

/** A request as the services see it: money in nano-dollars, times absolute, defaults filled in. */
export const InferenceRequest = z.object({
  tenant_id: TenantId,
  request_id: RequestId,
  origin: Origin,
  user_id: fields.user_id,
  /** Absent: it came without a key. */
  key_id: z.string().optional(),
  input: Input,
  /** Somebody watches the answer grow. */
  stream: z.boolean().optional(),
  /** Absent: interactive. */
  priority: Priority.optional(),
  budget_nano_usd: NanoUsd,
  /** When REQUESTS stored it, by the broker's clock: epoch milliseconds. Every duration counts from here. */
  accepted_at_ms: EpochMs,
  /** Absolute, so that a redelivery does not extend it. */
  deadline_at_ms: EpochMs,
  latency_slo_ms: z.int().positive().nullable(),
  min_quality: Probability.nullable(),
  min_tier: TierName.nullable(),
  max_tier: TierName.nullable(),
  /** Of the tenant. Absent: all. */
  allowed_tiers: z.array(TierName).optional(),
  /** The tenant's retention has what is asked stored in the audit. */
  keeps_input: z.boolean().optional(),
  /** The tenant's webhook endpoints are told of the outcome. */
  webhook: z.boolean().optional(),
  /** Of an experiment's arm where there is one. */
  policy: z.string(),
  /** Absent: it is part of no experiment. */
  experiment: AssignedArm.optional(),
  task: z.string().nullable(),
  metadata: Metadata.nullable(),
  /** SHA-256 of what the caller asked for, to tell a repeated request from another one with the same id. */
  fingerprint: z.string(),
  /** SHA-256 of `input` alone, in hex. Absent: accepted by an older version. */
  input_sha256: z.string().optional(),
  cache_control: z.string().optional(),
  /** Where its answer may be kept for equal requests of the tenant, and how long; `key` says what it is equal in, `semantic_key` what it is equal in when it is asked in other words. Absent: nowhere. */
  cache: z.object({ key: z.string(), semantic_key: z.string().optional(), ttl_s: z.int().positive() }).optional(),
});
export type InferenceRequest = z.infer<typeof InferenceRequest>;

interface Defaults {
  readonly acceptedAtMs: number;
  readonly defaultDeadlineMs: number;
  readonly maxDeadlineMs: number;
  readonly defaultPolicy: string;
  /** Of the tenant; absent where nothing depends on them. */
  readonly settings?: Pick<TenantSettings, "policy" | "allowed_tiers" | "retention"> | undefined;
  /** Of the running experiment, with its policy; absent or `null`: the request is not part of one. */
  readonly arm?: { readonly policy: string; readonly assigned: AssignedArm } | null;
  readonly fingerprint: string;
  readonly inputSha256?: string | undefined;
}

/** Pure. `id` is what the subject says: that is what the broker authorised. */
export function toRequest(id: { tenant_id: string; request_id: string }, message: RequestMessage, defaults: Defaults): InferenceRequest {
  const { settings, arm } = defaults;
  const deadlineMs = Math.min(message.deadline_ms ?? defaults.defaultDeadlineMs, defaults.maxDeadlineMs) - (message.waited_ms ?? 0);
  return {
    ...id,
    origin: message.origin,
    user_id: message.user_id,
    ...(message.key_id === undefined ? {} : { key_id: message.key_id }),
    input: askedBy(message),
    ...(message.stream === true ? { stream: true } : {}),
    ...(message.priority === "batch" ? { priority: "batch" as const } : {}),
    budget_nano_usd: UsdAmount.parse(message.budget),
    accepted_at_ms: defaults.acceptedAtMs,
    deadline_at_ms: defaults.acceptedAtMs + Math.max(1, deadlineMs),
    latency_slo_ms: message.latency_slo_ms ?? null,
    min_quality: message.min_quality ?? null,
    min_tier: message.min_tier ?? null,
    max_tier: message.max_tier ?? null,
    ...(settings?.allowed_tiers == null ? {} : { allowed_tiers: settings.allowed_tiers }),
    ...(settings?.retention.prompts === "stored" ? { keeps_input: true } : {}),
    ...(message.webhook === true ? { webhook: true } : {}),
    policy: message.policy ?? arm?.policy ?? settings?.policy ?? defaults.defaultPolicy,
    ...(arm == null ? {} : { experiment: arm.assigned }),
    task: message.task ?? null,
    metadata: message.metadata ?? null,
    fingerprint: defaults.fingerprint,
    ...(defaults.inputSha256 === undefined ? {} : { input_sha256: defaults.inputSha256 }),
    ...(message.cache_control === undefined ? {} : { cache_control: message.cache_control }),
  };
}

/** One of them is there, as the schema says. */
export const askedBy = ({ input, chat, embed }: Pick<RequestMessage, "input" | "chat" | "embed">): Input => chat ?? embed ?? input ?? "";

/** What identifies the content of a request, in a fixed order: hash this. `origin`, `key_id`, `explain`, `stream`, `priority`, `webhook`, `cache_control` and the id are not content. */
export function canonicalContent(message: Omit<RequestMessage, "origin" | "type" | "tenant_id" | "request_id">): string {
  const { metadata } = message;
  const sorted = metadata === undefined ? null : Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([
    message.user_id, message.input, message.budget, message.latency_slo_ms, message.deadline_ms, message.min_quality,
    message.min_tier, message.max_tier, message.policy, message.task, sorted, ...(message.chat === undefined ? [] : [inOrder(message.chat)]), ...(message.embed === undefined ? [] : [inOrder({ embed: message.embed })]),
  ]);
}

/** With the keys of every object in alphabetical order: clients write them in any. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, inOrder(inner)]));
}

type Named = Pick<RequestMessage, "min_tier" | "max_tier" | "policy" | "embed">;
/** Tiers and policies that a request names but this service does not have; `null` when all is well. It quotes them as text that the audit can hold. */
export function unknownName(named: Named, file: Pick<TierFile, "tiers" | "embedders">): string | null {
  const problem = unknownNameOf(named, file);
  return problem === null ? null : storable(problem);
}

function unknownNameOf({ min_tier, max_tier, policy, embed }: Named, file: Pick<TierFile, "tiers" | "embedders">): string | null {
  if (embed !== undefined) return problemOfEmbedding({ min_tier, max_tier, policy }, file);
  const names = file.tiers.map(({ name }) => name);
  for (const [field, tier] of Object.entries({ min_tier, max_tier })) {
    if (tier !== undefined && !names.includes(tier)) return `${field}: there is no tier ${tier}; there are ${names.join(", ")}`;
  }
  if (min_tier !== undefined && max_tier !== undefined && names.indexOf(min_tier) > names.indexOf(max_tier)) return "min_tier: lies above max_tier";
  const policies = policyNames(file.tiers);
  if (policy !== undefined && !policies.includes(policy)) return `policy: there is no policy ${policy}; there are ${policies.join(", ")}`;
  return null;
}

/** Vectors of different models cannot be compared, so the caller chooses the model, and there is nothing to escalate to. */
function problemOfEmbedding({ min_tier, max_tier, policy }: Omit<Named, "embed">, { embedders }: Pick<TierFile, "embedders">): string | null {
  if (min_tier !== undefined || max_tier !== undefined) return "min_tier, max_tier: embedders are no tiers";
  const policies = embedders.map(({ name }) => `always-${name}`);
  if (policies.length === 0) return "embed: the tier file has no embedders";
  return policies.includes(policy ?? "") ? null : `policy: an embedding names its embedder; there are ${policies.join(", ")}`;
}
