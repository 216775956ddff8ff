import { askedIn, type Input } from "#shared/contracts/chat.ts";
import type { Decision, Facts, LearnedFacts, Step } from "#shared/contracts/decision.ts";
import type { Steps } from "#shared/contracts/floorGuard.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { fileFor, type TierFile } from "#shared/contracts/tiers.ts";
import type { SagaContext } from "#shared/saga/inferenceMachine.ts";

import { drawsFor } from "#shared/runtime/drawsFor.ts";
import { tierFileVersion } from "#shared/runtime/tierFileVersion.ts";
import { guardedPlace } from "./learning/floorGuard.ts";
import { valuesFor } from "./policy/cascadeRouting.ts";
import { chooseStep } from "./policy/chooseStep.ts";
import { type Drawn, drawStep } from "./policy/drawStep.ts";
import { explore, type ExploreSettings } from "./policy/explore.ts";
import type { Learned, StaticRoutes, Wish } from "./policy/policy.ts";
import { queryFeatures } from "./policy/queryFeatures.ts";
import { pacedPlace } from "./policy/pacing.ts";
import { type CountedTokens, factsFor, type LiveTiers, MIN_WITHIN_SLO } from "./policy/quoteTiers.ts";
import { type QueryShape, seenBy, type SeenQuery } from "./policy/routingValues.ts";

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

/** `random` only has recorded what the model says of the query, so that others can be judged by its log. */
const LEARNED = ["cascade-routing", "predictive", "cascade", "random"];
export const readsModel = (policy: string): boolean => LEARNED.includes(policy);

/** Pure: what the router does, and what `POST /decide` explains. */
export function decide(request: InferenceRequest, saga: SagaContext, { file: whole, live, counted = countedBefore(saga), model, floorSteps, exploration, pacing, budgetLeft, nowMs }: Known): Decision {
  const file = fileFor(whole, request);
  const facts: Facts = { ...factsFor(request, file, live, nowMs, counted), ...(pacing === undefined ? {} : { pacing }), ...(budgetLeft === undefined ? {} : { budget_left: budgetLeft }) };
  const routing = model === null || !readsModel(request.policy) ? null : { model, floorSteps, query: queryOf(model, request.input) };
  return decideFrom(request, saga, { file, tierFileVersion: tierFileVersion(whole), facts, routing, exploration });
}

/** A prompt is counted once: what a decision recorded holds for those after it, and for whoever decides again. */
const countedBefore = ({ decisions }: Pick<SagaContext, "decisions">): CountedTokens =>
  new Map((decisions.at(-1)?.facts.quotes ?? []).flatMap(({ tier, tokens_source, input_tokens }) => (tokens_source === "counted" && input_tokens !== undefined ? [[tier, input_tokens]] : [])));

/** A query as its decision records it, and as the model sees it. */
export interface Query {
  readonly shape: QueryShape;
  readonly seen: SeenQuery;
}
function queryOf(model: RoutingModelFile, input: Input): Query {
  const features = queryFeatures(askedIn(input));
  return { shape: features, seen: seenBy(model, features) };
}

/** What decisions read of a request; never its input. */
export type Asked = Wish & Pick<InferenceRequest, "tenant_id" | "request_id" | "latency_slo_ms" | "deadline_at_ms">;
/** All else that a decision is made from. Its record has every part of it, or names its version. */
export interface Given {
  readonly file: StaticRoutes;
  readonly tierFileVersion: string;
  /** But `min_within_slo`, which follows from the rest. */
  readonly facts: Facts;
  /** `null`: no model is active, or the policy reads none. */
  readonly routing: { readonly model: RoutingModelFile; readonly floorSteps: Steps; readonly query: Query } | null;
  readonly exploration: ExploreSettings;
}

/** Pure: the decision itself, which replay repeats from what was recorded. Chance is drawn by the request's ids. */
export function decideFrom(request: Asked, saga: SagaContext, { file, tierFileVersion: tier_file, facts, routing, exploration }: Given): Decision {
  // Field by field, as everywhere below: replay makes millions of decisions, and spreads would cost as much as all the rest.
  const { policy } = request;
  const after_attempt = saga.attempt;
  if (routing === null) {
    const step = chooseStep({ request, saga, facts }, file);
    const drawn = policy === "random" ? drawFor(request, saga, facts, step) : null;
    return drawn === null ? { after_attempt, policy, tier_file, facts, step } : { after_attempt, policy, tier_file, facts, step: drawn.step, draw: drawn.draw };
  }
  const { model } = routing;
  const { learned, recorded } = learnedFrom(routing, facts.pacing, policy, saga);
  const weighsLateness = recorded.lambda_per_usd !== null && request.latency_slo_ms !== null && model.latency_slo_ms !== null && model.latency_slo_ms <= request.latency_slo_ms;
  const priced = weighsLateness ? { ...facts, min_within_slo: MIN_WITHIN_SLO } : facts;
  const situation = { request, saga, facts: priced, learned };
  const greedy = chooseStep(situation, file);
  if (policy === "random") {
    const drawn = drawFor(request, saga, priced, greedy);
    return drawn === null ? { after_attempt, policy, tier_file, facts: priced, step: greedy, learned: recorded } : { after_attempt, policy, tier_file, facts: priced, step: drawn.step, learned: recorded, draw: drawn.draw };
  }
  const explored = facts.budget_left === undefined ? explore(situation, greedy, exploration, () => drawsFor("explore", request)) : null; // what is left is not for trying things out
  if (explored === null) return { after_attempt, policy, tier_file, facts: priced, step: greedy, learned: recorded };
  return { after_attempt, policy, tier_file, facts: priced, step: explored.step, learned: recorded, exploration: explored.exploration };
}

/** What was drawn in the place of `step`: anew, where budgets leave too little for what was drawn first. */
const drawFor = (request: Asked, saga: SagaContext, facts: Facts, step: Step): Drawn | null => drawStep({ request, saga, facts }, step, drawsFor("random", request, saga.attempt)[facts.budget_left === undefined ? 0 : 1]);

function learnedFrom({ model, floorSteps, query: { shape, seen } }: NonNullable<Given["routing"]>, pacing: Facts["pacing"], policy: string, saga: SagaContext): { learned: Learned; recorded: LearnedFacts } {
  const { cascade_routing_level, predictive_level, cascade_keep_from } = model.operating;
  const named = policy === "predictive" || policy === "cascade-routing" ? policy : null; // those that have a level
  const ownPlace = named === "predictive" ? predictive_level : named === "cascade-routing" ? cascade_routing_level : null;
  const floorPlace = ownPlace === null ? null : guardedPlace(ownPlace, floorSteps);
  const paced = named === null || pacing === undefined ? null : pacedPlace(pacing, model.levels.map(({ lambda_per_usd }) => lambda_per_usd), floorPlace);
  const place = paced ?? floorPlace;
  const level = place === null ? null : (model.levels[place] ?? null);
  const { stop, go } = named === null || level === null ? { stop: -Infinity, go: [] } : valuesFor(named, { model, level, query: seen }, saga);
  const classes: LearnedFacts["features"]["classes"] = {};
  for (let i = 0; i < model.classes.names.length; i++) classes[model.classes.names[i] ?? ""] = seen.classes[i] ?? 0;
  return {
    learned: { model, query: seen, level: ownPlace !== null && place === null ? "in_doubt" : level, keepFrom: cascade_keep_from },
    recorded: {
      model_version: model.version,
      floor_steps: ownPlace === null ? 0 : floorSteps,
      features: { log_length: shape.log_length, digits: shape.digits, negation: shape.negation, classes },
      lambda_per_usd: level?.lambda_per_usd ?? null,
      ...(paced === null ? {} : { lambda_source: "pacing" as const }),
      stop_value: Number.isFinite(stop) ? stop : null,
      candidates: go.map(({ place: at, isBlind, value }) => ({ tier: model.tiers[at] ?? "", is_blind: isBlind, value })),
    },
  };
}
