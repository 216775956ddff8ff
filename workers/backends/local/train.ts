/**
 * Trains the local models ahead of time (`inferctl local-models`, `make bench`, tests); a request never does. Repeatable
 * to the byte: the split is by hash, the order of training from a fixed seed. A file that is there already and was made
 * from the same mails, recipe and code is kept.
 */
import { fitCalibration } from "./calibration.ts";
import { makeScorer } from "./classifier.ts";
import { makeFeatureReader } from "./features.ts";
import { trainLogisticRegression, type Example } from "./logisticRegression.ts";
import { loadMails, mailsFingerprint, type Mail } from "./mails.ts";
import { FORMAT_VERSION, readModel, writeModel } from "./modelFile.ts";
import { RECIPES, recipeFingerprint, type ModelRecipe } from "./recipes.ts";

export interface TrainOptions {
  /** Made when missing. */
  readonly dir: string;
  /** One line of text per step. */
  readonly onProgress?: (line: string) => void;
}

export interface Trained {
  /** Cheapest first. */
  readonly models: string[];
  /** All of them were there. */
  readonly wasCached: boolean;
}

/** Safe to repeat, and to run twice at once: files are replaced whole, by equal ones. */
export async function trainLocalModels({ dir, onProgress = () => undefined }: TrainOptions): Promise<Trained> {
  const fingerprint = await mailsFingerprint();
  const stale: ModelRecipe[] = [];
  for (const recipe of RECIPES) if (!(await isCurrent(dir, recipe, fingerprint))) stale.push(recipe);
  if (stale.length > 0) {
    onProgress("reading the labelled mails");
    const mails = await loadMails();
    for (const recipe of stale) {
      onProgress(`training ${recipe.name}`);
      await trainOne(dir, recipe, mails, fingerprint);
    }
  }
  return { models: RECIPES.map(({ name }) => name), wasCached: stale.length === 0 };
}

async function isCurrent(dir: string, recipe: ModelRecipe, fingerprint: string): Promise<boolean> {
  try {
    const { header } = await readModel(dir, recipe.name, 2 ** recipe.features.table_bits);
    return header.model === recipe.name && header.mails_fingerprint === fingerprint && header.recipe_fingerprint === recipeFingerprint(recipe);
  } catch {
    return false; // missing or damaged: it is made anew
  }
}

async function trainOne(dir: string, recipe: ModelRecipe, mails: readonly Mail[], fingerprint: string): Promise<void> {
  const training = mails.filter(({ split }) => split === "train");
  const validation = mails.filter(({ split }) => split === "validation");
  const linear = trainLogisticRegression(toExamples(training, recipe), 2 ** recipe.features.table_bits, recipe.regression);
  const scoreOf = makeScorer(recipe.features, linear);
  const calibration = fitCalibration(validation.map(({ input, is_spam }) => ({ score: scoreOf(input), is_spam })));
  const header = {
    format_version: FORMAT_VERSION,
    model: recipe.name,
    recipe_fingerprint: recipeFingerprint(recipe),
    mails_fingerprint: fingerprint,
    trained_on_mails: training.length,
    calibrated_on_mails: validation.length,
    bias: linear.bias,
    calibration,
  } as const;
  await writeModel(dir, header, linear.weights);
}

function toExamples(mails: readonly Mail[], recipe: ModelRecipe): Example[] {
  const reader = makeFeatureReader(recipe.features);
  return mails.map(({ input, is_spam }) => {
    const features: number[] = [];
    reader.read(input, (index) => features.push(index));
    return { features: Int32Array.from(features), is_spam };
  });
}
