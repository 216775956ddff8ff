import { bytesOf } from "#shared/contracts/chat.ts";
import type { Facts, TierQuote } from "#shared/contracts/decision.ts";
import { type NanoUsd, nanoUsd } from "#shared/contracts/money.ts";
import { mostTokensFor } from "#shared/contracts/mostTokens.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import { costOf, estimateTokens, mostCostOf, type TokenCount } from "#shared/contracts/rates.ts";
import { type AskedShape, askedShape } from "#shared/contracts/terms.ts";
import { batchSlotsOf, type ConfidenceMethod, methodFor, replicasOf, type Tier, type TierFile, type TierReplica } from "#shared/contracts/tiers.ts";

import { type LatencyQuantiles, probabilityWithin } from "./onTime.ts";

/** Of the jobs of one lane. */
interface LiveLane {
  /** Jobs that wait or run. */
  readonly queueDepth: number;
  /** Jobs that all workers of the tier run at once. */
  readonly slots: number;
}
/** What is known of a tier right now. Gathered outside, passed in. The depth and the slots are those of requests that somebody waits for. */
export interface LiveTier extends LiveLane {
  /** `null`: nothing was measured lately; the tier file's prior counts. */
  readonly latency: LatencyQuantiles | null;
  readonly breaker: TierQuote["breaker"];
  readonly workers: number;
  /** What batch requests wait in, as long as interactive ones leave a slot free. Absent: nothing is known. */
  readonly batch?: LiveLane;
}
export type LiveTiers = ReadonlyMap<string, LiveTier>;

/** A tier is too late when it would miss the deadline more often than once in twenty. */
export const MIN_ON_TIME = 0.95;
/** Where the policy weighs lateness itself, a tier is left out only when it would nearly always be late. */
export const MIN_WITHIN_SLO = 0.2;

/** Tokens of the request's prompt by tier, as their tokenizers count it. For the others it is estimated. */
export type CountedTokens = ReadonlyMap<string, number>;

/** Pure: tier file, live state, clock and counted tokens in, quotes out, cheapest tier first. `nowMs`: epoch milliseconds. */
export function factsFor(request: InferenceRequest, file: TierFile, live: LiveTiers, nowMs: number, counted: CountedTokens = new Map()): Facts {
  return { at_ms: nowMs, min_on_time: MIN_ON_TIME, quotes: file.tiers.map((tier) => quote(tier, request, { live: live.get(tier.name), counted: counted.get(tier.name) }, nowMs)) };
}

function quote(tier: Tier, request: InferenceRequest, { live, counted }: { readonly live: LiveTier | undefined; readonly counted: number | undefined }, nowMs: number): TierQuote {
  const latency = live?.latency ?? { p50: tier.prior.latency_p50_ms, p95: tier.prior.latency_p95_ms };
  const isBatch = request.priority === "batch";
  const lane = isBatch ? live?.batch : live;
  const queueDepth = lane?.queueDepth ?? 0;
  const slots = Math.max(1, lane?.slots ?? (isBatch ? batchSlotsOf(tier) : tier.slots));
  const waitMs = Math.max(0, queueDepth + 1 - slots) * (latency.p50 / slots);
  const within = (atMs: number) => probabilityWithin(latency, atMs - nowMs - waitMs);
  return {
    ...fixedQuote(tier, { task: request.task, bytes: bytesOf(request.input), shape: askedShape(request.input), counted }),
    on_time: within(request.deadline_at_ms),
    within_slo: request.latency_slo_ms === null ? 1 : within(request.accepted_at_ms + request.latency_slo_ms),
    expected_latency_ms: waitMs + latency.p50,
    breaker: live?.breaker ?? "closed",
    workers: live?.workers ?? 0,
    queue_depth: queueDepth,
  };
}

/** What is asked, as far as it says what a call may cost. */
export interface AskedSize {
  readonly task: string | null;
  /** Of all that a model reads, in UTF-8. */
  readonly bytes: number;
  readonly shape: AskedShape | undefined;
  /** Tokens of the prompt, as the tier's tokenizer counts it; `undefined`: they are estimated. */
  readonly counted: number | undefined;
}
/** The part of a quote that the tier file and the request say, whatever the moment. */
export function fixedQuote(tier: Tier, { task, bytes, shape, counted }: AskedSize) {
  const method = methodFor(tier, task);
  const inputTokens = counted ?? estimateTokens(bytes);
  let expected = 0, most = 0; // nobody knows yet which replica will answer: the dearest counts
  for (const replica of replicasOf(tier)) {
    const costs = costsOf(replica, method, mostTokensFor(replica.backend, bytes, shape), inputTokens);
    expected = Math.max(expected, costs.expected);
    most = Math.max(most, costs.most);
  }
  return {
    tier: tier.name,
    quality: tier.prior.quality,
    accept_confidence: tier.accept_confidence,
    input_tokens: inputTokens,
    tokens_source: counted === undefined ? ("estimated" as const) : ("counted" as const),
    expected_cost_nano_usd: nanoUsd(expected),
    max_cost_nano_usd: nanoUsd(most),
  };
}

/** Room for the question of a verification, and for its answer, in tokens. */
const VERDICT = { asked: 128, answered: 8 };

/** Of a call of a replica and of those that tell how sure its answer is. */
function costsOf(replica: TierReplica, method: ConfidenceMethod, worst: Pick<TokenCount, "input_tokens" | "output_tokens">, inputTokens: number): { expected: NanoUsd; most: NanoUsd } {
  const likely = { input_tokens: Math.min(inputTokens, worst.input_tokens), output_tokens: Math.ceil(worst.output_tokens / 2) };
  const withChecks = (priced: typeof costOf, call: TokenCount): NanoUsd => {
    const cost = priced(replica.price, call);
    switch (method.kind) {
      case "self_verification": return nanoUsd(cost + priced(replica.price, { input_tokens: call.input_tokens + call.output_tokens + VERDICT.asked, output_tokens: VERDICT.answered }));
      case "sample_agreement": return nanoUsd(cost * (1 + method.samples));
      case "tier_agreement":
      case "token_logprobs":
      case "least_token_logprob":
      case "answer_margin": return cost;
    }
  };
  return { expected: withChecks(costOf, likely), most: withChecks(mostCostOf, worst) };
}
