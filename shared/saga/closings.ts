/** How a request ends that nobody will finish: its message could not be read, was given up on, or is past its deadline. */
import type { Completion, EventError, Job, Result } from "#shared/contracts/events.ts";
import { DIRECT_ORIGIN } from "#shared/contracts/ids.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";

import { type Baseline, newSaga } from "./inferenceMachine.ts";
import { messagesAfter, type Occasion, readSaga } from "./messagesAfter.ts";

/** What savings are measured against. The tier file's schema made sure that the tier exists. */
export function baselineOf({ tiers, baseline_tier }: TierFile): Baseline {
  const tier = tiers.find(({ name }) => name === baseline_tier);
  if (tier === undefined) throw new Error(`no tier ${baseline_tier}`);
  const { input_nano_usd_per_million, output_nano_usd_per_million, request_nano_usd, above } = tier.price;
  return { tier: tier.name, rates: { input_nano_usd_per_million, output_nano_usd_per_million, request_nano_usd, ...(above === undefined ? {} : { above }) } };
}

/** Closes what was never routed. */
export const closeRequest = (request: InferenceRequest, file: TierFile, error: EventError, occasion: Occasion): Completion[] =>
  messagesAfter(request, newSaga(baselineOf(file)), { type: "CLOSED", error }, occasion).filter(isCompletion);

/** Closes what was under way, with the best answer so far. */
export const closeSaga = ({ request, saga }: Pick<Job | Result, "request" | "saga">, error: EventError, occasion: Occasion): Completion[] =>
  messagesAfter(request, readSaga(saga), { type: "CLOSED", error }, occasion).filter(isCompletion);

const isCompletion = (message: { type: string }): message is Completion => message.type === "completion.v1";

/** For a message whose body says nothing: all that is known is in its subject, and perhaps `origin`, who waits for the reply. */
export function unreadableCompletion(id: { tenant_id: string; request_id: string }, acceptedAtMs: number, error: EventError, { nowMs, traceId }: Occasion, origin = DIRECT_ORIGIN): Completion {
  return {
    type: "completion.v1", ...id, origin, user_id: null,
    outcome: "failed", degraded_reason: null, error, output: null, tier: null, model: null, confidence: null, confidence_source: null,
    cost_nano_usd: nanoUsd(0), baseline_cost_nano_usd: null, baseline_tier: null, attempts: [], decisions: [],
    policy: null, task: null, budget_nano_usd: null, metadata: null, input_bytes: null, fingerprint: null,
    accepted_at_ms: acceptedAtMs, completed_at_ms: nowMs, latency_ms: Math.max(0, nowMs - acceptedAtMs), trace_id: traceId,
  };
}
