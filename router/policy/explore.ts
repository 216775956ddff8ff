/**
 * A small share of requests begins with another tier than the policy's choice, so that there are outcomes of what it would
 * not have chosen, and each decision says how probable its choice was (ADR 0010). Only where that can take nothing from the
 * request but a little money; and its answer is kept from the confidence on from which the model would keep it, never
 * blindly. Pure: what is drawn comes in, and limits are those that `chooseStep` found.
 */
import type { Exploration, Step, TierQuote } from "#shared/contracts/decision.ts";
import { type NanoUsd, nanoUsd } from "#shared/contracts/money.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";

import { type Learned, run, type Situation } from "./policy.ts";
import { keepFrom, type LearnedValues } from "./routingValues.ts";

export interface ExploreSettings {
  /** Of the requests that may explore, in [0, 0.2]. */
  readonly share: number;
  /** Most that the tier to explore is expected to add to the cost of the policy's choice. */
  readonly maxExtraCostNanoUsd: NanoUsd;
}
/** Two independent numbers in [0, 1): whether to explore, and which tier. */
export type Draws = readonly [whether: number, which: number];
type Explorable = Omit<Situation, "request" | "learned" | "predicted"> & { readonly request: Situation["request"] & Pick<InferenceRequest, "latency_slo_ms" | "deadline_at_ms">; readonly learned: Learned };
export interface Explored {
  readonly step: Step;
  readonly exploration: Exploration;
}

/** A tier whose 95th percentile is within this many medians keeps its P(on time) of 0.95 (`MIN_ON_TIME`). */
const MEDIANS_PER_TRY = 3;

/** `greedy`: what `chooseStep` chose. `null` where the choice is certain: a later step, another policy, nothing learned or nothing trusted, a stop. */
export function explore({ request, saga, facts, learned }: Explorable, greedy: Step, { share, maxExtraCostNanoUsd }: ExploreSettings, draws: () => Draws): Explored | null {
  const { level } = learned;
  if (saga.attempt > 0 || request.policy !== "cascade-routing" || level === null || level === "in_doubt" || greedy.kind !== "run") return null;
  const chosen = facts.quotes.find(({ tier }) => tier === greedy.tier);
  if (chosen === undefined) throw new Error(`there is no quote of ${greedy.tier}`);
  const values = { ...learned, level };
  const drawnFrom = facts.quotes.filter((quote) => quote === chosen || (greedy.excluded[quote.tier] === undefined && canBeJudged(values, quote.tier) && extraCost(quote, chosen) <= maxExtraCostNanoUsd));
  const withheld_by = reasonAgainst({ request, facts }, greedy.excluded) ?? (drawnFrom.length < 2 ? "no_alternative" : null);
  const eligible = withheld_by === null ? drawnFrom : [chosen];
  const [whether, which] = draws();
  const quote = (whether < share ? eligible[Math.floor(which * eligible.length)] : undefined) ?? chosen;
  const is_explored = quote !== chosen;
  const exploration: Exploration = {
    share, max_extra_cost_nano_usd: maxExtraCostNanoUsd, withheld_by,
    greedy: chosen.tier, eligible: eligible.map(({ tier }) => tier), is_explored,
    propensity: is_explored ? share / eligible.length : 1 - share * (1 - 1 / eligible.length),
    extra_cost_nano_usd: is_explored ? extraCost(quote, chosen) : nanoUsd(0),
  };
  return { exploration, step: is_explored ? run(quote.tier, keepFrom(values, [], learned.model.tiers.indexOf(quote.tier)), greedy.excluded) : greedy };
}

/** A dearer tier runs in the place of the choice; a cheaper one may run in vain before it, and what it saves otherwise is not counted. */
const extraCost = (quote: TierQuote, chosen: TierQuote): NanoUsd =>
  nanoUsd(quote.expected_cost_nano_usd - (quote.expected_cost_nano_usd < chosen.expected_cost_nano_usd ? 0 : chosen.expected_cost_nano_usd));

/** After the dearest tier nothing could follow; after any other the model must know when to go on, else each answer would be kept. */
function canBeJudged({ model: { tiers }, level }: LearnedValues, tier: string): boolean {
  const place = tiers.indexOf(tier);
  return place === tiers.length - 1 || level.states[String(place)] !== undefined;
}

/**
 * What exploring could take away: an answer in time for the SLO; an answer of the wanted confidence, since a dearer tier's may
 * be less sure of itself and nothing follows it; or, unless budget and deadline have room for a try of each tier, the tiers
 * that the policy would fall back on.
 */
function reasonAgainst({ request, facts }: Pick<Explorable, "request" | "facts">, excluded: Extract<Step, { kind: "run" }>["excluded"]): Exploration["withheld_by"] {
  if (request.latency_slo_ms !== null) return "latency_slo";
  if ((request.min_quality ?? 0) > 0) return "min_quality";
  const limits = Object.values(excluded);
  const open = facts.quotes.filter(({ tier }) => excluded[tier] === undefined);
  const sum = (of: (quote: TierQuote) => number) => open.reduce((total, quote) => total + of(quote), 0);
  if (limits.includes("over_budget") || sum((quote) => quote.max_cost_nano_usd) > request.budget_nano_usd) return "budget";
  if (limits.includes("too_late") || MEDIANS_PER_TRY * sum((quote) => quote.expected_latency_ms) > request.deadline_at_ms - facts.at_ms) return "deadline";
  return null;
}
