/**
 * A classifier in the worker's own process: is this mail spam? It gives real answers with real probabilities and real
 * differences in quality and cost, without a network or a key. It loads a model that was trained ahead of time, and
 * never trains one.
 */
import { askedIn, type Prompt } from "#shared/contracts/chat.ts";

import type { Backend, BackendAnswer } from "../backend.ts";
import { makeClassifier } from "./classifier.ts";
import { countWords } from "./features.ts";
import { readModel } from "./modelFile.ts";
import { RECIPES, recipeFingerprint } from "./recipes.ts";

export interface LocalBackendOptions {
  /** Where `trainLocalModels` put its files. */
  readonly dir: string;
  /** `mail-small`, `mail-medium` or `mail-large`. */
  readonly model: string;
}

/**
 * Throws when there is no such model, or its file is missing, damaged or made by another version; the message says what
 * to run. A call answers "spam" or "ham" at once (10 ms for a million characters), so it does not look at its signal.
 */
export async function makeLocalBackend({ dir, model }: LocalBackendOptions): Promise<Backend<Prompt>> {
  const recipe = RECIPES.find(({ name }) => name === model);
  if (recipe === undefined) throw new Error(`there is no local model ${model}; there are ${RECIPES.map(({ name }) => name).join(", ")}`);
  const { header, linear, calibration } = await readModel(dir, model, 2 ** recipe.features.table_bits);
  if (header.model !== model || header.recipe_fingerprint !== recipeFingerprint(recipe)) {
    throw new Error(`the local model ${model} in ${dir} was made by another version; run: npx inferctl local-models`);
  }
  const classify = makeClassifier(recipe.features, linear, calibration);
  return {
    call(input) {
      const text = askedIn(input);
      const answer = toAnswer(model, classify(text), countWords(text));
      return Promise.resolve(typeof input === "string" ? answer : { ...answer, message: { finish_reason: "stop", refusal: null } });
    },
    close: () => Promise.resolve(),
  };
}

/**
 * Its tokens are words, and those of the whole input count, as with a hosted model: that charges for what it is sent,
 * however it uses it. So the tiers count alike, and one tier's tokens tell what another one would have charged.
 */
function toAnswer(model: string, spamProbability: number, words: number): BackendAnswer {
  const isSpam = spamProbability > 0.5;
  return {
    output: isSpam ? "spam" : "ham",
    model,
    usage: { input_tokens: Math.max(1, words), output_tokens: 1, source: "reported" },
    is_sound: true,
    confidence: isSpam ? spamProbability : 1 - spamProbability,
    confidence_source: "class_probability",
  };
}
