import Fastify from "fastify";
import { expect, it } from "vitest";

import { Decision } from "#shared/contracts/decision.ts";
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { TierFile } from "#shared/contracts/tiers.ts";

import { addDecideRoute } from "./decideRoute.ts";

const BODY = { tenant_id: "t", user_id: "u", input: "hi", budget: 1 };
const MODEL: RoutingModelFile = {
  type: "routing_model.v1", version: "v1", created_at: "2026-11-24T00:00:00Z", tiers: ["small", "medium", "large"], baseline_tier: "large", target: 0.97, risk: 0.05, latency_slo_ms: null,
  classes: { names: [], centroids: [] }, calibration: [null, null, null],
  levels: [{ lambda_per_usd: 1, states: { "": { stop: null, blind: [[0.9, 0, 0], [0.8, 0, 0], [0.7, 0, 0]], read: [null, null, null] } } }],
  operating: { cascade_routing_level: 0, predictive_level: null, cascade_keep_from: null }, data: { fingerprint: "f", rows: 1, sources: [] }, metrics: { cascade_routing: null, predictive: null, cascade: null },
};
const post = async (payload: object | string, model: RoutingModelFile | null = null) => {
  const app = Fastify();
  const limits = { defaultDeadlineMs: 30_000, maxDeadlineMs: 60_000, tierFile: TierFile.parse(tierFixture) };
  const live = new Map(["small", "medium", "large"].map((name) => [name, { latency: null, queueDepth: 0, breaker: "closed", workers: 1, slots: 1 } as const]));
  addDecideRoute(app, limits, () => ({ live, model, floorSteps: 0, exploration: { share: 0.2, maxExtraCostNanoUsd: nanoUsd(1e9) }, nowMs: 1_000 }), () => new Map([["medium", 7]]));
  const response = await app.inject({ method: "POST", url: "/decide", payload });
  return { status: response.statusCode, body: response.json<Record<string, unknown>>() };
};

it("says what would be done and why, with all that it knew", async () => {
  const { status, body } = await post({ ...BODY, max_tier: "small" });
  expect(status).toBe(200);
  expect(body).toMatchObject({
    decision: { after_attempt: 0, policy: "cascade", facts: { at_ms: 1_000, quotes: [{ tier: "small", tokens_source: "estimated" }, { tier: "medium", tokens_source: "counted", input_tokens: 7 }, { tier: "large" }] }, step: { kind: "run", tier: "small", excluded: { medium: "above_max_tier", large: "above_max_tier" } } },
  });
});

it("gives the same answer to the same question", async () => {
  expect(await post(BODY)).toEqual(await post(BODY));
});

it("explains what is explored, for the id that is asked about; without one it says what the model would do", async () => {
  const ask = async (request_id?: string) => Decision.parse((await post({ ...BODY, policy: "cascade-routing", request_id }, MODEL)).body["decision"]);
  const found = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(`r-${i}`)));
  expect(new Set(found.map(({ step }) => (step.kind === "run" ? step.tier : null)))).toEqual(new Set(["small", "large"])); // no state after the middle one, so it is not eligible
  for (const { step, exploration } of found) expect(exploration).toMatchObject({ share: 0.2, greedy: "small", eligible: ["small", "large"], is_explored: step.kind === "run" && step.tier === "large" });
  expect(await ask()).toMatchObject({ step: { tier: "small" }, exploration: { share: 0, is_explored: false, propensity: 1 } });
});

it.each([
  [{ ...BODY, budget: -1 }, "invalid_request"], [{ ...BODY, bugdet: 1 }, "invalid_request"], [{ ...BODY, min_tier: "huge" }, "invalid_request"],
  [{ ...BODY, policy: "magic" }, "invalid_request"], [{ ...BODY, input: "\0" }, "invalid_unicode"], [[], "invalid_request"],
])("refuses %j", async (payload, code) => {
  expect(await post(payload)).toMatchObject({ status: 400, body: { error: { code } } });
});
