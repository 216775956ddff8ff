import type { SagaContext } from "#shared/saga/inferenceMachine.ts";
import type { TierQuote } from "#shared/contracts/decision.ts";

import type { Learned, Policy } from "./policy.ts";
import { type Answered, keepFrom, valuesAt } from "./routingValues.ts";

/**
 * At each step the best of keeping the answer in hand and of running any dearer tier, by learned value: acceptability
 * less λ times cost, of the step and of what is expected to follow it. Without an answer every tier is in the order, so
 * that a limit or a failure leaves the next best one.
 */
export const cascadeRouting = ({ values, features }: Learned): Policy => ({ request, saga, facts }) => {
  const quotes = values.tiers.map((tier) => facts.quotes.find((quote) => quote.tier === tier));
  const answered = answeredBy(saga, values.tiers);
  const { stop, go } = valuesAt(values, features, answered);
  const isEnough = (saga.best?.confidence ?? 0) >= (request.min_quality ?? 0); // the caller's wish outranks the estimate
  const better = go.filter(({ value }) => value > stop || !isEnough);
  return {
    order: better.flatMap(({ place }): TierQuote[] => { const quote = quotes[place]; return quote === undefined ? [] : [quote]; }),
    isSatisfied: answered.length > 0 && better.length === 0 && isEnough,
    minConfidence: (quote) => keepFrom(values, features, answered, values.tiers.indexOf(quote.tier)),
  };
};

/** First and latest sound answer. */
function answeredBy({ finished }: SagaContext, tiers: readonly string[]): Answered {
  const sound = finished.flatMap(({ tier, outcome }) => (outcome.kind === "answered" && outcome.is_sound ? [{ place: tiers.indexOf(tier), confidence: outcome.confidence }] : []));
  const [first] = sound;
  const latest = sound.at(-1);
  if (first === undefined || latest === undefined) return [];
  return sound.length === 1 ? [first] : [first, latest];
}
