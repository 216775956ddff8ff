import { expect, it } from "vitest";

import type { TierQuote } from "#shared/contracts/decision.ts";
import { Job } from "#shared/contracts/events.ts";
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { policyNames, TierFile } from "#shared/contracts/tiers.ts";
import { baselineOf } from "#shared/saga/closings.ts";
import { newSaga } from "#shared/saga/inferenceMachine.ts";

import { preferenceOf } from "./policies.ts";
import { factsFor } from "./quoteTiers.ts";

const FILE = TierFile.parse(tierFixture);
const REQUEST = { ...Job.parse(jobFixture).request, task: null };
const prefer = (over: Partial<Job["request"]>, costs: Record<string, number> = {}) => {
  const facts = factsFor(REQUEST, FILE, new Map(), REQUEST.accepted_at_ms);
  const quotes = facts.quotes.map((quote): TierQuote => ({ ...quote, expected_cost_nano_usd: nanoUsd(costs[quote.tier] ?? quote.expected_cost_nano_usd) }));
  const { order, minConfidence } = preferenceOf({ request: { ...REQUEST, ...over }, saga: newSaga(baselineOf(FILE)).context, facts: { ...facts, quotes } }, FILE);
  return order.map((quote) => [quote.tier, minConfidence(quote)]);
};

it.each([
  ["static runs the default tier, and those above it when it fails", { policy: "static" }, [["medium", 0], ["large", 0]]],
  ["static runs the tier of the task", { policy: "static", task: "mail" }, [["small", 0], ["medium", 0], ["large", 0]]],
  ["static runs the default tier for a task without a route", { policy: "static", task: "poems" }, [["medium", 0], ["large", 0]]],
  ["static does not take what every object inherits for a route", { policy: "static", task: "constructor" }, [["medium", 0], ["large", 0]]],
  ["static does not take an object's prototype for a route", { policy: "static", task: "__proto__" }, [["medium", 0], ["large", 0]]],
  ["cheapest goes by what a tier is expected to cost", { policy: "cheapest" }, [["small", 0], ["medium", 0], ["large", 0]]],
  ["cascade goes upwards, with a threshold per tier and none at the top", { policy: "cascade" }, [["small", 0.9], ["medium", 0.8], ["large", 0]]],
  ["always runs one tier and no other", { policy: "always-medium" }, [["medium", 0]]],
])("%s", (_name, over, preference) => {
  expect(prefer(over)).toEqual(preference);
});

it("cheapest takes the price of now, not the order of the file", () => {
  expect(prefer({ policy: "cheapest" }, { small: 9e6, medium: 5, large: 7 })).toEqual([["medium", 0], ["large", 0], ["small", 0]]);
});

it.each(policyNames(FILE.tiers))("%s, like every policy that a request may name, prefers some tier", (policy) => {
  expect(prefer({ policy })).not.toEqual([]);
});
