import { Registry } from "prom-client";
import { expect, it } from "vitest";

import fixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { TierFile } from "#shared/contracts/tiers.ts";

import { exportPriceEnds } from "./metrics.ts";

it("exports the moment after the last day of a price, in UTC, and nothing for a price without an end", async () => {
  const registry = new Registry();
  const [{ price }] = TierFile.parse(fixture).tiers as [ReturnType<typeof TierFile.parse>["tiers"][number]];
  exportPriceEnds(registry, "small", [{ name: "eu", price: { ...price, valid_until: "2026-12-31" } }, { name: "us", price }]);
  const [metric] = await registry.getMetricsAsJSON();
  expect(metric).toMatchObject({ name: "infer_price_ends_timestamp_seconds", values: [{ labels: { tier: "small", replica: "eu" }, value: Date.parse("2027-01-01T00:00:00Z") / 1_000 }] });
});
