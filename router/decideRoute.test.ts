import Fastify from "fastify";
import { expect, it } from "vitest";

import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { TierFile } from "#shared/contracts/tiers.ts";

import { addDecideRoute } from "./decideRoute.ts";

const BODY = { tenant_id: "t", user_id: "u", input: "hi", budget: 1 };
const post = async (payload: object | string) => {
  const app = Fastify();
  const limits = { defaultDeadlineMs: 30_000, maxDeadlineMs: 60_000, tierFile: TierFile.parse(tierFixture) };
  const live = new Map(["small", "medium", "large"].map((name) => [name, { latency: null, queueDepth: 0, breaker: "closed", workers: 1, slots: 1 } as const]));
  addDecideRoute(app, limits, () => ({ live, model: null, floorSteps: 0, nowMs: 1_000 }));
  const response = await app.inject({ method: "POST", url: "/decide", payload });
  return { status: response.statusCode, body: response.json<Record<string, unknown>>() };
};

it("says what would be done and why, with all that it knew", async () => {
  const { status, body } = await post({ ...BODY, max_tier: "small" });
  expect(status).toBe(200);
  expect(body).toMatchObject({
    decision: { after_attempt: 0, policy: "cascade", facts: { at_ms: 1_000, quotes: [{ tier: "small" }, { tier: "medium" }, { tier: "large" }] }, step: { kind: "run", tier: "small", excluded: { medium: "above_max_tier", large: "above_max_tier" } } },
  });
});

it("gives the same answer to the same question", async () => {
  expect(await post(BODY)).toEqual(await post(BODY));
});

it.each([
  [{ ...BODY, budget: -1 }, "invalid_request"], [{ ...BODY, bugdet: 1 }, "invalid_request"], [{ ...BODY, min_tier: "huge" }, "invalid_request"],
  [{ ...BODY, policy: "magic" }, "invalid_request"], [{ ...BODY, input: "\0" }, "invalid_unicode"], [[], "invalid_request"],
])("refuses %j", async (payload, code) => {
  expect(await post(payload)).toMatchObject({ status: 400, body: { error: { code } } });
});
