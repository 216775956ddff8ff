import { describe, expect, it } from "vitest";

import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { TierFile } from "#shared/contracts/tiers.ts";

import { modelsOf, policyOf } from "./models.ts";

const file = TierFile.parse(tierFixture);

describe("policyOf", () => {
  it.each([
    ["auto", { policy: null }], ["auto:cascade", { policy: "cascade" }], ["auto:always-large", { policy: "always-large" }],
    ["small", { policy: "always-small" }], [file.tiers[1]?.backend.model ?? "", { policy: "always-medium" }],
    ["auto:", null], ["auto:best", null], ["gpt-4o", null], ["always-small", null], ["AUTO", null],
  ])("of %j is %j", (model, expected) => {
    expect(policyOf(model, file)).toEqual(expected);
  });

  it("of a model that several tiers have is the cheapest tier's, and a tier's name comes before a model's", () => {
    const [small, medium, large] = file.tiers;
    if (small === undefined || medium === undefined || large === undefined) throw new Error("the fixture has three tiers");
    const tiers = [small, { ...medium, backend: { ...medium.backend, model: "same" } }, { ...large, name: "top", backend: { ...large.backend, model: "same" } }];
    expect(policyOf("same", { tiers })).toEqual({ policy: "always-medium" });
    expect(policyOf("top", { tiers: [{ ...small, backend: { ...small.backend, model: "top" } }, ...tiers.slice(1)] })).toEqual({ policy: "always-top" });
  });
});

it("every model that is listed may be named, and none is listed twice", () => {
  const models = modelsOf(file);
  const ids = models.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.slice(0, 2)).toEqual(["auto", "auto:static"]);
  for (const id of ids) expect(policyOf(id, file)).not.toBeNull();
  expect(models.every(({ created }) => Number.isInteger(created))).toBe(true);
});
