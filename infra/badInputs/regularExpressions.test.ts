/** B-38: what reads a caller's text, or a model's, takes time that grows as the text does, whatever it is made of. */
import { expect, it } from "vitest";

import { predictorFeatures } from "#router/policy/predictorFeatures.ts";
import { queryFeatures } from "#router/policy/queryFeatures.ts";
import { readCacheControl } from "#shared/cache/cacheControl.ts";
import { questionForm } from "#shared/cache/questionForm.ts";
import { agreement, isContained } from "#shared/statistics/agreement.ts";
import { openTokenCounter } from "#shared/tokens/openTokenCounter.ts";
import { makeFeatureReader } from "#workers/backends/local/features.ts";
import { RECIPES } from "#workers/backends/local/recipes.ts";
import { isInAskedScript } from "#workers/confidence/language.ts";
import { confidenceOfVerdict } from "#workers/confidence/verification.ts";

/** As long as an input may be. What is quadratic takes minutes with it. */
const LENGTH = 240_000;
const LONGEST_MS = 2_000;
const repeated = (unit: string, end: string): string => unit.repeat(Math.ceil(LENGTH / unit.length)).slice(0, LENGTH) + end;
const TEXTS: readonly (readonly [name: string, text: string])[] = [
  ["letters and a sign", repeated("a", "!")], ["blanks", repeated(" ", "x")], ["line ends", repeated("\n", "x")], ["tabs and line ends", repeated("\n\t", "x")], ["digits", repeated("1", "x")], ["points", repeated("1.", "x")],
  ["letters that are no ASCII", repeated("ü", "!")], ["emoji", repeated("🌍", "!")], ["quotes", repeated("'a", "!")], ["choices", repeated("\nA. x", "!")], ["questions", repeated("\nQ:\nA:", "!")], ["cues", repeated("\nthe answer: ", "!")],
  ["addresses that are none", repeated("a@", "!")], ["brackets", repeated("(A)", "!")], ["minus and digits", repeated("-1,", "!")], ["directives", repeated("max-age=", "!")], ["JSON", repeated('{"a":', "1")], ["words", repeated("is it what ", "?")],
];
const countTokens = await openTokenCounter(["cl100k_base"]);
const READERS: Readonly<Record<string, (text: string) => unknown>> = {
  queryFeatures, predictorFeatures, questionForm, readCacheControl,
  countTokens: (text) => countTokens("cl100k_base", text.slice(-64_000)), // what is longer is not counted
  agreement: (text) => agreement(text, `${text} `),
  isContained: (text) => isContained(text, "a"),
  isInAskedScript: (text) => isInAskedScript("hello", text),
  confidenceOfVerdict: (text) => confidenceOfVerdict({ output: text }),
  ...Object.fromEntries(RECIPES.map(({ name, features }) => [`features of ${name}`, (text: string) => { makeFeatureReader(features).read(text, () => undefined); }])),
};

it.each(Object.entries(READERS))("B-38: %s reads 240,000 characters in a moment", (_name, read) => {
  for (const [name, text] of TEXTS) {
    const startedAtMs = performance.now();
    read(text);
    expect(performance.now() - startedAtMs, name).toBeLessThan(LONGEST_MS);
  }
});
