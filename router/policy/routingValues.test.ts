import { expect, it } from "vitest";

import { featuresKnown } from "#shared/contracts/modelShape.ts";

import { queryFeatures } from "./queryFeatures.ts";
import { seenBy, stateFeatures } from "./routingValues.ts";

it.each([0, 1, 3])("knows as many features with %d classes as the check of a model's weights expects", (count) => {
  const names = Array.from({ length: count }, (_, i) => `class-${i}`);
  const seen = seenBy({ classes: { names, centroids: names.map(() => []) } }, queryFeatures("q"));
  for (const logOdds of [[], [1], [1, 2]]) expect(stateFeatures(seen, logOdds)).toHaveLength(featuresKnown(count, logOdds.length));
});
