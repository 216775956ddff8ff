import { describe, expect, it } from "vitest";

import { difficultyOf, predictGain } from "#router/policy/predictGain.ts";
import { predictorFeatures } from "#router/policy/predictorFeatures.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { fitGainPredictor, type TrainingRow } from "./fitGainPredictor.ts";

interface World {
  readonly source: string;
  readonly rows: number;
  /** Log-odds on an ordinary query; the price is the place. */
  readonly models: Readonly<Record<string, number>>;
  /** Log-odds per unit of ln(length). */
  readonly slope?: number;
  readonly mostSteps?: number;
  readonly seed: number;
}
const ORDINARY_LENGTH = 5;
/** Word problems that become harder with their length. */
function answered({ source, rows, models, slope = 1, mostSteps = 12, seed }: World): TrainingRow[] {
  const random = seededRandom(seed);
  return Array.from({ length: rows }, () => {
    const features = predictorFeatures(`${"She puts some more of them into a box. ".repeat(1 + Math.floor(random() * mostSteps))}What is left?`);
    const succeeds = (ability: number) => (random() < 1 / (1 + Math.exp(slope * (features.length - ORDINARY_LENGTH) - ability)) ? 1 : 0);
    return { source, features, outcomes: Object.fromEntries(Object.entries(models).map(([model, ability], place) => [model, { quality: succeeds(ability), cost_usd: place }])) };
  });
}
const TRAIN = answered({ source: "a", rows: 2_000, models: { small: 0, medium: 1, large: 2 }, seed: 1 });
const fitted = fitGainPredictor(TRAIN);
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe("a fitted predictor", () => {
  it("knows what makes queries hard, in readable plain data", () => {
    expect(fitted?.features.length.weight).toBeGreaterThan(0);
    expect(fitted?.features.numeric_choices.weight).toBe(0); // there were no choices
    expect(JSON.parse(JSON.stringify(fitted))).toEqual(fitted);
  });
  it("measures difficulty in standard deviations around the ordinary query", () => {
    const scores = TRAIN.map(({ features }) => (fitted === null ? NaN : difficultyOf(fitted, features)));
    expect(mean(scores)).toBeCloseTo(0, 6);
    expect(mean(scores.map((score) => score ** 2))).toBeCloseTo(1, 6);
  });
  it("expects of models that it never saw the gain that they have", () => {
    const test = answered({ source: "b", rows: 6_000, models: { tiny: 0.5, huge: 2.5 }, seed: 2 });
    const qualityOf = (rows: readonly TrainingRow[], model: string) => mean(rows.map(({ outcomes }) => outcomes[model]?.quality ?? 0));
    const tiers = { weak: qualityOf(test, "tiny"), strong: qualityOf(test, "huge") };
    const gainOf = ({ features }: TrainingRow) => (fitted === null ? NaN : predictGain(fitted, features, tiers).gain);
    const sorted = test.toSorted((a, b) => gainOf(a) - gainOf(b));
    for (const third of [sorted.slice(0, 2_000), sorted.slice(2_000, 4_000), sorted.slice(4_000)]) {
      expect(Math.abs(mean(third.map(gainOf)) - (qualityOf(third, "huge") - qualityOf(third, "tiny")))).toBeLessThan(0.06);
    }
  });
  it("is the same for the same rows, in any order within the last digits", () => {
    expect(fitGainPredictor(TRAIN)).toEqual(fitted);
    expect(fitGainPredictor(TRAIN.toReversed())?.features.length.weight).toBeCloseTo(fitted?.features.length.weight ?? NaN, 6);
  });
});

describe("what teaches nothing", () => {
  it("is the level of a source: short and hopeless beside long and easy", () => {
    const hopeless = answered({ source: "short", rows: 500, models: { small: -1.5, large: 0 }, mostSteps: 6, seed: 3 });
    const easy = answered({ source: "long", rows: 500, models: { small: 3, large: 6 }, mostSteps: 40, slope: 1.5, seed: 4 });
    expect(fitGainPredictor([...hopeless, ...easy])?.features.length.weight).toBeGreaterThan(0);
  });
  it("is a dearer model that is hardly better, or a cheaper one that is", () => {
    expect(fitGainPredictor(answered({ source: "a", rows: 400, models: { small: 1, large: 1 }, seed: 5 }))).toBeNull();
    expect(fitGainPredictor(answered({ source: "a", rows: 400, models: { dear: 3, cheap: 1 }, seed: 5 }).map((row) => ({
      ...row, outcomes: { dear: { quality: row.outcomes["cheap"]?.quality ?? 0, cost_usd: 2 }, cheap: { quality: row.outcomes["dear"]?.quality ?? 0, cost_usd: 1 } },
    })))).toBeNull();
  });
  it("are few rows, none, or models without a common row", () => {
    expect(fitGainPredictor([])).toBeNull();
    expect(fitGainPredictor(TRAIN.slice(0, 20))).toBeNull();
    const apart = TRAIN.map(({ outcomes: { small, large }, ...row }, i): TrainingRow => ({ ...row, outcomes: i % 2 === 0 && small !== undefined ? { small } : large === undefined ? {} : { large } }));
    expect(fitGainPredictor(apart)).toBeNull();
  });
});

it("rows may lack models and have scores between 0 and 1", () => {
  const random = seededRandom(6);
  const partial = TRAIN.map(({ outcomes, ...row }): TrainingRow => ({
    ...row, outcomes: Object.fromEntries(Object.entries(outcomes).filter(() => random() < 0.7).map(([model, { quality, cost_usd }]) => [model, { quality: 0.1 + 0.8 * quality, cost_usd }])),
  }));
  expect(fitGainPredictor(partial)?.features.length.weight).toBeCloseTo(fitted?.features.length.weight ?? NaN, 0);
});
