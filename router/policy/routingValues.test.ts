import { expect, it } from "vitest";

import { featuresKnown } from "#shared/contracts/modelShape.ts";

import { queryFeatures } from "./queryFeatures.ts";
import { isSureness, seenBy, stateFeatures } from "./routingValues.ts";

it.each([0, 1, 3])("knows as many features with %d classes as the check of a model's weights expects", (count) => {
  const names = Array.from({ length: count }, (_, i) => `class-${i}`);
  const seen = seenBy({ classes: { names, centroids: names.map(() => []) } }, queryFeatures("q"));
  const answers = [{ logOdds: 1, confidence: 0.7 }, { logOdds: 2, confidence: 0.9 }];
  for (const known of [[], answers.slice(1), answers]) expect(stateFeatures(seen, known)).toHaveLength(featuresKnown(count, known.length));
});

it("tells the features that say how sure answers are, whatever the class, from all others", () => {
  const sureness = Array.from({ length: featuresKnown(2, 2) }, (_, feature) => feature).filter((feature) => isSureness(feature, 2));
  expect(sureness).toEqual([7, 8, 9, 10, 13, 14]); // 0 to 6 are of the query, 11 and 12 of the latest answer within each class
});
