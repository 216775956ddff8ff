/**
 * A policy on a recorded request, through the code that decides in the router (`chooseStep`) and the rule by which a worker
 * accepts (`isAccepted`), for as long as it only needs outcomes that are known. Pure.
 */
import type { Facts, TierQuote } from "#shared/contracts/decision.ts";
import type { Attempt } from "#shared/contracts/events.ts";
import { type NanoUsd, nanoUsd } from "#shared/contracts/money.ts";
import { costOf, type Rates } from "#shared/contracts/rates.ts";
import type { RoutingLevel, RoutingModel } from "#shared/contracts/routingModel.ts";
import { drawsFor } from "#shared/runtime/drawsFor.ts";
import { applied, isAccepted, newSaga, type SagaContext } from "#shared/saga/inferenceMachine.ts";
import { chooseStep } from "#router/policy/chooseStep.ts";
import { drawStep } from "#router/policy/drawStep.ts";
import type { Learned, StaticRoutes } from "#router/policy/policy.ts";
import { MIN_WITHIN_SLO } from "#router/policy/quoteTiers.ts";
import { type SeenQuery, seenAs, seenBy } from "#router/policy/routingValues.ts";

import type { RecordedEvent } from "./recordedEvent.ts";

/** A policy that is asked about. */
export interface Candidate {
  /** Differs from all others'. */
  readonly name: string;
  /** As requests name it. */
  readonly policy: string;
  /** For policies that were learned. `level`: where `cascade-routing` or `predictive` stands. */
  readonly learned?: { readonly model: Pick<RoutingModel, "tiers" | "calibration" | "baseline_tier" | "classes" | "latency_slo_ms">; readonly level: RoutingLevel | null; readonly keepFrom: number | null };
  readonly routes: StaticRoutes;
  /** `accept_confidence` by tier, instead of the recorded one. */
  readonly thresholds?: ReadonlyMap<string, number>;
  /** What tiers charge, instead of what they did. */
  readonly rates?: ReadonlyMap<string, Rates>;
  /** Of the tiers, cheapest first, with quotes of those that the log does not know; those that it names alone may be run. */
  readonly tiers?: readonly { readonly name: string; readonly unknownQuote: TierQuote }[];
}

export interface Played {
  /** Tiers whose outcome is known, in order. */
  readonly tried: readonly string[];
  /** What it would run next, and nobody knows how that would end. `null`: the outcome is known to its end. */
  readonly missing: string | null;
  /** Whose answer would be given; `null`: none, or it is not known. */
  readonly kept: string | null;
  /** Of the tiers tried. */
  readonly costNanoUsd: number;
  readonly latencyMs: number;
}

const ZERO = nanoUsd(0);
const FRESH = newSaga({ tier: "none", rates: { input_nano_usd_per_million: ZERO, output_nano_usd_per_million: ZERO, request_nano_usd: ZERO } }).context;

/** `null`: the policy reads a query that the log has not kept. */
export function playEvent(candidate: Candidate, event: RecordedEvent): Played | null {
  const { policy, routes } = candidate;
  const learned = learnedFor(candidate, event);
  if (learned === null) return null;
  const request = { ...event.wish, policy };
  const tried: string[] = [];
  let saga: SagaContext = FRESH, costNanoUsd = 0, latencyMs = 0, isSamePath = true;
  for (;;) {
    const facts = weighed(candidate, event, factsAt(candidate, event, { step: tried.length, isSamePath, latencyMs }));
    const situation = { request, saga, facts, ...(learned === undefined ? {} : { learned }) };
    const chosen = chooseStep(situation, routes);
    // Drawn apart from what the log drew: else its own draws would be no chance any more.
    const step = policy === "random" ? (drawStep(situation, chosen, drawsFor("what-if", event, tried.length)[0])?.step ?? chosen) : chosen;
    if (step.kind === "stop") break;
    const outcome = event.outcomes.get(step.tier);
    if (outcome === undefined) return { tried, missing: step.tier, kept: null, costNanoUsd, latencyMs };
    isSamePath &&= event.path[tried.length] === step.tier;
    tried.push(step.tier);
    const cost = chargedBy(candidate, outcome);
    costNanoUsd += cost;
    latencyMs += outcome.latency_ms + event.overheadMs;
    const result: Attempt = { ...outcome, attempt: tried.length, cost_nano_usd: cost };
    saga = applied({ ...saga, tier: step.tier, acceptance: step.acceptance, attempt: tried.length }, { type: "RESULT", result, output: "" });
    if (isAccepted(step.acceptance, result.outcome)) break;
  }
  return { tried, missing: null, kept: saga.best?.tier ?? null, costNanoUsd, latencyMs };
}

/** Recorded, where the request came the same way; else as they were at its start, less the time that is gone. */
function factsAt({ thresholds, rates, tiers }: Candidate, event: RecordedEvent, at: { readonly step: number; readonly isSamePath: boolean; readonly latencyMs: number }): Facts {
  const [first] = event.facts;
  const same = at.isSamePath ? event.facts[at.step] : undefined;
  const facts = same ?? { ...first, at_ms: first.at_ms + Math.round(at.latencyMs) };
  const isLate = ({ expected_latency_ms }: TierQuote) => same === undefined && event.latencySloMs !== null && at.latencyMs + expected_latency_ms > event.latencySloMs;
  const { budget_left: _gone, ...lasting } = facts;
  const plain = thresholds === undefined && rates === undefined && tiers === undefined;
  if (plain && (same !== undefined || event.latencySloMs === null)) return lasting;
  const quotes = facts.quotes.map((quote): TierQuote => ({
    ...quote, accept_confidence: thresholds?.get(quote.tier) ?? quote.accept_confidence, ...repriced(quote, rates?.get(quote.tier), event.outcomes.get(quote.tier)), within_slo: isLate(quote) ? 0 : quote.within_slo,
  }));
  return { ...lasting, quotes: tiers === undefined ? quotes : tiers.map(({ name, unknownQuote }) => quotes.find(({ tier }) => tier === name) ?? unknownQuote) };
}

/** Output that is expected of a call whose usage nobody knows, in tokens. */
const EXPECTED_OUTPUT = 256;
function repriced(quote: TierQuote, rates: Rates | undefined, outcome: Attempt | undefined): Partial<TierQuote> {
  if (rates === undefined || outcome?.rates === undefined) return {};
  const tokens = { input_tokens: quote.input_tokens ?? 0, output_tokens: EXPECTED_OUTPUT };
  const ratio = costOf(rates, tokens) / Math.max(1, costOf(outcome.rates, tokens));
  const scaled = (cost: NanoUsd) => nanoUsd(Math.round(cost * ratio));
  return { expected_cost_nano_usd: scaled(quote.expected_cost_nano_usd), max_cost_nano_usd: scaled(quote.max_cost_nano_usd) };
}

/** Of an attempt whose tokens are known, its checks included. */
function chargedBy({ rates }: Candidate, { tier, usage, checks = [], cost_nano_usd }: Attempt): NanoUsd {
  const own = rates?.get(tier);
  if (own === undefined || usage === null) return cost_nano_usd;
  return nanoUsd(costOf(own, usage) + checks.reduce((sum, check) => sum + (check.usage === null ? check.cost_nano_usd : costOf(own, check.usage)), 0));
}

/** As the router decides which of the two limits on lateness counts (`decide`). */
function weighed({ learned, policy }: Candidate, { latencySloMs }: RecordedEvent, facts: Facts): Facts {
  const { min_within_slo: _theirs, ...plain } = facts;
  const slo = learned?.model.latency_slo_ms ?? null;
  const weighsLateness = learned !== undefined && learned.level !== null && policy !== "cascade" && latencySloMs !== null && slo !== null && slo <= latencySloMs;
  return weighsLateness ? { ...plain, min_within_slo: MIN_WITHIN_SLO } : plain;
}

/** Events are played by many candidates, most of them with one model. */
const seenQueries = new WeakMap<RecordedEvent, { readonly model: object; readonly query: SeenQuery | null }>();
function learnedFor({ learned }: Candidate, event: RecordedEvent): Learned | null | undefined {
  if (learned === undefined) return undefined;
  const { model, level, keepFrom } = learned;
  const kept = seenQueries.get(event);
  const query = kept?.model === model ? kept.query : seenOf(model, event);
  if (kept?.model !== model) seenQueries.set(event, { model, query });
  return query === null ? null : { model, query, level, keepFrom };
}

function seenOf({ classes }: Pick<RoutingModel, "classes">, { query, seen }: RecordedEvent): SeenQuery | null {
  if (query !== null) return seenBy({ classes }, query);
  if (seen === null || classes.names.some((name) => !Object.hasOwn(seen.classes, name))) return null;
  return seenAs(seen, classes.names.map((name) => seen.classes[name] ?? 0));
}
