import { bytesOf } from "#shared/contracts/chat.ts";
import { compiled } from "#shared/contracts/compiled.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { type Completion, Outcome, type SagaMessage } from "#shared/contracts/events.ts";
import type { ExperimentArm } from "#shared/contracts/experimentArm.ts";
import type { NanoUsd } from "#shared/contracts/money.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import { costOf } from "#shared/contracts/rates.ts";
import { termsOf } from "#shared/contracts/terms.ts";

import { advance, type MachineEvent, Saga, type SagaContext, spentOn } from "./inferenceMachine.ts";

/** Where and when a message is made. `nowMs`: epoch milliseconds. */
export interface Occasion {
  readonly nowMs: number;
  readonly traceId: string;
}

/** One event in, the messages it leads to out. Pure: router, worker, sweeper and replay make the same call. */
export function messagesAfter(request: InferenceRequest, saga: Saga, event: MachineEvent, occasion: Occasion): SagaMessage[] {
  const { state, context, commands } = advance(saga, event);
  const { tenant_id, request_id } = request;
  const { tier, attempt } = context;
  return commands.map((command): SagaMessage => {
    switch (command) {
      case "publishJob":
        return { type: "job.v1", tenant_id, request_id, tier, attempt, request, saga: { state, context } };
      case "publishResult":
        return { type: "result.v1", tenant_id, request_id, attempt, request, saga: { state, context } };
      case "publishCompletion":
        return toCompletion(request, Outcome.parse(state), context, occasion); // the final states are the outcomes
    }
  });
}

function toCompletion(request: InferenceRequest, outcome: Outcome, context: SagaContext, { nowMs, traceId }: Occasion): Completion {
  const { best, finished, decisions } = context;
  return {
    ...recordOf(request, { nowMs, traceId }),
    ...endOf(outcome, context),
    output: best?.output ?? null,
    ...(best?.message === undefined ? {} : { message: best.message }),
    attempts: finished,
    decisions,
  };
}

/** What a terminal event says of how its request ended, but for the answer itself. */
export function endOf(outcome: Outcome, context: SagaContext) {
  const { best, finished, baseline, degraded_reason, error } = context;
  const last = finished.at(-1);
  return {
    outcome,
    degraded_reason,
    error,
    tier: best?.tier ?? last?.tier ?? null,
    model: best?.model ?? last?.model ?? null,
    confidence: best?.confidence ?? null,
    confidence_source: best?.confidence_source ?? null,
    cost_nano_usd: spentOn(context),
    baseline_cost_nano_usd: baselineCost(context),
    baseline_tier: baseline.tier,
  };
}

/** What a terminal event says of its request, however that ended. */
export function recordOf(request: InferenceRequest, { nowMs, traceId }: Occasion) {
  return {
    type: "completion.v1" as const,
    tenant_id: request.tenant_id,
    request_id: request.request_id,
    origin: request.origin,
    user_id: request.user_id,
    ...(request.key_id === undefined ? {} : { key_id: request.key_id }),
    policy: request.policy,
    ...(request.experiment === undefined ? {} : { experiment: drawnIn(request.experiment) }),
    task: request.task,
    budget_nano_usd: request.budget_nano_usd,
    metadata: request.metadata,
    input_bytes: bytesOf(request.input),
    ...(request.input_sha256 === undefined ? {} : { input_sha256: request.input_sha256 }),
    ...(request.keeps_input === true ? { input: request.input } : {}),
    ...(request.webhook === true ? { webhook: true as const } : {}),
    fingerprint: request.fingerprint,
    accepted_at_ms: request.accepted_at_ms,
    completed_at_ms: nowMs,
    latency_ms: Math.max(0, nowMs - request.accepted_at_ms),
    ...(request.latency_slo_ms === null ? {} : { latency_slo_ms: request.latency_slo_ms }),
    terms: termsOf(request),
    trace_id: traceId,
  };
}

/** Which model decided is in the decisions. */
const drawnIn = ({ experiment_id, arm, share }: ExperimentArm): ExperimentArm => ({ experiment_id, arm, share });

/**
 * What the request would have cost on the baseline tier. Where that tier ran, what it charged; elsewhere the tokens of
 * the last answer, or else of the last attempt that counted any, at the baseline's price. `null` when no attempt counted
 * tokens. What another tier's cache held says nothing of the baseline's: its input counts in full.
 */
export function baselineCost({ baseline, finished }: SagaContext): NanoUsd | null {
  const ran = finished.filter(({ tier, outcome }) => tier === baseline.tier && outcome.kind === "answered");
  const known = ran.at(-1);
  if (known !== undefined) return known.cost_nano_usd;
  const counted = finished.filter(({ usage }) => usage !== null);
  const usage = (counted.findLast(({ outcome }) => outcome.kind === "answered") ?? counted.at(-1))?.usage;
  if (!usage) return null;
  const { input_tokens, output_tokens } = usage;
  return costOf(baseline.rates, { input_tokens, output_tokens });
}

export function readSaga(raw: Record<string, unknown>): Saga {
  const saga = compiled(Saga).safeParse(raw);
  if (!saga.success) throw new AppError("invalid_request", "unreadable saga", { cause: saga.error });
  return saga.data;
}
