import { Registry } from "prom-client";
import { expect, it } from "vitest";

import type { Attempt } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { TierFile } from "#shared/contracts/tiers.ts";

import { exportPriceEnds, makeWorkerMetrics } from "./metrics.ts";

it("exports the moment after the last day of a price, in UTC, and nothing for a price without an end", async () => {
  const registry = new Registry();
  const [{ price }] = TierFile.parse(fixture).tiers as [ReturnType<typeof TierFile.parse>["tiers"][number]];
  exportPriceEnds(registry, "small", [{ name: "eu", price: { ...price, valid_until: "2026-12-31" } }, { name: "us", price }]);
  const [metric] = await registry.getMetricsAsJSON();
  expect(metric).toMatchObject({ name: "infer_price_ends_timestamp_seconds", values: [{ labels: { tier: "small", replica: "eu" }, value: Date.parse("2027-01-01T00:00:00Z") / 1_000 }] });
});

it("counts attempts that were charged less than was told or quoted, and those that may have cost more, checks and runs beside a request included", async () => {
  const registry = new Registry();
  const status = () => ({ tier: "small", instance: "i", slots: 1, busy: 0, batch_slots: 1, batch_busy: 0, breaker: "closed" as const, retry_in_ms: 0 });
  const metrics = makeWorkerMetrics(registry, "small", { status, loads: () => [], limit: () => 4 });
  const sums = async () => Object.fromEntries(await Promise.all(["infer_usage_clamped_total", "infer_attempt_cost_capped_total", "infer_cost_unknown_total"].map(async (name) =>
    [name, (await registry.getSingleMetric(name)?.get())?.values.map(({ labels, value }) => [labels["reason"] ?? "", value])] as const)));
  expect(await sums()).toEqual({ infer_usage_clamped_total: [["", 0]], infer_attempt_cost_capped_total: [["", 0]], infer_cost_unknown_total: [["no_price", 0], ["cut_off", 0]] });

  const rates = { input_nano_usd_per_million: nanoUsd(1), output_nano_usd_per_million: nanoUsd(1), request_nano_usd: nanoUsd(0) };
  const usage = { input_tokens: 1, output_tokens: 1, source: "reported" as const };
  const attempt: Attempt = { attempt: 1, tier: "small", model: "m", started_at_ms: 1, latency_ms: 1, tries: 1, usage, rates, cost_nano_usd: nanoUsd(1), cost_is_partial: false, outcome: { kind: "failed", code: "backend_unavailable", message: "" } };
  const check = { kind: "self_verification" as const, usage: { ...usage, is_clamped: true as const }, cost_nano_usd: nanoUsd(1), latency_ms: 1, error_code: null };
  metrics.observe(attempt, false);
  metrics.observe({ ...attempt, usage: { ...usage, is_clamped: true }, checks: [check] }, false);
  metrics.observeCalls({ ...attempt, checks: [check] });
  metrics.observe({ ...attempt, uncapped_cost_nano_usd: nanoUsd(2) }, false);
  metrics.observe({ ...attempt, cost_is_partial: true }, false);
  metrics.observe({ ...attempt, cost_is_partial: true, usage: null }, false);
  metrics.observe({ ...attempt, cost_is_partial: true, usage: { ...usage, cache_write_input_tokens: 1 } }, false);
  metrics.observe({ ...attempt, cost_is_partial: true, checks: [{ ...check, usage: { ...usage, unpriced_tokens: 1 } }] }, false);
  expect(await sums()).toEqual({ infer_usage_clamped_total: [["", 2]], infer_attempt_cost_capped_total: [["", 1]], infer_cost_unknown_total: [["no_price", 2], ["cut_off", 2]] });
});
