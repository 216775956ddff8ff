import { describe, expect, it } from "vitest";

import { queryFeatures } from "#router/policy/queryFeatures.ts";
import { type Answered, seenBy, valuesAt } from "#router/policy/routingValues.ts";
import type { RoutingLevel } from "#shared/contracts/routingModel.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { fitCalibration } from "./fitCalibration.ts";
import { fitTaskClasses } from "./fitTaskClasses.ts";
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

describe("on pure noise", () => {
  /** Told by their words; with few rows each, so that they are easily memorised. */
  const kinds = ["ant bee cat", "dog elk fox", "gnu hen ibis", "jay kite lark", "mole newt owl", "pig quail ram"].map((query) => queryFeatures(query));
  /** The toss of a coin says which of the two tiers is right, whatever the kind and the confidence. */
  const noise = (seed: number): LabelledRow[] => {
    const random = seededRandom(seed);
    return kinds.flatMap((query, kind) => Array.from({ length: 5 }, (): LabelledRow => {
      const right = random() < 0.5 ? 0 : 1;
      return { query, label: String(kind), tiers: [0, 1].map((t) => ({ quality: t === right ? 1 : 0, cost_usd: 0.001, verify_cost_usd: 0, confidence: random(), latency_ms: null })) };
    }));
  };
  /** Mean value of beginning with the cheaper tier and reading its confidence. */
  const claimed = (rows: readonly LabelledRow[]): number => {
    const known = fitTaskClasses(rows);
    const seen = rows.map(({ query }) => seenBy({ classes: known }, query));
    const model = { tiers: ["a", "b"], calibration: [fitCalibration(rows.flatMap(({ tiers }) => tiers[0] ?? []), seen.map((query) => query.classes)), null] };
    const [level] = fitLevels({ rows, queries: seen, model, baseline: 1, latencySloMs: null, latePrice: 0 }, [0]) as [RoutingLevel];
    const [read] = level.states[""]?.read as [number[]];
    return meanOf(seen.map(({ features }) => features.reduce((sum, feature, i) => sum + feature * (read[i] ?? NaN), 0)));
  };
  const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

  it("does not claim that going on or stopping by an answer brings more than luck", () => {
    const seeds = Array.from({ length: 40 }, (_, i) => i + 1);
    const standardError = 0.5 / Math.sqrt(seeds.length * kinds.length * 5);
    expect(meanOf(seeds.map((seed) => claimed(noise(seed))))).toBeLessThan(0.5 + 3 * standardError);
  });
});
