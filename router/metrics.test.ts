import { Registry } from "prom-client";
import { expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";

import { NO_ROUTING } from "./followModel.ts";
import { makeRouterMetrics } from "./metrics.ts";

it("counts explored requests by tier and what they were expected to add, and no others", async () => {
  const registry = new Registry();
  const metrics = makeRouterMetrics(registry, { fold: () => null, routing: () => NO_ROUTING, now: Date.now });
  const [first, ...later] = Completion.parse(fixture).decisions;
  if (first === undefined) throw new Error("the fixture has no decision");
  const exploration = { share: 0.01, max_extra_cost_nano_usd: nanoUsd(10_000_000), withheld_by: null, greedy: "large", eligible: ["small", "large"], is_explored: true, propensity: 0.005, extra_cost_nano_usd: nanoUsd(1_400) };
  for (const decision of [{ ...first, exploration }, { ...first, exploration }, { ...first, exploration: { ...exploration, greedy: "small", is_explored: false } }, ...later]) metrics.observe(decision);
  const text = await registry.metrics();
  expect(text).toContain('infer_explored_total{tier="small"} 2\n');
  expect(text.match(/^infer_explored_total/gm)).toHaveLength(1);
  expect(text).toContain("infer_explored_extra_cost_usd_total 0.0000028\n");
});

it("counts tiers that were run although they miss a soft limit, and no others", async () => {
  const registry = new Registry();
  const metrics = makeRouterMetrics(registry, { fold: () => null, routing: () => NO_ROUTING, now: Date.now });
  const [first, ...later] = Completion.parse(fixture).decisions;
  if (first?.step.kind !== "run") throw new Error("the fixture begins with a run");
  for (const decision of [{ ...first, step: { ...first.step, despite: "beyond_slo" } as const }, first, ...later]) metrics.observe(decision);
  expect((await registry.metrics()).match(/^infer_last_resorts_total.*$/gm)).toEqual(['infer_last_resorts_total{tier="small",limit="beyond_slo"} 1']);
});
