import { describe, expect, it } from "vitest";

import { featuresKnown } from "#shared/contracts/modelShape.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { logistic } from "./calibration.ts";
import { queryFeatures } from "./queryFeatures.ts";
import { type Answered, keepFrom, type LearnedValues, seenAs, seenBy, stateFeatures, valuesAt } from "./routingValues.ts";

it.each([0, 1, 3])("knows as many features with %d classes as the check of a model's weights expects", (count) => {
  const names = Array.from({ length: count }, (_, i) => `class-${i}`);
  const seen = seenBy({ classes: { names, centroids: names.map(() => []) } }, queryFeatures("q"));
  for (const logOdds of [[], [1], [1, 2]]) expect(stateFeatures(seen, logOdds)).toHaveLength(featuresKnown(count, logOdds.length));
});

describe("keepFrom", () => {
  /** As it is said: each confidence of the grid by all values there. */
  const GRID = [1, ...Array.from({ length: 57 }, (_, i) => logistic(13.5 - i * 0.35)), 0];
  function plainly(learned: LearnedValues, answered: Answered, place: number): number {
    let least = Infinity;
    for (const confidence of GRID) {
      const { stop, go } = valuesAt(learned, [...answered.slice(0, 1), { place, confidence }]);
      if ((go[0]?.value ?? -Infinity) > stop) return least;
      least = confidence;
    }
    return least;
  }
  it("is the least confidence of the grid from which on stopping is worth as much as any step", () => {
    const random = seededRandom(3);
    const found = new Set<number>();
    for (let run = 0; run < 400; run++) {
      const classes = Math.floor(4 * random());
      const names = Array.from({ length: classes }, (_, i) => `c${i}`);
      const share = names.map(() => random()), sum = share.reduce((all, one) => all + one, 0);
      const weights = (answers: number) => Array.from({ length: featuresKnown(classes, answers) }, (_, i) => (i === 0 ? 0.3 : 1) * (random() - 0.5));
      const steps = (after: number, answers: number) => [0, 1, 2].map((place) => (place > after && random() < 0.8 ? weights(answers) : null));
      const state = (after: number, answers: number) => ({ stop: random() < 0.1 ? null : weights(answers), blind: steps(after, answers), read: steps(after, answers) });
      const curve = () => ({ intercept: random() - 0.5, slope: 5 * random(), class_intercepts: names.map(() => random() - 0.5), class_slopes: names.map(() => random() - 0.5) });
      const learned: LearnedValues = {
        model: { tiers: ["a", "b", "c"], calibration: [curve(), random() < 0.9 ? curve() : null, null] },
        query: seenAs({ log_length: 4 * random() - 2, digits: random(), negation: Math.round(random()) }, share.map((one) => one / sum)),
        level: { lambda_per_usd: 1, states: { "0": state(0, 1), "1": state(1, 1), "0,1": state(1, 2) } },
      };
      for (const [answered, place] of [[[], 0], [[], 1], [[{ place: 0, confidence: random() }], 1], [[{ place: 0, confidence: random() }, { place: 1, confidence: random() }], 2]] as const) {
        const least = keepFrom(learned, answered, place);
        expect(least).toBe(plainly(learned, answered, place));
        found.add(least);
      }
    }
    expect(found.size).toBeGreaterThan(20);
  });
});
