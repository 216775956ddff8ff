/**
 * What a policy knew and what it chose. A decision depends on its facts, the request and the saga and on nothing
 * else, and is recorded with them, so the same inputs replay to the same decision.
 */
import { z } from "zod";

import { Steps } from "./floorGuard.ts";
import { NanoUsd } from "./money.ts";
import { Probability } from "./probability.ts";
import { TierName } from "./tiers.ts";

/** What is known about one tier for one request at the moment of a decision. Tiers in a list are cheapest first. */
export const TierQuote = z.object({
  tier: TierName,
  /** Probability that its answer is acceptable. */
  quality: Probability,
  /** From this confidence on, `cascade` keeps its answer. */
  accept_confidence: Probability,
  /** What the prompt is expected to count as there, counted by the model's tokenizer or estimated from its bytes. Absent: an older event. */
  input_tokens: z.int().nonnegative().optional(),
  tokens_source: z.enum(["counted", "estimated"]).optional(),
  expected_cost_nano_usd: NanoUsd,
  /** Worst case of one attempt. */
  max_cost_nano_usd: NanoUsd,
  /** Probability that its answer arrives before the deadline. */
  on_time: Probability,
  /** Probability that it arrives within the request's latency SLO; 1 when it has none. */
  within_slo: Probability,
  /** Median wait and run time expected now, in milliseconds. */
  expected_latency_ms: z.number().nonnegative(),
  breaker: z.enum(["closed", "open", "half_open"]),
  /** Worker processes that were heard of lately. */
  workers: z.int().nonnegative(),
  /** Jobs that wait or run. */
  queue_depth: z.int().nonnegative(),
});
export type TierQuote = z.infer<typeof TierQuote>;

/** All that a decision depends on besides request and saga. */
export const Facts = z.object({
  at_ms: z.int(),
  quotes: z.array(TierQuote),
  /** A tier whose `on_time` is below this is too late. */
  min_on_time: Probability,
  /** The same for `within_slo`, where the policy itself weighs what is late; else `min_on_time` counts. */
  min_within_slo: Probability.optional(),
  /** What a dollar must buy (1/USD) so that the tenant's budget lasts to the end of its window, and of which window: that of the tightest of its paced budgets. */
  pacing: z.object({ lambda_per_usd: z.number().nonnegative(), window: z.enum(["day", "month"]), may_go_below_floor: z.boolean() }).optional(),
  /** What a budget over several requests leaves for the next attempt, where that was less than the policy's choice may cost. `refusal` says which budget and whose; there may be more at `ends_at_ms`. `is_global`: of all tenants, whom its figure is no business of. */
  budget_left: z.object({ nano_usd: NanoUsd, refusal: z.string(), ends_at_ms: z.int(), is_global: z.literal(true).optional() }).optional(),
});
export type Facts = z.infer<typeof Facts>;

/** From this confidence on a worker ends the request itself. `null`: it always asks the router. */
export const Acceptance = z.object({ min_confidence: Probability }).nullable();
export type Acceptance = z.infer<typeof Acceptance>;

/** Why a tier could not be chosen. The words go to the audit and to clients as they are: keep them stable. */
export const Exclusion = z.enum(["tried", "not_allowed", "below_min_tier", "above_max_tier", "not_in_policy", "breaker_open", "no_worker", "too_late", "beyond_slo", "over_budget"]);
export type Exclusion = z.infer<typeof Exclusion>;

/** `good_enough`: the answer in hand is kept. All others: nothing more can be tried, and this is what stood in the way. */
export const StopReason = z.enum(["good_enough", "budget", "deadline", "latency_slo", "tiers_exhausted", "unavailable"]);
export type StopReason = z.infer<typeof StopReason>;

const excluded = z.record(TierName, Exclusion);
/** Limits that give way when no tier meets them all and there is no answer yet. */
export const SoftLimit = Exclusion.extract(["beyond_slo", "no_worker"]);
export type SoftLimit = z.infer<typeof SoftLimit>;
export const Step = z.discriminatedUnion("kind", [
  /** `despite`: the tier misses this limit too, and is run because no other meets it and there is no answer yet. */
  z.object({ kind: z.literal("run"), tier: TierName, acceptance: Acceptance, despite: SoftLimit.optional(), excluded }),
  z.object({ kind: z.literal("stop"), reason: StopReason, excluded }),
]);
export type Step = z.infer<typeof Step>;

/** What a routing model said. Before a model is active there is none. */
export const LearnedFacts = z.object({
  model_version: z.string(),
  /** Of the query: its shape, and the probabilities of the classes of task; never its text. */
  features: z.object({ log_length: z.number(), digits: z.number(), negation: z.number(), classes: z.record(z.string(), Probability) }),
  /** How many levels more careful than the model's own it was decided, as the guard of the floor asked; 0 for policies that have no level. */
  floor_steps: Steps,
  /** Acceptability that one dollar must buy, in 1/USD. `null`: `floor_steps` is "all", or the floor was not shown to hold and the tier file's thresholds decided. */
  lambda_per_usd: z.number().nonnegative().nullable(),
  /** Where λ came from: `pacing`, or else the floor. */
  lambda_source: z.literal("pacing").optional(),
  /** Value of keeping the answer in hand; `null` without one, and under a policy that keeps any sound answer unweighed. */
  stop_value: z.number().nullable(),
  /** Values of the next steps that the policy went by, best first, whatever limits rule out: acceptability less λ times the cost of what follows. Empty without a level. */
  candidates: z.array(z.object({ tier: TierName, is_blind: z.boolean(), value: z.number() })),
});
export type LearnedFacts = z.infer<typeof LearnedFacts>;

/**
 * How the tier of a request's first step was drawn under `cascade-routing` with a routing model. What is drawn depends on
 * tenant and request id alone, so it needs no record to be repeated.
 */
export const Exploration = z.object({
  /** Of requests that draw from `eligible`. */
  share: Probability,
  /** Tiers that would add more than this were not eligible. */
  max_extra_cost_nano_usd: NanoUsd,
  /** Why nothing could be explored: what the request asks for leaves no room, or there was no second tier. */
  withheld_by: z.enum(["latency_slo", "min_quality", "budget", "deadline", "no_alternative"]).nullable(),
  /** What the policy would run. */
  greedy: TierName,
  /** Drawn from with equal chances, `greedy` among them. */
  eligible: z.array(TierName).min(1),
  /** Another tier than `greedy` is run. */
  is_explored: z.boolean(),
  /** Probability with which the tier that is run was chosen. */
  propensity: Probability,
  /** What the explored tier is expected to add to the cost of `greedy`, should a cheaper tier's answer not be kept. */
  extra_cost_nano_usd: NanoUsd,
});
export type Exploration = z.infer<typeof Exploration>;

/** How a step of the policy `random` was drawn: by tenant, request id and step alone. */
export const Draw = z.object({
  /** Tiers that the limits left, each as likely as the others and as stopping. */
  from: z.array(TierName),
  /** Stopping with the answer in hand was drawn from, too. */
  may_stop: z.boolean(),
  /** Probability with which the step was chosen. */
  propensity: Probability,
});
export type Draw = z.infer<typeof Draw>;

export const Decision = z.object({
  /** The attempt after which it was decided; 0 for the first decision. */
  after_attempt: z.int().nonnegative(),
  policy: z.string(),
  /** Version of the tier file that it was decided by (`shared/runtime/tierFileVersion.ts`). Absent: an older event. */
  tier_file: z.string().optional(),
  facts: Facts,
  step: Step,
  learned: LearnedFacts.optional(),
  /** Without it and `draw` the choice was certain: a propensity of 1. */
  exploration: Exploration.optional(),
  draw: Draw.optional(),
});
export type Decision = z.infer<typeof Decision>;
