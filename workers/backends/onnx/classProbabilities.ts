/** The softmax of a model's raw outputs: positive numbers that add up to 1. `null`: one of them is not a number. Pure. */
export function classProbabilities(logits: readonly number[]): number[] | null {
  if (!logits.every(Number.isFinite)) return null;
  const most = Math.max(...logits);
  const parts = logits.map((logit) => Math.exp(logit - most));
  const sum = parts.reduce((total, part) => total + part, 0);
  return parts.map((part) => part / sum);
}
