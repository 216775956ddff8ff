/** A trained model at work: text in, probability out. Its work is bounded by its recipe, however long the text; it never throws. */
import type { Calibration } from "./calibration.ts";
import { makeFeatureReader, type FeatureRecipe } from "./features.ts";
import { sigmoid, unitFor, type LinearModel } from "./logisticRegression.ts";

/** Gives the score of a text: log-odds of spam before calibration. */
export function makeScorer(recipe: FeatureRecipe, { weights, bias }: LinearModel): (text: string) => number {
  const reader = makeFeatureReader(recipe);
  return (text) => {
    let total = 0;
    let count = 0;
    reader.read(text, (index) => {
      total += weights[index] ?? 0;
      count += 1;
    });
    return bias + unitFor(count) * total;
  };
}

/** Gives the calibrated probability of spam, in (0, 1). */
export function makeClassifier(recipe: FeatureRecipe, linear: LinearModel, { slope, offset }: Calibration): (text: string) => number {
  const scoreOf = makeScorer(recipe, linear);
  return (text) => sigmoid(slope * scoreOf(text) + offset);
}
