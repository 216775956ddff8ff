/** On pure noise a model profits of the rows that it has seen, and of no others: what is measured shows which ones they were. */
import { describe, expect, it } from "vitest";

import { queryFeatures } from "#router/policy/queryFeatures.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { evaluate } from "./evaluate.ts";
import type { OutcomeRow } from "./outcomeLog.ts";
import { mean } from "./routingMetrics.ts";
import { train } from "./trainModel.ts";

const TIERS = ["a", "b"];
/** Told by their words; with few rows each, so that they are easily memorised. */
const CLASSES = ["ant bee cat", "dog elk fox", "gnu hen ibis", "jay kite lark", "mole newt owl", "pig quail ram"];
const ROWS_OF_CLASS = 5;
/** The toss of a coin says which of two equally dear tiers is right, whatever the class: a half is all that anybody can get right. */
function noise(seed: number): OutcomeRow[] {
  const random = seededRandom(seed);
  return CLASSES.flatMap((query) => Array.from({ length: ROWS_OF_CLASS }, (_, i): OutcomeRow => {
    const right = random() < 0.5 ? 0 : 1;
    return { id: `${query} ${i}`, dataset: query, query, features: queryFeatures(query), tiers: TIERS.map((_tier, t) => ({ quality: t === right ? 1 : 0, cost_usd: 0.001, verify_cost_usd: 0, confidence: null, latency_ms: 10 })) };
  }));
}
const SEEDS = [1, 2, 3, 4, 5, 6];
const STANDARD_ERROR = 0.5 / Math.sqrt(SEEDS.length * CLASSES.length * ROWS_OF_CLASS);
const LUCK = 0.5 + 2.5 * STANDARD_ERROR;
const GOALS = { tiers: TIERS, risk: 0.05, latencySloMs: null, paysVerification: false, labels: "qualities" } as const;
const overSeeds = (qualityOf: (rows: OutcomeRow[], seed: number) => number | undefined) => mean(SEEDS.map((seed) => qualityOf(noise(seed), seed) ?? NaN));
/** Its target is so low that the floor holds on few rows. */
const trained = (rows: OutcomeRow[], seed: number) => train({ ...GOALS, baseline: 1, target: 0.02, hasConfidences: false, random: seededRandom(seed) }, rows, ["predictive"]);

describe("on pure noise", () => {
  it("a model seems to be right more often than by luck on rows that it has seen", () => {
    const seen = overSeeds((rows, seed) => {
      const [free] = trained(rows, seed).families.get("predictive") ?? [];
      return free === undefined ? undefined : mean(rows.map((row) => free.play(row).quality));
    });
    expect(seen).toBeGreaterThan(LUCK + STANDARD_ERROR);
  });

  it("its figures are luck's, as they are measured on rows that it was not fitted on", () => {
    const measured = overSeeds((rows, seed) => {
      const ratio = trained(rows, seed).points.get("predictive")?.measured?.quality_ratio;
      return ratio === undefined ? undefined : ratio * mean(rows.map(({ tiers }) => tiers[1]?.quality ?? NaN));
    });
    expect(measured).toBeLessThan(LUCK);
  });

  it("so are those of cross-validation, where each row is played by candidates that it had no part in", () => {
    const crossed = overSeeds((rows, seed) => {
      const { policies } = evaluate({ ...GOALS, train: rows, test: { folds: 5 }, policies: ["predictive"], baselineTier: "b", target: 0.97, seed, onProgress: () => undefined });
      return policies.find(({ policy, dataset }) => policy === "predictive" && dataset === "all")?.frontier?.[0]?.quality;
    });
    expect(crossed).toBeLessThan(LUCK);
  });
});
