/**
 * Confidence of a generated text: the geometric mean of its tokens' probabilities, `exp(mean logprob)`. Raw, not
 * calibrated. `null` when the server sent no logprobs. Result in [0, 1].
 */
export function confidenceFromLogprobs(logprobs: readonly number[]): number | null {
  if (logprobs.length === 0) return null;
  const mean = logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length;
  const confidence = Math.exp(mean);
  return Number.isFinite(confidence) ? Math.min(1, Math.max(0, confidence)) : null;
}
