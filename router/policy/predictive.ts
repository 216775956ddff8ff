import type { TierQuote } from "#shared/contracts/decision.ts";

import type { Policy, Predicted } from "./policy.ts";
import { difficultyOf, qualityAt } from "./predictGain.ts";

const USD = 1e9;
/**
 * Before any answer: tiers by expected quality less λ times cost, best first, where a quote's quality is the tier's on an
 * ordinary query. One answer is enough: no confidence is read, so none has to be paid for. Only when the caller asked for
 * more confidence than the answer has do better tiers follow.
 */
export const predictive = ({ predictor, query, lambdaPerUsd }: Predicted): Policy => ({ request, saga, facts }) => {
  const score = difficultyOf(predictor, query);
  const worth = (quote: TierQuote) => qualityAt(predictor, score, quote.quality) - (lambdaPerUsd * quote.expected_cost_nano_usd) / USD;
  const order = facts.quotes.toSorted((a, b) => worth(b) - worth(a));
  if (saga.best === null) return { order, minConfidence: () => 0 };
  const { tier, confidence } = saga.best;
  const reached = facts.quotes.find((quote) => quote.tier === tier)?.quality ?? 0;
  return { order: order.filter(({ quality }) => quality > reached), isSatisfied: confidence >= (request.min_quality ?? 0), minConfidence: () => 0 };
};
