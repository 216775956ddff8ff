import { expect, it } from "vitest";

import { tierAgreement } from "./tierAgreement.ts";

const LETTER = /answer is \(?([A-J])\)?/g;
it.each([
  ["the same text", "Paris.", "paris", null, 1],
  ["another", "Rome", "Paris", null, 0],
  ["nothing to agree with", "Rome", null, null, null],
  ["the same letter after another way there", "So 2 is odd. The answer is (C).", "Hence the answer is C", LETTER, 1],
  ["the last one that is said", "the answer is (A)? No: the answer is (B)", "The answer is (B).", LETTER, 1],
  ["another letter", "the answer is (A)", "the answer is (B)", LETTER, 0],
  ["a text without an answer", "I cannot say.", "I cannot say.", LETTER, 0],
])("%s", (_name, output, earlier, pattern, expected) => { expect(tierAgreement(output, earlier, pattern)).toBe(expected); });
