import { describe, expect, it } from "vitest";

import { Experiment } from "#shared/contracts/experiment.ts";

import { armFor } from "./armFor.ts";

const NOW_MS = Date.parse("2026-11-29T12:00:00Z");
const EXPERIMENT = Experiment.parse({
  experiment_id: "predictive-1", kind: "canary", unit: "request", scope: {}, metric: { quality: "feedback", max_loss: 0.02, risk: 0.05 }, max_requests: 1_000, started_at: "2026-11-29T00:00:00Z", ends_at: "2026-11-30T00:00:00Z",
  arms: [{ name: "control", policy: "cascade-routing", share: 0.9 }, { name: "canary", policy: "predictive", model_version: "v2", share: 0.1 }],
  status: "running", history: [{ at: "2026-11-29T00:00:00Z", status: "running", why: "test" }],
});
const ASKED = { user_id: "u1" };
const given = (request_id: string, over: Partial<Experiment> = {}, asked: Parameters<typeof armFor>[2] = ASKED, tenant_id = "t1", atMs = NOW_MS) => armFor({ ...EXPERIMENT, ...over }, { tenant_id, request_id }, asked, atMs);
const armsOf = (count: number, over: Partial<Experiment> = {}, asked?: (i: number) => Parameters<typeof armFor>[2]) => Array.from({ length: count }, (_, i) => given(`r-${i}`, over, asked?.(i))?.assigned.arm);

describe("a request that names no policy", () => {
  it("gets the arm's policy, with the probability that it had", () => {
    const found = Array.from({ length: 100 }, (_, i) => given(`r-${i}`));
    expect(found).toContainEqual({ policy: "predictive", assigned: { experiment_id: "predictive-1", arm: "canary", share: 0.1, model_version: "v2" } });
    expect(found).toContainEqual({ policy: "cascade-routing", assigned: { experiment_id: "predictive-1", arm: "control", share: 0.9 } });
  });

  it("gets the same arm whenever it is asked", () => { expect(armsOf(200)).toEqual(armsOf(200)); });

  it("falls to arms by their shares, and independently of another experiment", () => {
    const [one, other] = [armsOf(10_000), armsOf(10_000, { experiment_id: "predictive-2" })];
    const canary = one.filter((arm) => arm === "canary").length;
    const both = one.filter((arm, i) => arm === "canary" && other[i] === "canary").length;
    expect([canary > 900, canary < 1_100, both > 50, both < 150]).toEqual([true, true, true, true]);
  });

  it("stays with its user's arm where users are the unit", () => {
    expect(new Set(armsOf(50, { unit: "user" })).size).toBe(1);
    expect(new Set(armsOf(200, { unit: "user" }, (i) => ({ user_id: `u${i}` }))).size).toBe(2);
  });
});

it.each<[string, Parameters<typeof given>]>([
  ["whose caller names a policy", ["r", {}, { ...ASKED, policy: "cheapest" }]],
  ["of another tenant", ["r", { scope: { tenants: ["t2"] } }]],
  ["of another task", ["r", { scope: { tasks: ["mail"] } }, { ...ASKED, task: "chat" }]],
  ["of no task where tasks are named", ["r", { scope: { tasks: ["mail"] } }]],
  ["that wants a kept answer or none", ["r", {}, { ...ASKED, cache_control: "only-if-cached" }]],
  ["for vectors", ["r", {}, { ...ASKED, embed: { texts: ["a"] } }]],
  ["after its end", ["r", {}, ASKED, "t1", NOW_MS + 86_400_000]],
  ["of one that was rolled back", ["r", { status: "rolled_back" }]],
])("a request %s is no part of it", (_name, [id, ...rest]) => { expect(given(id, ...rest)).toBeNull(); });

it("in its scope is part of it", () => {
  expect(given("r", { scope: { tenants: ["t1"], tasks: ["mail"] } }, { ...ASKED, task: "mail" })).not.toBeNull();
  expect(armFor(null, { tenant_id: "t1", request_id: "r" }, ASKED, NOW_MS)).toBeNull();
});

it.each<[string, object]>([
  ["shares that are not all", { arms: [{ name: "a", policy: "static", share: 0.5 }, { name: "b", policy: "cheapest", share: 0.4 }] }],
  ["arms of one name", { arms: [{ name: "a", policy: "static", share: 0.5 }, { name: "a", policy: "cheapest", share: 0.5 }] }],
  ["answers that nobody shadows", { metric: { ...EXPERIMENT.metric, quality: "shadow" }, arms: [{ name: "a", policy: "static", share: 0.5 }, { name: "b", policy: "always-large", share: 0.5 }] }],
])("%s make no experiment", (_name, over) => { expect(Experiment.safeParse({ ...EXPERIMENT, ...over }).success).toBe(false); });
