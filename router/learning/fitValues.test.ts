import { describe, expect, it } from "vitest";

import { queryFeatures } from "#router/policy/queryFeatures.ts";
import { type Answered, seenBy, valuesAt } from "#router/policy/routingValues.ts";
import type { RoutingLevel } from "#shared/contracts/routingModel.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { fitCalibration } from "./fitCalibration.ts";
import { fitLevels } from "./fitValues.ts";
import type { LabelledRow } from "./labelledRow.ts";

const TIERS = ["small", "medium", "large"];
const COSTS = [0.001, 0.002, 0.02];
const VERIFY = 0.0005;
const LATENCIES = [100, 200, 1_000];
/** `small` is right half of the time and knows it; `medium` nearly always and does not; `large` always. */
function population(n: number): LabelledRow[] {
  const random = seededRandom(5);
  return Array.from({ length: n }, () => {
    const small = random() < 0.5 ? 1 : 0, medium = random() < 0.9 ? 1 : 0;
    const tier = (quality: number, confidence: number, t: number) => ({ quality, confidence, cost_usd: COSTS[t] ?? 0, verify_cost_usd: VERIFY, latency_ms: LATENCIES[t] ?? 0 });
    return { query: queryFeatures("q"), label: "all", tiers: [tier(small, small === 1 ? 0.95 : 0.05, 0), tier(medium, 0.7, 1), tier(1, 1, 2)] };
  });
}
const ROWS = population(2_000);
const classes = { names: [], centroids: [] };
const queries = ROWS.map(({ query }) => seenBy({ classes }, query));
const calibration = TIERS.map((_tier, place) => fitCalibration(ROWS.flatMap((row) => row.tiers[place] ?? []), queries.map(() => [])));
const model = { tiers: TIERS, calibration };
const fit = (lambda: number, over: { latencySloMs?: number; latePrice?: number } = {}) =>
  fitLevels({ rows: ROWS, queries, model, baseline: 2, latencySloMs: null, latePrice: 0, ...over }, [lambda])[0] as RoutingLevel;
const at = (level: RoutingLevel, answered: Answered) => valuesAt({ model, level, query: seenBy({ classes }, queryFeatures("q")) }, answered);
const best = (level: RoutingLevel, answered: Answered) => {
  const { stop, go } = at(level, answered);
  return (go[0]?.value ?? -Infinity) > stop ? `${TIERS[go[0]?.place ?? -1] ?? ""}${go[0]?.isBlind === true ? " blindly" : ""}` : "stop";
};
const SURE = [{ place: 0, confidence: 0.95 }], UNSURE = [{ place: 0, confidence: 0.05 }];

describe("fitted values", () => {
  it("start with the dearest tier when money does not count", () => { expect(at(fit(0), []).go[0]?.value).toBeGreaterThan(0.97); });
  it("start with the cheapest when a dollar must buy a lot, and keep what it brings without looking", () => { expect(best(fit(1_000), [])).toBe("small blindly"); });
  it("read what tells right from wrong, go on to the tier that is worth its price, and keep a sure answer", () => {
    const level = fit(20); // 0.4 of quality for the large tier, 0.04 for the medium one
    expect([best(level, []), best(level, SURE), best(level, UNSURE)]).toEqual(["small", "stop", "medium blindly"]);
  });
  it("know the value of what follows a step, not of the step alone", () => {
    const share = ROWS.filter(({ tiers }) => tiers[0]?.quality === 1).length / ROWS.length;
    const medium = ROWS.filter(({ tiers }) => tiers[0]?.quality === 0 && tiers[1]?.quality === 1).length / ROWS.length;
    expect(at(fit(20), []).go.find(({ place }) => place === 0)?.value).toBeCloseTo(share + medium - 20 * (0.001 + VERIFY + (1 - share) * 0.002), 2);
  });
  it("estimate an answer's probability from its confidence", () => {
    expect(at(fit(20), SURE).stop).toBeCloseTo(1, 1);
    expect(at(fit(20), UNSURE).stop).toBeCloseTo(0, 1);
  });
  it("weigh what is late: where trying a tier first would be too late, they go straight up or stay below", () => {
    const strict = { latencySloMs: 1_050, latePrice: 1 };
    expect(best(fit(1), UNSURE)).toBe("large blindly");
    expect(best(fit(1, strict), UNSURE)).toBe("medium blindly"); // 100 + 1,000 ms would be late
    expect(best(fit(0, strict), [])).toBe("large blindly");
  });
  it("are the same for the same rows", () => { expect(fit(20)).toEqual(fit(20)); });
});
