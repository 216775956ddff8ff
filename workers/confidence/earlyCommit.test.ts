import { expect, it } from "vitest";

import { earlyCommit } from "./earlyCommit.ts";

const tokens = (...probabilities: number[]) => probabilities.map((p) => ({ token: "x", logprob: Math.log(p) }));
const rule = { afterTokens: 3, minConfidence: 0.8 };

it("waits for so many tokens, however sure the first ones are", () => {
  const isSure = earlyCommit({ kind: "token_logprobs" }, rule);
  expect([isSure?.(tokens(1, 1)), isSure?.(tokens(1))]).toEqual([false, true]);
});

it("waits on while the mean is too low, and does not take a commit back", () => {
  const isSure = earlyCommit({ kind: "token_logprobs" }, rule);
  expect([isSure?.(tokens(0.5, 0.9, 0.9)), isSure?.(tokens(1, 1, 1, 1)), isSure?.(tokens(0.01))]).toEqual([false, true, true]);
});

it("never commits to an answer with an unlikely token, where the least one counts", () => {
  const isSure = earlyCommit({ kind: "least_token_logprob" }, rule);
  expect([isSure?.(tokens(0.5, 0.9, 0.9)), isSure?.(tokens(1, 1, 1, 1))]).toEqual([false, false]);
});

it.each(["self_verification", "answer_margin", "tier_agreement"] as const)("knows nothing before the answer is there by %s", (kind) => { expect(earlyCommit({ kind }, rule)).toBeNull(); });
