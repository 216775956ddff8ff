import type { SagaContext } from "#shared/saga/inferenceMachine.ts";
import type { TierQuote } from "#shared/contracts/decision.ts";

import type { Policy } from "./policy.ts";
import { type Answered, keepFrom, type LearnedValues, type NextStep, type Valued, valuesAt } from "./routingValues.ts";

/**
 * What a learned policy decides by, so that its record is what decided: `cascade-routing` by all values at the answers so
 * far; `predictive` by those of running each tier blindly, at the start whatever was answered, so `stop` is -Infinity.
 */
export function valuesFor(policy: "cascade-routing" | "predictive", learned: LearnedValues, saga: SagaContext): Valued {
  if (policy === "cascade-routing") return valuesAt(learned, answeredBy(saga, learned.model.tiers));
  return blindValues(learned);
}

/** Of running each tier and keeping whatever it answers, at the start. */
export function blindValues(learned: LearnedValues): Valued {
  const start = learned.level.states[""];
  if (start === undefined) throw new Error("the model has no values for the start of a request");
  return valuesAt({ ...learned, level: { ...learned.level, states: { "": { ...start, read: [] } } } }, []);
}

/**
 * At each step the best of keeping the answer in hand and of running any dearer tier, by learned value: acceptability
 * less λ times cost, of the step and of what is expected to follow it. Without an answer every tier is in the order, so
 * that a limit or a failure leaves the next best one.
 */
export const cascadeRouting = (learned: LearnedValues): Policy => ({ request, saga, facts }) => {
  const { tiers } = learned.model;
  const answered = answeredBy(saga, tiers);
  const { stop, go } = valuesFor("cascade-routing", learned, saga);
  const isEnough = (saga.best?.confidence ?? 0) >= (request.min_quality ?? 0); // the caller's wish outranks the estimate
  const better = go.filter(({ value }) => value > stop || !isEnough);
  return {
    order: quotesOf(better, tiers, facts.quotes),
    isSatisfied: answered.length > 0 && better.length === 0 && isEnough,
    minConfidence: ({ tier }) => (go.find(({ place }) => tiers[place] === tier)?.isBlind === true ? 0 : keepFrom(learned, answered, tiers.indexOf(tier))),
  };
};

/** One tier, chosen before anything is run and kept whatever it answers; should it fail, the next best. */
export const bestFirstStep = (learned: LearnedValues): Policy => ({ saga, facts }) => {
  const { go } = valuesFor("predictive", learned, saga);
  return { order: quotesOf(go, learned.model.tiers, facts.quotes), minConfidence: () => 0 };
};

function quotesOf(steps: readonly NextStep[], tiers: readonly string[], quotes: readonly TierQuote[]): TierQuote[] {
  return steps.flatMap(({ place }) => quotes.find(({ tier }) => tier === tiers[place]) ?? []);
}

/** First and latest sound answer. */
function answeredBy({ finished }: SagaContext, tiers: readonly string[]): Answered {
  const sound = finished.flatMap(({ tier, outcome }) => (outcome.kind === "answered" && outcome.is_sound ? [{ place: tiers.indexOf(tier), confidence: outcome.confidence }] : []));
  const [first] = sound;
  const latest = sound.at(-1);
  if (first === undefined || latest === undefined) return [];
  return sound.length === 1 ? [first] : [first, latest];
}
