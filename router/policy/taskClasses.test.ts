import { expect, it } from "vitest";

import { fitTaskClasses } from "#router/learning/fitTaskClasses.ts";

import { queryFeatures } from "./queryFeatures.ts";
import { classProbabilities } from "./taskClasses.ts";

const TEMPLATES = { sums: (i: number) => `Solve this sum step by step: ${i} plus ${i}.`, trivia: (i: number) => `Answer the question about history in one word: who was king number ${i}?` };
const rows = Object.entries(TEMPLATES).flatMap(([label, write]) => Array.from({ length: 20 }, (_, i) => ({ label, query: queryFeatures(write(i)) })));
const classes = fitTaskClasses(rows);
const shares = (text: string): Record<string, number> => Object.fromEntries(classProbabilities(classes, queryFeatures(text)).map((share, i) => [classes.names[i] ?? "", share]));

it("tells templates apart by their words", () => {
  expect(shares(TEMPLATES.sums(99))["sums"]).toBeGreaterThan(0.99);
  expect(shares(TEMPLATES.trivia(99))["trivia"]).toBeGreaterThan(0.99);
});
it("is undecided where nothing is known, and always sums to 1", () => {
  for (const text of ["", "zzz", "Solve history"]) expect(Object.values(shares(text)).reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12);
  expect(shares("")["sums"]).toBeCloseTo(0.5, 6);
});
