/**
 * Every message that crosses a process boundary, declared once: types, validation, OpenAPI and AsyncAPI come from here.
 * What is JSON or a column is spelt in snake_case and has one name in code, API, NATS and SQL (ADR 0002).
 * To change a shipped payload incompatibly, add a version; a fixture test keeps the old ones readable.
 */
import { z } from "zod";

import { CacheUse } from "./cache.ts";
import { AnswerMessage, Input } from "./chat.ts";
import { Decision, StopReason } from "./decision.ts";
import { ERROR_CODE_NAMES } from "./errors.ts";
import { ExperimentArm } from "./experimentArm.ts";
import { Origin, RequestId, TenantId } from "./ids.ts";
import { NanoUsd } from "./money.ts";
import { Probability } from "./probability.ts";
import { EpochMs, InferenceRequest } from "./request.ts";
import { MOST_TOKENS, Rates } from "./rates.ts";
import { Terms } from "./terms.ts";
import { TierName } from "./tiers.ts";

const AttemptNumber = z.int().min(1).max(99);
/** What a server may say, kept as it said it as far as it is a number of tokens at all. */
const ToldTokens = z.int().min(-MOST_TOKENS).max(MOST_TOKENS).nullable();
/** `retry_after_ms`: of a limit, until another request will be let through. */
export const EventError = z.object({ code: z.enum(ERROR_CODE_NAMES), message: z.string(), retry_after_ms: z.int().nonnegative().optional() });
export type EventError = z.infer<typeof EventError>;

export const Usage = z.object({
  input_tokens: z.int().nonnegative(),
  output_tokens: z.int().nonnegative(),
  /** Of `input_tokens`, read from the server's prompt cache or written to it, and of `output_tokens`, thought and not said. Absent: not told. */
  cached_input_tokens: z.int().nonnegative().optional(),
  cache_write_input_tokens: z.int().nonnegative().optional(),
  reasoning_output_tokens: z.int().nonnegative().optional(),
  /**
   * Of all tokens, those of a kind that no price here tells apart: audio, pictures that were made, caches that are kept for an hour. They are charged
   * like all others, which may be too little: the attempt's `cost_is_partial` says so.
   */
  unpriced_tokens: z.int().nonnegative().optional(),
  /** `reported` by the model's server, or `estimated` here because it said nothing. */
  source: z.enum(["reported", "estimated"]),
  /**
   * What was told, or estimated, cannot be: more than the call can have had, nothing for an answer, no number. What is plausible stands
   * instead of it, never more than the call was quoted at, and is charged.
   */
  is_clamped: z.literal(true).optional(),
  /** Of a clamped one: what the server said, of all such calls together. `null`: no whole number. Absent: it said nothing. */
  reported: z.object({ input_tokens: ToldTokens, output_tokens: ToldTokens }).optional(),
});
export type Usage = z.infer<typeof Usage>;

/** One more call of the same model about an answer. One that failed says so, and may have cost money too. */
export const Check = z.object({ kind: z.enum(["self_verification", "sample_agreement"]), usage: Usage.nullable(), cost_nano_usd: NanoUsd, latency_ms: z.number().nonnegative(), error_code: EventError.shape.code.nullable() });
export type Check = z.infer<typeof Check>;

/** Of an attempt whose calls were charged at several prices: those of one price together. */
export const Charge = z.object({ rates: Rates, usage: Usage, cost_nano_usd: NanoUsd });
export type Charge = z.infer<typeof Charge>;

/** One paid call of a backend with its retries, whatever came of it. A failed one may have cost money too. */
export const Attempt = z.object({
  attempt: AttemptNumber,
  tier: TierName,
  model: z.string(),
  /** Which of the tier's replicas answered or failed last. Absent: the tier has one backend, or none was called. */
  replica: z.string().optional(),
  started_at_ms: EpochMs,
  latency_ms: z.number().nonnegative(),
  /** From the start to the first piece of the answer, where it was streamed. */
  first_token_ms: z.number().nonnegative().optional(),
  /** Calls of the backend, the first included. */
  tries: z.int().nonnegative(),
  usage: Usage.nullable(),
  /** Never more than `max_cost_nano_usd` of the quote that the step was decided by. */
  cost_nano_usd: NanoUsd,
  /** What its calls and checks cost, where that is more than the step was quoted at and `cost_nano_usd` so less. */
  uncapped_cost_nano_usd: NanoUsd.optional(),
  /** The price that it was charged at: of whoever answered, or of the last one whose call cost something. Absent: nothing was charged, or an older event. */
  rates: Rates.optional(),
  /** Where replicas with other prices were called too. `cost_nano_usd`, before it is capped, is their sum, with that of the checks, which are at `rates`. */
  charges: z.array(Charge).optional(),
  /** Calls that were made to learn how sure the answer is. Their costs are in `cost_nano_usd`, their tokens not in `usage`. */
  checks: z.array(Check).optional(),
  /**
   * The true cost may be higher than what is known: a call was cut off, so that its server may have charged something that it did not tell, or
   * it had tokens of a kind for which there is no price.
   */
  cost_is_partial: z.boolean(),
  outcome: z.discriminatedUnion("kind", [
    /** `is_sound`: complete, not empty, not a refusal. */
    z.object({ kind: z.literal("answered"), is_sound: z.boolean(), confidence: Probability, confidence_source: z.string() }),
    /** `retry_after_ms`: the longest wait that a server asked for. Absent: none did. */
    z.object({ kind: z.literal("failed"), ...EventError.shape }),
  ]),
});
export type Attempt = z.infer<typeof Attempt>;

/** The state machine's snapshot. It travels with the message; `shared/saga` alone looks inside. */
const saga = z.record(z.string(), z.unknown());
const id = { tenant_id: TenantId, request_id: RequestId };

/** Of a router, over `request` and `saga` as they are in a job, its place and its tier: an HMAC-SHA256 in base64url, under a key that routers alone have. */
const signature = z.string().max(100);

/** `signature`: absent where routers have no key, or of an older version. */
export const Job = z.object({ type: z.literal("job.v1"), ...id, tier: TierName, attempt: AttemptNumber, request: InferenceRequest, saga, signature: signature.optional() });
export type Job = z.infer<typeof Job>;

/** What a worker may not accept itself. What happened is in the saga. `routed`: the saga as the router had put it into the job, unchanged; absent where that was not signed, or would not fit. */
export const Result = z.object({ type: z.literal("result.v1"), ...id, attempt: AttemptNumber, request: InferenceRequest, saga, routed: z.object({ saga, signature }).optional() });
export type Result = z.infer<typeof Result>;

/** `completed`, or the best answer so far (`degraded`), or none (`failed`), or not even tried (`rejected`). */
export const Outcome = z.enum(["completed", "degraded", "failed", "rejected"]);
export type Outcome = z.infer<typeof Outcome>;

/** The audit event: one for each request, with the whole saga. The first one that is stored is the outcome. */
export const Completion = z.object({
  type: z.literal("completion.v1"),
  ...id,
  origin: Origin,
  /** `null` here and below: the request could not be read. */
  user_id: z.string().nullable(),
  outcome: Outcome,
  /** Why an answer is `degraded`. */
  degraded_reason: StopReason.nullable(),
  error: EventError.nullable(),
  output: z.string().nullable(),
  /** Of an answer to a conversation. Absent: of a text, or no answer. */
  message: AnswerMessage.optional(),
  tier: TierName.nullable(),
  model: z.string().nullable(),
  confidence: Probability.nullable(),
  confidence_source: z.string().nullable(),
  cost_nano_usd: NanoUsd,
  /** What the same tokens would have cost on the baseline tier; `null` when no tokens were counted. */
  baseline_cost_nano_usd: NanoUsd.nullable(),
  baseline_tier: TierName.nullable(),
  /** Absent: it was made for this request. With it nothing ran, and there are no attempts or decisions. */
  cache: CacheUse.optional(),
  attempts: z.array(Attempt),
  decisions: z.array(Decision),
  /** The API key that it came with. Absent: none, or an older event. */
  key_id: z.string().optional(),
  policy: z.string().nullable(),
  /** The arm that chose the policy, and with what probability it was drawn. Absent: no experiment, or an older event. */
  experiment: ExperimentArm.optional(),
  task: z.string().nullable(),
  budget_nano_usd: NanoUsd.nullable(),
  metadata: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).nullable(),
  input_bytes: z.int().nonnegative().nullable(),
  /** Of what was asked, in hex. Absent: an older event, or the request could not be read. */
  input_sha256: z.string().optional(),
  /** What was asked, where the tenant's retention has prompts stored. */
  input: Input.optional(),
  /** The tenant's webhook endpoints are to be told. */
  webhook: z.literal(true).optional(),
  fingerprint: z.string().nullable(),
  accepted_at_ms: EpochMs,
  completed_at_ms: EpochMs,
  latency_ms: z.int().nonnegative(),
  /** Wanted by the request. Absent: it said none, or an older event. */
  latency_slo_ms: z.int().positive().optional(),
  /** What else decisions read of the request. Absent: an older event, or the request could not be read. */
  terms: Terms.optional(),
  trace_id: z.string(),
});
export type Completion = z.infer<typeof Completion>;

/** Why a message was given up, and where it lies; the message itself stays in its stream. */
export const DeadLetter = z.object({
  type: z.literal("dead_letter.v1"),
  stream: z.string(),
  stream_seq: z.int().positive(),
  subject: z.string(),
  tenant_id: TenantId.nullable(),
  request_id: RequestId.nullable(),
  reason: z.string(),
  message: z.string(),
  deliveries: z.int().nonnegative(),
  at_ms: EpochMs,
  /** A run that was paid for and came too late to count. */
  late_attempt: Attempt.nullable(),
});
export type DeadLetter = z.infer<typeof DeadLetter>;

/** What moves a request on. */
export type SagaMessage = Job | Result | Completion;
