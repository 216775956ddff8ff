/**
 * Logistic regression on sparse 0/1 features, by AdaGrad with L2 regularisation. A text's features are scaled to about
 * length 1, so that a long mail weighs no more than a short one: score = bias + Σ weight / √(count + 24).
 */
import { makeRandom } from "./hash.ts";

export interface Example {
  /** Distinct feature indices. */
  readonly features: Int32Array;
  readonly is_spam: boolean;
}

export interface LinearModel {
  /** Log-odds of spam that each feature adds, before scaling. */
  readonly weights: Float32Array;
  readonly bias: number;
}

export interface RegressionRecipe {
  readonly epochs: number;
  readonly learning_rate: number;
  readonly l2: number;
  /** Weights a feature by how much more frequent it is in one class (Wang & Manning 2012, "Baselines and Bigrams"). */
  readonly class_ratio: boolean;
}

/** Keeps the score of a text of a word or two near the bias: it holds too little to be sure of anything. */
const SHORT_TEXT = 24;
/** What a text's sum of weights is multiplied by. */
export const unitFor = (featureCount: number): number => 1 / Math.sqrt(featureCount + SHORT_TEXT);

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** The same examples in the same order give the same model, to the bit. */
export function trainLogisticRegression(examples: readonly Example[], tableSize: number, recipe: RegressionRecipe): LinearModel {
  const scales = recipe.class_ratio ? classRatios(examples, tableSize) : undefined;
  // Side by side, because they are used together: [weight, sum of squared gradients] for each feature.
  const table = new Float64Array(2 * tableSize);
  for (let f = 0; f < tableSize; f += 1) table[2 * f + 1] = 1e-8;
  const order = Int32Array.from(examples, (_, index) => index);
  const random = makeRandom(20_021_008);
  let bias = 0;
  let biasSquares = 1e-8;
  for (let epoch = 0; epoch < recipe.epochs; epoch += 1) {
    shuffle(order, random);
    for (const index of order) {
      const { features, is_spam } = examples[index] as Example;
      const unit = unitFor(features.length);
      const error = sigmoid(bias + unit * sum(table, features, scales)) - (is_spam ? 1 : 0);
      for (let k = 0; k < features.length; k += 1) {
        const f = features[k] as number;
        const weight = table[2 * f] as number;
        const gradient = error * unit * (scales === undefined ? 1 : (scales[f] as number)) + recipe.l2 * weight;
        const square = (table[2 * f + 1] as number) + gradient * gradient;
        table[2 * f + 1] = square;
        table[2 * f] = weight - (recipe.learning_rate * gradient) / Math.sqrt(square);
      }
      biasSquares += error * error;
      bias -= (recipe.learning_rate * error) / Math.sqrt(biasSquares);
    }
  }
  return { weights: Float32Array.from({ length: tableSize }, (_, f) => (table[2 * f] as number) * (scales?.[f] ?? 1)), bias };
}

function sum(table: Float64Array, features: Int32Array, scales: Float64Array | undefined): number {
  let total = 0;
  for (let k = 0; k < features.length; k += 1) {
    const f = features[k] as number;
    total += (table[2 * f] as number) * (scales === undefined ? 1 : (scales[f] as number));
  }
  return total;
}

/** |log(P(feature | spam) / P(feature | ham))|, smoothed by one of each. */
function classRatios(examples: readonly Example[], tableSize: number): Float64Array {
  const counts = [new Float64Array(tableSize).fill(1), new Float64Array(tableSize).fill(1)] as const;
  const totals = [2, 2];
  for (const { features, is_spam } of examples) {
    const side = is_spam ? 1 : 0;
    totals[side] = (totals[side] ?? 0) + 1;
    for (const f of features) counts[side][f] = (counts[side][f] ?? 0) + 1;
  }
  const prior = Math.log((totals[1] as number) / (totals[0] as number));
  return Float64Array.from(counts[0], (ham, f) => Math.abs(Math.log((counts[1][f] as number) / ham) - prior));
}

function shuffle(order: Int32Array, random: (limit: number) => number): void {
  for (let i = order.length - 1; i > 0; i -= 1) {
    const j = random(i + 1);
    const held = order[i] as number;
    order[i] = order[j] as number;
    order[j] = held;
  }
}
