import type { AnswerToken } from "#shared/contracts/chat.ts";
import type { ConfidenceMethod } from "#shared/contracts/tiers.ts";

import { confidenceFromLogprobs, leastProbability } from "./fromLogprobs.ts";

/** Takes the tokens of an answer as they come; whether it is sure enough by now to be shown, and so kept. Once true, always. */
export type EarlyCommit = (tokens: readonly AnswerToken[]) => boolean;

/**
 * From `afterTokens` tokens on, an answer is sure enough when what came of it has at least `minConfidence`, by the method
 * that judges it whole. That is a bet: the rest may be less sure. `null`: the method says nothing before the answer is there.
 */
export function earlyCommit({ kind }: ConfidenceMethod, { afterTokens, minConfidence }: { readonly afterTokens: number; readonly minConfidence: number }): EarlyCommit | null {
  const confidenceOf = kind === "token_logprobs" ? confidenceFromLogprobs : kind === "least_token_logprob" ? leastProbability : null;
  if (confidenceOf === null) return null;
  const logprobs: number[] = [];
  let isSure = false;
  return (tokens) => {
    if (isSure) return true;
    logprobs.push(...tokens.map(({ logprob }) => logprob));
    isSure = logprobs.length >= afterTokens && (confidenceOf(logprobs) ?? 0) >= minConfidence;
    return isSure;
  };
}
