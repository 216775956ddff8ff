import { Registry } from "prom-client";
import { expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { linesOfCompletion } from "#shared/ledger/linesOf.ts";

import { makeCountWaste } from "./wasteMetric.ts";

it("counts of a completion what its attempts cost beyond what was charged, and nothing else", async () => {
  const completion = Completion.parse(fixture);
  const registry = new Registry();
  const count = makeCountWaste(registry);
  count(linesOfCompletion(completion, 1));
  count(linesOfCompletion({ ...completion, attempts: completion.attempts.map((attempt) => ({ ...attempt, uncapped_cost_nano_usd: nanoUsd(attempt.cost_nano_usd + 1_000) })) }, 2));
  expect((await registry.metrics()).match(/^infer_waste_cost_usd_total (\S+)$/m)?.[1]).toBe(String((completion.attempts.length * 1_000) / 1e9));
});
