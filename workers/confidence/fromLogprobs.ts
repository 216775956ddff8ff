/** Confidence of a generated text by the probabilities of its tokens: raw, not calibrated, in [0, 1]. Pure. */
import type { AnswerToken } from "#shared/contracts/chat.ts";

/** The geometric mean of the tokens' probabilities, `exp(mean logprob)`. `null` when the server sent no logprobs. */
export function confidenceFromLogprobs(logprobs: readonly number[]): number | null {
  if (logprobs.length === 0) return null;
  return asProbability(Math.exp(logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length));
}

/** The probability of the least likely token: one wrong word makes an answer wrong. `null` as above. */
export const leastProbability = (logprobs: readonly number[]): number | null => (logprobs.length === 0 ? null : asProbability(Math.exp(Math.min(...logprobs))));

/**
 * By how much the answer's first token with a letter or a digit was likelier than what else was there. For answers that a
 * single token tells, as a letter of choices does. `null` without such a token or its alternatives (`top_logprobs`).
 */
export function answerMargin(tokens: readonly AnswerToken[]): number | null {
  const decisive = tokens.find(({ token }) => /[\p{L}\p{N}]/u.test(token));
  if (decisive?.alternatives === undefined) return null;
  const others = decisive.alternatives.filter(({ token }) => token !== decisive.token).map(({ logprob }) => Math.exp(logprob));
  return asProbability(Math.exp(decisive.logprob) - Math.max(0, ...others));
}

const asProbability = (value: number): number | null => (Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : null);
