import { describe, expect, it } from "vitest";

import { nanoUsd } from "#shared/contracts/money.ts";
import { RequestMessage } from "#shared/contracts/request.ts";
import type { Tier } from "#shared/contracts/tiers.ts";

import { budgetBelowBaseline, type DemoItem, type DemoPlan, idPrefix, planDemo, requestsFor } from "./planDemo.ts";

const items = Array.from({ length: 44 }, (_, i): DemoItem => ({ id: `item-${i}`, group_id: `item-${i}`, input: `Subject: ${i}`, task: "spam-check", scoreOf: () => 1 }));
const tier = (name: string, usdPerMillion: number) => ({ name, backend: { kind: "local", model: name }, price: { input_nano_usd_per_million: nanoUsd(usdPerMillion * 1e9), output_nano_usd_per_million: nanoUsd(0), request_nano_usd: nanoUsd(0) } }) as unknown as Tier;
const tiers = { tiers: [tier("small", 0.1), tier("medium", 0.5), tier("large", 2.5)], baseline_tier: "large" };
const plan: DemoPlan = { items, requests: 80, seed: 1, run: 1, name: "mails", tiers, budgetUsd: 1, tightSloMs: 20 };

describe("planDemo", () => {
  it("gives the same requests again, and the first of them whatever else is asked", () => {
    expect(planDemo(plan)).toEqual(planDemo(plan));
    expect(planDemo({ ...plan, requests: 37 })).toEqual(planDemo(plan).slice(0, 37));
  });

  it.each([[{ seed: 2 }], [{ run: 2 }], [{ name: "other" }]])("has no id of another plan, and with another seed or run another order: %j", (change) => {
    const ids = new Set(planDemo(plan).map(({ body }) => body.request_id));
    const others = planDemo({ ...plan, ...change });
    expect(others.filter(({ body }) => ids.has(body.request_id) || !body.request_id.startsWith(idPrefix({ ...plan, ...change })))).toEqual([]);
    expect(others.map(({ item }) => item.id).join() === planDemo(plan).map(({ item }) => item.id).join()).toBe("name" in change);
  });

  it("asks what the doors take, for all tenants and policies", () => {
    const planned = planDemo(plan);
    for (const { body } of planned) expect(() => RequestMessage.parse(body)).not.toThrow();
    expect(new Set(planned.map(({ tenant, body }) => `${tenant} ${body.policy ?? ""}`))).toEqual(new Set(["demo-helpdesk cascade-routing", "demo-shop cascade", "demo-thrift cheapest", "demo-baseline always-large"]));
    expect(planned.filter(({ body }) => body.latency_slo_ms !== undefined).length).toBe(4);
    expect(planned.filter(({ body }) => body.budget < 1).length).toBe(4);
  });

  it("asks the baseline tier about each item that it compares, and the shop again what it was asked a cycle before", () => {
    const planned = planDemo(plan);
    const of = (tenant: string) => planned.filter((one) => one.tenant === tenant).map(({ item }) => item.id);
    expect(of("demo-baseline")).toEqual(planned.filter(({ isPaired }) => isPaired).map(({ item }) => item.id));
    expect(of("demo-shop").filter((id, i, all) => all.indexOf(id) < i)).toHaveLength(4);
  });

  it("asks no policy the same twice as long as the items last", () => {
    expect(requestsFor(items.length)).toBe(80);
    const fresh = planDemo(plan).filter(({ tenant }) => tenant !== "demo-shop");
    expect(new Set(fresh.map(({ tenant, item }) => `${tenant} ${item.id}`)).size).toBe(fresh.length);
    expect(planDemo({ ...plan, requests: 100 })).toHaveLength(100);
  });
});

it("a tight budget is enough for every tier but a last that is much dearer", () => {
  const most = (usdPerMillion: number, input: string) => ((Buffer.byteLength(input) + 64) * usdPerMillion) / 1e6;
  const budget = budgetBelowBaseline(tiers, "Subject: hello");
  expect(budget).toBeGreaterThanOrEqual(most(0.1, "Subject: hello") + most(0.5, "Subject: hello"));
  expect(budget).toBeLessThan(most(2.5, "Subject: hello"));
});
