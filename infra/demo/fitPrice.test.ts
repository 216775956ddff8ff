import { expect, it } from "vitest";

import { fitPrice, type PricedAnswer } from "./fitPrice.ts";

const priced = (input: number, output: number, tokens: readonly (readonly [number, number])[]): PricedAnswer[] =>
  tokens.map(([promptTokens, completionTokens]) => ({ promptTokens, completionTokens, costUsd: (promptTokens * input + completionTokens * output) / 1e6 }));

it("finds both prices that the costs were made with", () => {
  const { inputUsd, outputUsd, error } = fitPrice(priced(2.5, 10, [[100, 1], [900, 40], [30, 700]]));
  expect([inputUsd, outputUsd]).toEqual([expect.closeTo(2.5, 6), expect.closeTo(10, 6)]);
  expect(error).toBeLessThan(1e-6);
});

it.each([
  ["all answers have the same proportion of tokens", priced(2, 6, [[100, 10], [200, 20]]), (100 * 2 + 10 * 6) / 110],
  ["one price would be below 0", [{ promptTokens: 100, completionTokens: 0, costUsd: 1e-4 }, { promptTokens: 100, completionTokens: 100, costUsd: 5e-5 }], (1.5e-4 * 1e6) / 300],
])("takes one price for all tokens when %s, and all answers together cost what they did", (_when, answers, price) => {
  expect(fitPrice(answers)).toMatchObject({ inputUsd: expect.closeTo(price, 6) as number, outputUsd: expect.closeTo(price, 6) as number });
});

it("says how far off it is, and charges nothing for what cost nothing", () => {
  expect(fitPrice([{ promptTokens: 100, completionTokens: 0, costUsd: 1e-4 }, { promptTokens: 100, completionTokens: 0, costUsd: 3e-4 }]).error).toBeCloseTo(0.5);
  expect(fitPrice([{ promptTokens: 10, completionTokens: 5, costUsd: 0 }])).toEqual({ inputUsd: 0, outputUsd: 0, error: 0 });
});
