/** What a model charges, from what its answers cost. Pure. */

/** Of one answer. */
export interface PricedAnswer {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly costUsd: number;
}
export interface FittedPrice {
  /** Per million, to nine digits, which is what the price of a tier can say. */
  readonly inputUsd: number;
  readonly outputUsd: number;
  /** How far all answers at this price are from what they cost, as a share of that. */
  readonly error: number;
}

/**
 * Least squares of the costs by both kinds of tokens, then scaled so that all answers together cost what they did. Where one kind
 * would have to be paid back, or both always come in the same proportion, one price for all tokens.
 */
export function fitPrice(answers: readonly PricedAnswer[]): FittedPrice {
  const sum = (of: (answer: PricedAnswer) => number): number => answers.reduce((all, answer) => all + of(answer), 0);
  const pp = sum(({ promptTokens: p }) => p * p), pc = sum(({ promptTokens: p, completionTokens: c }) => p * c), cc = sum(({ completionTokens: c }) => c * c);
  const py = sum(({ promptTokens: p, costUsd: y }) => p * y), cy = sum(({ completionTokens: c, costUsd: y }) => c * y);
  const determinant = pp * cc - pc * pc;
  const [input, output] = [(py * cc - cy * pc) / determinant, (cy * pp - py * pc) / determinant];
  const isUsable = determinant > 1e-9 * pp * cc && input >= 0 && output >= 0;
  const shape = isUsable ? { input, output } : { input: 1, output: 1 };
  const total = sum(({ costUsd }) => costUsd);
  const charged = sum(({ promptTokens, completionTokens }) => promptTokens * shape.input + completionTokens * shape.output);
  const scale = charged === 0 ? 0 : total / charged;
  const perMillion = (price: number): number => Math.round(price * scale * 1e15) / 1e9;
  const [inputUsd, outputUsd] = [perMillion(shape.input), perMillion(shape.output)];
  const off = sum(({ promptTokens, completionTokens, costUsd }) => Math.abs((promptTokens * inputUsd + completionTokens * outputUsd) / 1e6 - costUsd));
  return { inputUsd, outputUsd, error: total === 0 ? 0 : off / total };
}
