/** What HTTP callers get: an audit event as an answer, with money in dollars. */
import { z } from "zod";

import { CacheUse } from "./cache.ts";
import { AnswerDelta, AnswerMessage } from "./chat.ts";
import { type Decision, Draw, Exclusion, Exploration, Facts, LearnedFacts, SoftLimit, StopReason } from "./decision.ts";
import { ERROR_CODE_NAMES, ERROR_CODES } from "./errors.ts";
import { type Attempt, type Completion, EventError, Outcome } from "./events.ts";
import { ExperimentArm } from "./experimentArm.ts";
import { RequestId, TenantId } from "./ids.ts";
import { toUsd } from "./money.ts";
import { Probability } from "./probability.ts";

const usd = (meaning: string) => z.number().nonnegative().describe(`${meaning} In USD, exact to the nano-dollar.`);

export const AttemptReply = z.object({
  attempt: z.int(),
  tier: z.string(),
  model: z.string(),
  replica: z.string().nullable().describe("Which of the tier's servers answered, where it has several."),
  outcome: z.enum(["answered", "failed"]),
  confidence: Probability.nullable(),
  is_sound: z.boolean().nullable().describe("Complete, not empty, not a refusal."),
  error: EventError.nullable(),
  cost_usd: usd("What the attempt cost."),
  latency_ms: z.number(),
  tries: z.int().describe("Calls of the backend, the first included."),
  input_tokens: z.int().nullable(),
  output_tokens: z.int().nullable(),
});

export const StepReply = z.object({
  after_attempt: z.int(),
  step: z.enum(["run", "stop"]),
  tier: z.string().nullable(),
  min_confidence: Probability.nullable().describe("From this confidence on the answer was to be kept."),
  despite: SoftLimit.nullable().describe("The limit that this tier misses too; it was run because no tier meets them all."),
  reason: StopReason.nullable(),
  excluded: z.record(z.string(), Exclusion).describe("Tiers that were not considered, and the limit that ruled each out."),
  facts: Facts.optional().describe("With `explain`: what was known of each tier. Money as in the audit event, in nano-dollars (1e-9 USD)."),
  learned: LearnedFacts.optional().describe("With `explain`, where a routing model decided: what it said of the query and of each next step, λ and its version."),
  exploration: Exploration.optional().describe("With `explain`, where the tier was drawn: among which, and with what probability."),
  draw: Draw.optional().describe("The same of a step of the policy `random`."),
});

export const DecisionReply = z.object({
  policy: z.string().nullable(),
  experiment: ExperimentArm.optional().describe("The experiment that chose the policy, its arm, and with what probability it was drawn."),
  why: z.string().describe("The whole way to the answer in one sentence."),
  steps: z.array(StepReply),
});

export const InferReply = z.object({
  request_id: RequestId,
  tenant_id: TenantId,
  outcome: Outcome,
  degraded_reason: StopReason.nullable(),
  output: z.string().nullable(),
  message: AnswerMessage.optional().describe("Of an answer to a conversation: its finish reason, calls of tools. Of texts to embed: `vectors`, 32-bit floats, little-endian, in base64."),
  tier: z.string().nullable(),
  model: z.string().nullable(),
  confidence: Probability.nullable(),
  confidence_source: z.string().nullable(),
  cost_usd: usd("What all attempts together cost."),
  baseline_cost_usd: usd("What the baseline tier would have cost.").nullable(),
  baseline_tier: z.string().nullable(),
  latency_ms: z.int().describe("From acceptance to the outcome."),
  cache: CacheUse.optional().describe("The answer was made for another request of the tenant: an earlier one (`exact`, or `semantic` when that asked the same in other words) or one that ran at the same time (`shared`). Nothing ran for this one."),
  attempts: z.array(AttemptReply),
  decision: DecisionReply,
  trace_id: z.string(),
  error: EventError.nullable(),
});
export type InferReply = z.infer<typeof InferReply>;

/** Every error of the HTTP API. After acceptance it has the request's record too. */
export const ErrorReply = z.object({
  error: z.object({ code: z.enum(ERROR_CODE_NAMES), message: z.string(), retryable: z.boolean().describe("Whether the same request, with the same `request_id`, may succeed later.") }),
  request_id: z.string().optional(),
  request: InferReply.optional(),
});
export type ErrorReply = z.infer<typeof ErrorReply>;

/**
 * Data of the events of a streamed `POST /infer`, each named by its `type`. Pieces, then the record. An `error` says that the
 * pieces are no beginning of the answer that was kept (`stream_broken`), or why there is no outcome yet.
 */
export const InferEvent = z.discriminatedUnion("type", [
  z.object({ type: z.literal("token"), model: z.string(), delta: AnswerDelta }),
  z.object({ type: z.literal("outcome"), request: InferReply }),
  z.object({ type: z.literal("error"), error: z.object({ code: z.string(), message: z.string(), retryable: z.boolean() }), request_id: RequestId, request: InferReply.optional() }),
]);
export type InferEvent = z.infer<typeof InferEvent>;

export const PendingReply = z.object({ request_id: RequestId, tenant_id: TenantId, status: z.literal("pending") });

export interface ReplyOptions {
  /** With all that each decision knew. */
  readonly explain?: boolean | undefined;
}
/** Pure. */
export function toReply(event: Completion, options: ReplyOptions = {}): InferReply {
  return {
    request_id: event.request_id,
    tenant_id: event.tenant_id,
    outcome: event.outcome,
    degraded_reason: event.degraded_reason,
    output: event.output,
    ...(event.message === undefined ? {} : { message: event.message }),
    tier: event.tier,
    model: event.model,
    confidence: event.confidence,
    confidence_source: event.confidence_source,
    cost_usd: toUsd(event.cost_nano_usd),
    baseline_cost_usd: event.baseline_cost_nano_usd === null ? null : toUsd(event.baseline_cost_nano_usd),
    baseline_tier: event.baseline_tier,
    latency_ms: event.latency_ms,
    ...(event.cache === undefined ? {} : { cache: event.cache }),
    attempts: event.attempts.map(toAttemptReply),
    decision: { policy: event.policy, ...(event.experiment === undefined ? {} : { experiment: event.experiment }), why: why(event), steps: event.decisions.map((decision) => toStepReply(decision, options)) },
    trace_id: event.trace_id,
    error: event.error,
  };
}

export function toAttemptReply({ attempt, tier, model, replica, outcome, cost_nano_usd, latency_ms, tries, usage }: Attempt): z.infer<typeof AttemptReply> {
  const answer = outcome.kind === "answered" ? outcome : null;
  return {
    attempt, tier, model,
    replica: replica ?? null,
    outcome: outcome.kind,
    confidence: answer?.confidence ?? null,
    is_sound: answer?.is_sound ?? null,
    error: outcome.kind === "failed" ? { code: outcome.code, message: outcome.message } : null,
    cost_usd: toUsd(cost_nano_usd),
    latency_ms, tries,
    input_tokens: usage?.input_tokens ?? null,
    output_tokens: usage?.output_tokens ?? null,
  };
}

export function toStepReply(decision: Decision, { explain = false }: ReplyOptions): z.infer<typeof StepReply> {
  const { after_attempt, step } = decision;
  const record = explain ? recordOf(decision) : {};
  if (step.kind === "stop") return { after_attempt, step: step.kind, tier: null, min_confidence: null, despite: null, reason: step.reason, excluded: step.excluded, ...record };
  return { after_attempt, step: step.kind, tier: step.tier, min_confidence: step.acceptance?.min_confidence ?? null, despite: step.despite ?? null, reason: null, excluded: step.excluded, ...record };
}

/** What is left of the budget of all tenants is not told to one of them. */
function factsFor({ budget_left, ...facts }: Decision["facts"]): Decision["facts"] {
  return budget_left === undefined || budget_left.is_global === true ? facts : { ...facts, budget_left };
}
const recordOf = ({ facts, learned, exploration, draw }: Decision) =>
  ({ facts: factsFor(facts), ...(learned === undefined ? {} : { learned }), ...(exploration === undefined ? {} : { exploration }), ...(draw === undefined ? {} : { draw }) });

/** Cut, not rounded: 0.9996 is not 1. */
const threeDigits = (share: number) => (Math.floor(share * 1_000) / 1_000).toFixed(3);

const DESPITE: Record<SoftLimit, string> = { beyond_slo: "the fastest, though beyond the latency SLO", no_worker: "though no worker of it was heard of" };

/** "small answered with confidence 0.62, below 0.95; large answered with confidence 0.97, kept." */
function why({ attempts, decisions, outcome, degraded_reason, error, cache, tier }: Completion): string {
  if (cache !== undefined) return `${tier ?? "a tier"} answered request ${cache.source_request_id}, which asked the same${cache.kind === "semantic" ? " in other words" : ""}${cache.kind === "shared" ? " at the same time" : `; kept since ${Math.floor(cache.age_ms / 1_000)} s`}.`;
  const parts = attempts.map(({ attempt, tier, outcome: result }) => {
    const { step, exploration } = decisions.find(({ after_attempt, step: chosen }) => after_attempt === attempt - 1 && chosen.kind === "run") ?? {};
    const remark = exploration?.is_explored === true ? "explored" : step?.kind === "run" && step.despite !== undefined ? DESPITE[step.despite] : null;
    const name = remark === null ? tier : `${tier} (${remark})`;
    if (result.kind === "failed") return `${name} failed (${result.code})`;
    if (!result.is_sound) return `${name} gave no sound answer`;
    const threshold = step?.kind === "run" ? (step.acceptance?.min_confidence ?? null) : null;
    const isKept = threshold !== null && result.confidence >= threshold;
    return `${name} answered with confidence ${threeDigits(result.confidence)}${isKept ? ", kept" : threshold === null ? "" : `, below ${threeDigits(threshold)}`}`;
  });
  if (outcome === "degraded") parts.push(`the best answer so far is returned (${degraded_reason ?? "stopped"})`);
  if (error !== null) parts.push(error.message);
  return `${parts.join("; ")}.`;
}

/** The HTTP status of an outcome: an answer is 200, whatever came of it before. */
export const statusOf = ({ error }: Pick<Completion, "error">): number => (error === null ? 200 : ERROR_CODES[error.code].httpStatus);
