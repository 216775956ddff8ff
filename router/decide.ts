import { askedIn } from "#shared/contracts/chat.ts";
import type { Decision, Facts, LearnedFacts } from "#shared/contracts/decision.ts";
import type { Steps } from "#shared/contracts/floorGuard.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { fileFor, type TierFile } from "#shared/contracts/tiers.ts";
import type { SagaContext } from "#shared/saga/inferenceMachine.ts";

import { drawsFor } from "#shared/runtime/drawsFor.ts";
import { guardedPlace } from "./learning/floorGuard.ts";
import { valuesFor } from "./policy/cascadeRouting.ts";
import { chooseStep } from "./policy/chooseStep.ts";
import { drawStep } from "./policy/drawStep.ts";
import { explore, type ExploreSettings } from "./policy/explore.ts";
import type { Learned, Situation } from "./policy/policy.ts";
import { queryFeatures } from "./policy/queryFeatures.ts";
import { pacedPlace } from "./policy/pacing.ts";
import { type CountedTokens, factsFor, type LiveTiers, MIN_WITHIN_SLO } from "./policy/quoteTiers.ts";
import { seenBy } from "./policy/routingValues.ts";

/** What a decision depends on besides request and saga. `model`: `null` before one is active. */
export interface Known {
  readonly file: TierFile;
  readonly live: LiveTiers;
  /** What the prompt counts as. Absent: as the decision before it had it, and estimated for the first. */
  readonly counted?: CountedTokens;
  readonly model: RoutingModelFile | null;
  /** Of the floor's guard over that model; 0 without one. */
  readonly floorSteps: Steps;
  readonly exploration: ExploreSettings;
  /** Of the tenant's paced budgets; absent: nothing is paced, or too little is known yet. */
  readonly pacing?: Facts["pacing"];
  /** Of budgets over several requests, where they leave less than an earlier choice may cost. */
  readonly budgetLeft?: Facts["budget_left"];
  /** Epoch milliseconds. */
  readonly nowMs: number;
}

/** Policies that read a routing model. `random` only has recorded what it says of the query, so that others can be judged by its log. */
const LEARNED = ["cascade-routing", "predictive", "cascade", "random"];

/** Pure: what the router does, what `POST /decide` explains, what replay repeats. */
export function decide(request: InferenceRequest, saga: SagaContext, { file: whole, live, counted = countedBefore(saga), model, floorSteps, exploration, pacing, budgetLeft, nowMs }: Known): Decision {
  const file = fileFor(whole, request);
  const facts: Facts = { ...factsFor(request, file, live, nowMs, counted), ...(pacing === undefined ? {} : { pacing }), ...(budgetLeft === undefined ? {} : { budget_left: budgetLeft }) };
  const decision = { after_attempt: saga.attempt, policy: request.policy };
  if (model === null || !LEARNED.includes(request.policy)) {
    const step = chooseStep({ request, saga, facts }, file);
    return { ...decision, facts, step, ...drawn({ request, saga, facts }, step) };
  }
  const { learned, recorded } = learnedFrom({ model, floorSteps, pacing }, request, saga);
  const weighsLateness = recorded.lambda_per_usd !== null && request.latency_slo_ms !== null && model.latency_slo_ms !== null && model.latency_slo_ms <= request.latency_slo_ms;
  const priced = weighsLateness ? { ...facts, min_within_slo: MIN_WITHIN_SLO } : facts;
  const situation = { request, saga, facts: priced, learned };
  const greedy = chooseStep(situation, file);
  if (request.policy === "random") return { ...decision, facts: priced, learned: recorded, step: greedy, ...drawn({ request, saga, facts: priced }, greedy) };
  if (budgetLeft !== undefined) return { ...decision, facts: priced, step: greedy, learned: recorded }; // what is left is not for trying things out
  return { ...decision, facts: priced, step: greedy, learned: recorded, ...explore(situation, greedy, exploration, drawsFor("explore", request)) };
}

/** What was drawn in the place of `step`, under `random`. */
const drawn = (situation: Situation & { readonly request: InferenceRequest }, step: Decision["step"]): Partial<Pick<Decision, "step" | "draw">> =>
  (situation.request.policy === "random" ? (drawStep(situation, step, drawsFor("random", situation.request, situation.saga.attempt)[situation.facts.budget_left === undefined ? 0 : 1]) ?? {}) : {});

/** A prompt is counted once: what a decision recorded holds for those after it, and for whoever decides again. */
const countedBefore = ({ decisions }: Pick<SagaContext, "decisions">): CountedTokens =>
  new Map((decisions.at(-1)?.facts.quotes ?? []).flatMap(({ tier, tokens_source, input_tokens }) => (tokens_source === "counted" && input_tokens !== undefined ? [[tier, input_tokens]] : [])));

function learnedFrom({ model, floorSteps, pacing }: { model: RoutingModelFile; floorSteps: Steps; pacing: Facts["pacing"] }, { policy, input }: InferenceRequest, saga: SagaContext): { learned: Learned; recorded: LearnedFacts } {
  const features = queryFeatures(askedIn(input));
  const query = seenBy(model, features);
  const { cascade_routing_level, predictive_level, cascade_keep_from } = model.operating;
  const named = policy === "predictive" || policy === "cascade-routing" ? policy : null; // those that have a level
  const ownPlace = named === "predictive" ? predictive_level : named === "cascade-routing" ? cascade_routing_level : null;
  const floorPlace = ownPlace === null ? null : guardedPlace(ownPlace, floorSteps);
  const paced = named === null || pacing === undefined ? null : pacedPlace(pacing, model.levels.map(({ lambda_per_usd }) => lambda_per_usd), floorPlace);
  const place = paced ?? floorPlace;
  const level = place === null ? null : (model.levels[place] ?? null);
  const { stop, go } = named === null || level === null ? { stop: -Infinity, go: [] } : valuesFor(named, { model, level, query }, saga);
  return {
    learned: { model, query, level: ownPlace !== null && place === null ? "in_doubt" : level, keepFrom: cascade_keep_from },
    recorded: {
      model_version: model.version,
      floor_steps: ownPlace === null ? 0 : floorSteps,
      features: { log_length: features.log_length, digits: features.digits, negation: features.negation, classes: Object.fromEntries(model.classes.names.map((name, i) => [name, query.classes[i] ?? 0])) },
      lambda_per_usd: level?.lambda_per_usd ?? null,
      ...(paced === null ? {} : { lambda_source: "pacing" as const }),
      stop_value: Number.isFinite(stop) ? stop : null,
      candidates: go.map(({ place: at, isBlind, value }) => ({ tier: model.tiers[at] ?? "", is_blind: isBlind, value })),
    },
  };
}
