import { expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { TierFile } from "#shared/contracts/tiers.ts";

import { requestOf, type ReplayOptions } from "./requestOf.ts";

const OPTIONS: ReplayOptions = { runId: "run1", tenantMap: new Map(), tierFile: TierFile.parse(tierFixture) };
const recorded = (over: object = {}): Completion => ({ ...Completion.parse({ ...fixture, tenant_id: "acme", request_id: "r-1", user_id: "u", budget_nano_usd: 5_000_000, latency_slo_ms: 900, task: "mail", policy: "cascade", metadata: { team: "a" }, accepted_at_ms: 1_000_000 }), ...over });

it("has the recorded terms, as durations, under a new id that says where it comes from", () => {
  const terms = { deadline_at_ms: 1_030_000, min_quality: 0.8, max_tier: "medium", priority: "batch" };
  expect(requestOf(recorded({ terms }), { input: "what?" }, OPTIONS)).toEqual({
    id: { tenant_id: "acme", request_id: "replay-run1-r-1" },
    content: {
      user_id: "u", input: "what?", budget: 0.005, latency_slo_ms: 900, deadline_ms: 30_000, min_quality: 0.8, max_tier: "medium", priority: "batch", policy: "cascade", task: "mail",
      metadata: { team: "a", replay_run: "run1", replay_of: "r-1" },
    },
  });
});

it("takes what an older event does not say from the message, where that is still there", () => {
  const message = { origin: "direct", user_id: "u", input: "what?", budget: 1, deadline_ms: 7_000, min_tier: "medium", webhook: true };
  expect(requestOf(recorded(), { input: "what?", message }, OPTIONS)).toMatchObject({ content: { deadline_ms: 7_000, min_tier: "medium" } });
  expect(requestOf(recorded(), { input: "what?", message }, OPTIONS)).not.toHaveProperty("content.webhook");
});

it("asks another tenant, under another policy and budget, when it is told to", () => {
  const made = requestOf(recorded(), { input: "what?" }, { ...OPTIONS, tenantMap: new Map([["acme", "trial"]]), policy: "cheapest", budgetNanoUsd: nanoUsd(1_000_000) });
  expect(made).toMatchObject({ id: { tenant_id: "trial" }, content: { policy: "cheapest", budget: 0.001 } });
});

it("keeps the policy of a text to embed: it names the embedder", () => {
  const tierFile = { tiers: OPTIONS.tierFile.tiers, embedders: [{ name: "vectors" }] as unknown as TierFile["embedders"] };
  expect(requestOf(recorded({ policy: "always-vectors" }), { input: { texts: ["a"] } }, { ...OPTIONS, tierFile, policy: "cheapest" })).toMatchObject({ content: { policy: "always-vectors", embed: { texts: ["a"] } } });
});

it("leaves room in metadata for what it adds", () => {
  const metadata = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`k${i}`, i]));
  const made = requestOf(recorded({ metadata }), { input: "what?" }, OPTIONS);
  expect(made).toMatchObject({ content: { metadata: { k0: 0, replay_run: "run1" } } });
});

it.each([
  ["names a tier that is not there", { terms: { deadline_at_ms: 1_030_000, min_tier: "huge" } }, /no tier huge/],
  ["could not be read then", { user_id: null, budget_nano_usd: null }, /user_id/],
])("says why an event cannot be asked that %s", (_what, over, problem) => {
  expect(requestOf(recorded(over), { input: "what?" }, OPTIONS)).toEqual({ problem: expect.stringMatching(problem) as string });
});
