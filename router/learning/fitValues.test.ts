import { describe, expect, it } from "vitest";

import { type Answered, type RoutingValues, valuesAt } from "#router/policy/routingValues.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { type LabelledRow, makeValueFitter } from "./fitValues.ts";

const QUERY = [1, 0, 0, 0, 0, 0];
const COSTS = [0.001, 0.002, 0.02];
/** `small` is right half of the time and knows it; `medium` nearly always and does not; `large` always. */
function population(n: number): LabelledRow[] {
  const random = seededRandom(5);
  return Array.from({ length: n }, () => {
    const small = random() < 0.5 ? 1 : 0, medium = random() < 0.9 ? 1 : 0;
    const tier = (quality: number, confidence: number, t: number) => ({ quality, confidence, cost_usd: COSTS[t] ?? 0 });
    return { features: QUERY, tiers: [tier(small, small === 1 ? 0.95 : 0.05, 0), tier(medium, 0.7, 1), tier(1, 1, 2)] };
  });
}
const ROWS = population(2_000);
const fit = makeValueFitter(["small", "medium", "large"], ROWS);
const best = (values: RoutingValues, answered: Answered) => {
  const { stop, go } = valuesAt(values, QUERY, answered);
  return (go[0]?.value ?? -Infinity) > stop ? go[0]?.place : "stop";
};

describe("fitted values", () => {
  it("start with the dearest tier when money does not count", () => { expect(valuesAt(fit(0), QUERY, []).go[0]?.value).toBeGreaterThan(0.97); });
  it("start with the cheapest when a dollar must buy a lot, and keep what it brings", () => {
    expect([best(fit(1_000), []), best(fit(1_000), [{ place: 0, confidence: 0.05 }])]).toEqual([0, "stop"]);
  });
  it("go on from a doubtful answer to the tier that is worth its price, and keep a sure one", () => {
    const values = fit(20); // 0.4 of quality for the large tier, 0.04 for the medium one
    expect([best(values, []), best(values, [{ place: 0, confidence: 0.95 }]), best(values, [{ place: 0, confidence: 0.05 }])]).toEqual([0, "stop", 1]);
  });
  it("know the value of what follows a step, not of the step alone", () => {
    const { go } = valuesAt(fit(20), QUERY, []);
    const share = ROWS.filter(({ tiers }) => tiers[0]?.quality === 1).length / ROWS.length;
    const medium = ROWS.filter(({ tiers }) => tiers[0]?.quality === 0 && tiers[1]?.quality === 1).length / ROWS.length;
    expect(go.find(({ place }) => place === 0)?.value).toBeCloseTo(share + medium - 20 * (0.001 + (1 - share) * 0.002), 2);
  });
  it("estimate an answer's probability from its confidence", () => {
    expect(valuesAt(fit(20), QUERY, [{ place: 0, confidence: 0.95 }]).stop).toBeCloseTo(1, 1);
    expect(valuesAt(fit(20), QUERY, [{ place: 0, confidence: 0.05 }]).stop).toBeCloseTo(0, 1);
  });
  it("are the same for the same rows", () => { expect(makeValueFitter(["small", "medium", "large"], ROWS)(20)).toEqual(fit(20)); });
});
