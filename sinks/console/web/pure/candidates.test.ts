import { describe, expect, it } from "vitest";

import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { type Decision, Exclusion } from "#shared/contracts/decision.ts";
import { Completion } from "#shared/contracts/events.ts";

import { candidatesOf, decisionWords } from "./candidates.ts";

const [first, second] = Completion.parse(completionFixture).decisions;
if (first === undefined || second === undefined) throw new Error("the fixture has decisions");
const words = (decision: Decision) => candidatesOf(decision).map(({ quote, isChosen, why }) => `${quote.tier} ${isChosen ? "yes" : "no"}: ${why}`);
const learned = (values: Record<string, number>): NonNullable<Decision["learned"]> => ({
  model_version: "m1", features: { log_length: 1, digits: 0, negation: 0, classes: {} }, floor_steps: 0, lambda_per_usd: 10, stop_value: null,
  candidates: Object.entries(values).map(([tier, value]) => ({ tier, is_blind: false, value })),
});

it("says of each candidate whether and why", () => {
  expect(words(first)).toEqual(["small yes: the choice of cascade among those that meet the limits", "medium no: could have run; cascade prefers small, which costs less", "large no: could have run; cascade prefers small, which costs less"]);
  expect(words(second)[0]).toBe("small no: already asked for this request");
});

it("goes by the routing model's values, where there are some", () => {
  expect(words({ ...first, learned: learned({ small: 0.91, medium: 0.87 }) }).slice(0, 2)).toEqual(["small yes: worth most to cascade: 0.910", "medium no: worth 0.870, less than small with 0.910"]);
});

it("says what was drawn to learn from", () => {
  const exploration: NonNullable<Decision["exploration"]> = { share: 0.1, max_extra_cost_nano_usd: first.facts.quotes[0]?.max_cost_nano_usd ?? (() => { throw new Error("no quote"); })(), withheld_by: null, greedy: "medium", eligible: ["small", "medium"], is_explored: true, propensity: 0.05, extra_cost_nano_usd: first.facts.quotes[0].expected_cost_nano_usd };
  expect(words({ ...first, exploration, learned: learned({ small: 0.8, medium: 0.9 }) }).slice(0, 2)).toEqual(["small yes: drawn to learn from, with probability 0.05; the policy would have asked medium", "medium no: could have run; cascade prefers small, which costs less"]);
});

it.each(Exclusion.options)("has words for the limit %s", (exclusion) => {
  const why = candidatesOf({ ...first, step: { ...first.step, excluded: { large: exclusion } } }).find(({ quote }) => quote.tier === "large")?.why ?? "";
  expect(why).not.toContain("prefers");
  expect(why.length).toBeGreaterThan(10);
});

describe("a decision in words", () => {
  it("asks", () => expect(decisionWords(first)).toBe("At the start: ask small, keep its answer from confidence 0.900 on"));
  it("stops", () => {
    const stop: Decision = { ...first, after_attempt: 2, step: { kind: "stop", reason: "budget", excluded: { large: "over_budget" } } };
    expect(decisionWords(stop)).toBe("After attempt 2: stop, the budget leaves too little for another attempt");
    expect(words(stop)[0]).toBe("small no: the budget leaves too little for another attempt");
  });
});
