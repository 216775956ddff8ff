import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { type PaceFacts, pacedLambda, placeOfLambda } from "./pacing.ts";

const LAMBDAS = [0, 1, 2, 4, 8, 16];
/** 100 requests are to come, and cost 1 USD each at λ = 4. */
const facts = (over: Partial<PaceFacts>): PaceFacts => ({ leftUsd: 100, forecast: { requests: 100, deviation: 0 }, recent: { requests: 400, meanCostUsd: 1, lambdas: [4, 4] }, ...over });

describe("what a dollar must buy", () => {
  it("stays where what is left is just enough", () => {
    expect(pacedLambda(facts({}), LAMBDAS)).toBeCloseTo(4);
  });
  it("is more where less is left, where more is to come, and where it varies", () => {
    expect(pacedLambda(facts({ leftUsd: 50 }), LAMBDAS)).toBeCloseTo(8);
    expect(pacedLambda(facts({ forecast: { requests: 200, deviation: 0 } }), LAMBDAS)).toBeCloseTo(8);
    expect(pacedLambda(facts({ forecast: { requests: 100, deviation: 100 } }), LAMBDAS)).toBeCloseTo(8);
  });
  it("follows prices at once", () => {
    expect(pacedLambda(facts({ recent: { requests: 400, meanCostUsd: 3, lambdas: [4, 4] } }), LAMBDAS)).toBeCloseTo(12);
  });
  it("is 0 where money is no object, and the most where none is left", () => {
    expect(pacedLambda(facts({ leftUsd: 1e6 }), LAMBDAS)).toBe(0);
    expect(pacedLambda(facts({ forecast: { requests: 0, deviation: 0 } }), LAMBDAS)).toBe(0);
    expect(pacedLambda(facts({ leftUsd: 0 }), LAMBDAS)).toBe(16);
    expect(pacedLambda(facts({ leftUsd: 1e-9 }), LAMBDAS)).toBe(16);
  });
  it("is not known before there is something to conclude from", () => {
    expect(pacedLambda(facts({ recent: { requests: 3, meanCostUsd: 1, lambdas: [1] } }), LAMBDAS)).toBeNull();
    expect(pacedLambda(facts({ recent: { requests: 400, meanCostUsd: 1, lambdas: [] } }), LAMBDAS)).toBeNull();
  });
  it("never falls when less is left, and lies between the levels that there are", () => {
    const usd = fc.double({ min: 1e-6, max: 1e6, noNaN: true });
    fc.assert(fc.property(usd, usd, fc.double({ min: 1e-9, max: 1e3, noNaN: true }), fc.integer({ min: 0, max: 1e6 }), fc.constantFrom(...LAMBDAS), (one, other, meanCostUsd, requests, at) => {
      const given = { forecast: { requests, deviation: Math.sqrt(requests) }, recent: { requests: 400, meanCostUsd, lambdas: [at] } };
      const [poor, rich] = [Math.min(one, other), Math.max(one, other)].map((leftUsd) => pacedLambda({ ...given, leftUsd }, LAMBDAS) ?? NaN) as [number, number];
      expect(poor).toBeGreaterThanOrEqual(rich);
      expect(rich).toBeGreaterThanOrEqual(0);
      expect(poor).toBeLessThanOrEqual(16);
    }));
  });
});

describe("the level of a λ", () => {
  it("is the next one by ratio", () => {
    expect([0, 0.5, 0.9, 1.4, 1.5, 3.9, 100].map((lambda) => placeOfLambda(lambda, LAMBDAS))).toEqual([0, 0, 1, 1, 2, 3, 5]);
  });
});
