import { expect, it } from "vitest";

import { confidenceOfVerdict, verificationOf } from "./verification.ts";

const token = (word: string, p: number, alternatives: Record<string, number> = {}) => ({ token: word, logprob: Math.log(p), alternatives: Object.entries(alternatives).map(([other, q]) => ({ token: other, logprob: Math.log(q) })) });

it.each([
  ["yes among its alternatives", [token("Yes", 0.6, { Yes: 0.6, No: 0.2 })], 0.75],
  ["no", [token(" no", 0.9, { " no": 0.9, yes: 0.1 })], 0.1],
  ["both spellings of a word", [token("yes", 0.4, { yes: 0.4, Yes: 0.2, No: 0.2 })], 0.75],
  ["the first word that says either", [token("**", 1), token("No", 0.8, { Yes: 0.2 })], 0.2],
  ["certainty, where nothing else was likely", [token("Yes", 1)], 1],
])("is P(yes) of yes and no: %s", (_name, tokens, expected) => {
  expect(confidenceOfVerdict({ output: "", tokens })).toBeCloseTo(expected, 9);
});

it.each([["Yes.", 0.9], [" no, it is not", 0.1], ["perhaps", null], ["", null], ["nothing", null]])("goes by the word alone where there are no probabilities: %j is %s", (output, expected) => {
  expect(confidenceOfVerdict({ output })).toBe(expected);
});

it("shows the model the conversation and its answer, without tools, so that it answers in a word", () => {
  const chat = verificationOf({ messages: [{ role: "user", content: "2 + 2?" }], tools: [{ type: "function" }] }, "4", { withLogprobs: true });
  expect(chat).toMatchObject({ messages: [{ role: "user", content: "2 + 2?" }, { role: "assistant", content: "4" }, { role: "user", content: expect.stringContaining("yes or no") as string }], logprobs: true });
  expect(chat.tools).toBeUndefined();
  expect(verificationOf("2 + 2?", "4", { withLogprobs: true }).messages).toHaveLength(3);
  expect(verificationOf("2 + 2?", "4", { withLogprobs: false })).not.toHaveProperty("logprobs"); // some servers refuse to be asked
});
