import { describe, expect, it } from "vitest";

import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { replicasOf, TierFile } from "#shared/contracts/tiers.ts";

import { modelsOf, policyOf } from "./models.ts";

const file = TierFile.parse(tierFixture);
const hosted = (model: string) => ({ kind: "openai-compatible", model, base_url: "http://127.0.0.1:9/v1", max_output_tokens: 1 });
/** The fixture with these backends, cheapest first; several are a tier's replicas. */
const withModels = (...models: [string, ...string[]][]) => TierFile.parse({
  ...tierFixture,
  tiers: tierFixture.tiers.map((tier, i) => ({ ...tier, backend: undefined, replicas: models[i]?.map((model, n) => ({ name: `r${n}`, backend: hosted(model) })) })),
});

describe("policyOf", () => {
  it.each([
    ["auto", { policy: null }], ["auto:cascade", { policy: "cascade" }], ["auto:always-large", { policy: "always-large" }],
    ["small", { policy: "always-small" }], ["m", { policy: "always-medium" }],
    ["auto:", null], ["auto:best", null], ["gpt-4o", null], ["always-small", null], ["AUTO", null],
  ])("of %j is %j", (model, expected) => {
    expect(policyOf(model, file)).toEqual(expected);
  });

  it("of a model that several tiers have is the cheapest tier's, and a tier's name comes before a model's", () => {
    expect(policyOf("same", withModels(["a"], ["same"], ["same"]))).toEqual({ policy: "always-medium" });
    expect(policyOf("large", withModels(["large"], ["b"], ["c"]))).toEqual({ policy: "always-large" });
  });

  it("of any replica's model is its tier's", () => {
    const replicated = withModels(["a"], ["b", "b-eu"], ["c"]);
    expect([policyOf("b", replicated), policyOf("b-eu", replicated)]).toEqual([{ policy: "always-medium" }, { policy: "always-medium" }]);
    expect(modelsOf(replicated).map(({ id }) => id)).toEqual(expect.arrayContaining(replicated.tiers.flatMap(replicasOf).map(({ backend }) => backend.model)));
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
