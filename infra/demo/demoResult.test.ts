import { describe, expect, it } from "vitest";

import { demoBar, demoText } from "#infra/cli/demoText.ts";
import type { InferReply } from "#shared/contracts/reply.ts";

import type { BookedRequest } from "./demoBooks.ts";
import { demoFigures } from "./demoResult.ts";
import type { DemoTenant } from "./demoTenants.ts";
import type { SeenRequest } from "./sendDemo.ts";

type Tries = readonly (readonly [tier: string, confidence: number, cost: number])[];
interface Made { readonly id: string; readonly tenant?: DemoTenant; readonly item: string; readonly tries: Tries; readonly score?: number; readonly baseline?: number; readonly input?: string }
/** Amounts in nano-dollars. */
function seen({ id, tenant = "demo-helpdesk", item, tries, score = 1, baseline = 2_500, input = `Subject: ${item}` }: Made): SeenRequest {
  const last = tries.at(-1);
  const reply = {
    request_id: id, tenant_id: tenant, outcome: "completed", output: "ham", tier: last?.[0] ?? null, cost_usd: tries.reduce((sum, [, , cost]) => sum + cost, 0) / 1e9, baseline_cost_usd: baseline / 1e9, baseline_tier: "large", error: null,
    attempts: tries.map(([tier, confidence, cost], i) => ({ attempt: i + 1, tier, outcome: "answered", confidence, is_sound: true, error: null, cost_usd: cost / 1e9 })),
    decision: { policy: "cascade-routing", why: "", steps: tries.map(([tier], i) => ({ after_attempt: i, step: "run", tier, min_confidence: 0.95 })) },
  } as unknown as InferReply;
  return { reply, score, planned: { tenant, isPaired: tenant === "demo-helpdesk", item: { id: item, group_id: item, input, task: "t", scoreOf: () => score }, body: { request_id: id, tenant_id: tenant, user_id: "u", input, budget: 1 } } };
}
const booked = ({ reply, planned }: SeenRequest, own = 0): BookedRequest =>
  ({ tenant_id: planned.tenant, request_id: reply.request_id, outcome: reply.outcome, is_cached: false, baseline: Math.round((reply.baseline_cost_usd ?? 0) * 1e9), spend: Math.round(reply.cost_usd * 1e9), own, shadows: own === 0 ? 0 : 1 });

const cheap: Tries = [["small", 0.99, 100]];
const dear: Tries = [["small", 0.6, 100], ["medium", 0.7, 500], ["large", 0.9, 2_500]];
const RUN: readonly SeenRequest[] = [
  seen({ id: "h-1", item: "a", tries: cheap }), seen({ id: "h-2", item: "b", tries: dear, input: "Subject: Lunch?\n\nAt noon" }), seen({ id: "h-3", item: "c", tries: cheap, score: 0 }),
  ...["a", "b", "c"].map((item) => seen({ id: `b-${item}`, tenant: "demo-baseline", item, tries: [["large", 0.9, 2_500]] })),
  seen({ id: "t-1", tenant: "demo-thrift", item: "a", tries: cheap }),
];

describe("demoFigures", () => {
  it("adds up what the books have for each tenant, own lines included", () => {
    const { tenants, shadows, books } = demoFigures(RUN, RUN.map((one, i) => booked(one, i === 0 ? 40 : 0)), "large");
    expect(tenants.map(({ tenant_id, policy, asked }) => [tenant_id, policy, asked])).toEqual([["demo-helpdesk", "cascade-routing", 3], ["demo-thrift", "cheapest", 1], ["demo-baseline", "always-large", 3]]);
    expect(tenants[0]).toMatchObject({ by_tier: { small: 2, large: 1 }, escalated: 1, spend_nano_usd: 3_300, total_nano_usd: 3_340, baseline_nano_usd: 7_500, net_saving_nano_usd: 4_160, net_saving_95: null });
    expect([shadows, books]).toEqual([1, { requests: 7, agree: true }]);
  });

  it("compares what was really paid and right on the same items", () => {
    const { compared } = demoFigures(RUN, [], "large");
    expect(compared).toMatchObject({ items: 3, spend_nano_usd: 3_300, baseline_spend_nano_usd: 7_500 });
    expect(compared?.saving.estimate).toBeCloseTo(4_200 / 7_500);
    expect([compared?.quality.estimate, compared?.baseline_quality.estimate, compared?.difference.estimate].map((share) => share?.toFixed(3))).toEqual(["0.667", "1.000", "-0.333"]);
    expect(compared?.baseline_quality).toMatchObject({ high: 1 });
    expect(compared?.baseline_quality.low).toBeCloseTo(0.2924, 3); // 3 of 3, exact: 0.025 ** (1 / 3)
  });

  it("explains one that ended with a sure answer before a shorter one that did not", () => {
    const unsure = seen({ id: "h-4", item: "d", tries: [["small", 0.6, 100], ["medium", 0.7, 500], ["large", 0.6, 2_500]], input: "Hi" });
    expect(demoFigures([...RUN, unsure], [], "large").escalation?.request_id).toBe("h-2");
    expect(demoFigures([...RUN.filter(({ reply }) => reply.request_id !== "h-2"), unsure], [], "large").escalation?.request_id).toBe("h-4");
  });

  it("explains one escalation in words", () => {
    expect(demoFigures(RUN, [], "large").escalation).toEqual({
      request_id: "h-2", tenant_id: "demo-helpdesk",
      words: '"Subject: Lunch? At noon", asked small: 60.0 % sure of its answer (0.0000001 USD), below the 95.0 % that are wanted of it; then medium: 70.0 % sure of its answer (0.0000005 USD), below the 95.0 % that are wanted of it; then large: 90.0 % sure of its answer (0.0000025 USD), kept. All of it cost 0.0000031 USD; large alone would have cost 0.0000025 USD; the answer "ham" is right by its label.',
    });
    expect(demoFigures(RUN.filter(({ reply }) => reply.attempts.length === 1), [], "large").escalation).toBeNull();
  });

  it.each([
    ["lack a request", RUN.slice(1).map((one) => booked(one))],
    ["have another cost", RUN.map((one, i) => ({ ...booked(one), ...(i === 2 ? { spend: 101 } : {}) }))],
    ["have another outcome", RUN.map((one, i) => ({ ...booked(one), ...(i === 2 ? { outcome: "degraded" as const } : {}) }))],
  ])("says so when the books %s", (_what, books) => {
    expect(demoFigures(RUN, books, "large").books.agree).toBe(false);
  });
});

describe("for people", () => {
  const place = { consoleUrl: "http://localhost:8079/console", baselineTier: "large", before: "", notes: ["one thing more"], more: ["npx inferctl down"] };
  const run = { run: 1, asked: 7, already_there: 2, elapsed_ms: 2_000, requests_per_second: 2.5 };

  it("ends with what was saved at which quality, and what to open and run next", () => {
    const text = demoText({ ...run, ...demoFigures(RUN, RUN.map((one) => booked(one)), "large") }, place);
    expect(text).toContain("run 1: 7 requests in 2.0 s, 2 of them from before (2.5 a second)");
    expect(text).toMatch(/demo-helpdesk +cascade-routing +3 +3 completed +2 small, 1 large\n/);
    expect(text).toMatch(/demo-helpdesk +0\.000003 +0\.000008 +0\.000004 \(56\.0 %\) +66\.7 %/);
    const whole = text.replaceAll(/\n(?=\S)/g, " ");
    expect(whole).toContain(demoFigures(RUN, [], "large").escalation?.words);
    expect(whole).toMatch(/The same 3 asked of both: 0\.000003 USD with cascade-routing, 0\.000008 with always-large: saved 56\.0 % \(95 %:[^]*at 66\.7 % right against 100\.0 % \(difference -33\.3 points/);
    expect(text).toMatch(/The books say the same of all 7 requests[^]*\n- one thing more\n\nNext:\n {2}open http:\/\/localhost:8079\/console\n {2}npx inferctl trace h-2 --tenant demo-helpdesk\n {2}npx inferctl report --by tier\n {2}npx inferctl down$/);
  });

  it("fits a terminal of 100 columns, whatever there is of it, but for commands", () => {
    const figures = demoFigures(RUN, RUN.map((one) => booked(one)), "large");
    const many = { small: 1_234, "a-model-of-a-long-name": 567, medium: 89, large: 12, "and-another-of-a-long-name": 3 };
    const wide = figures.tenants.map((tenant) => ({ ...tenant, asked: 100_000, outcomes: { completed: 90_000, degraded: 9_000, failed: 900, rejected: 100 }, by_tier: many, cached: 77, net_saving_nano_usd: -999_999_999, net_saving_95: { lower: "-1999999998", upper: "0" } }));
    const lines = demoText({ ...run, ...figures, tenants: wide }, { ...place, notes: ["one thing more, ".repeat(20)] }).split("\n");
    expect(lines.filter((line) => line.length > 100 && !line.includes("inferctl"))).toEqual([]);
    for (const said of ["90000 completed,", "100 rejected", "1234 small,", "3 and-another-of-a-long-name"]) expect(lines.filter((line) => line.includes(said))).toHaveLength(figures.tenants.length);
  });

  it("says where to look when the books are not whole", () => {
    expect(demoText({ ...run, ...demoFigures(RUN, [], "large") }, { ...place, before: "INFER_HOME=x " })).toContain("The books have 0 of 7 requests so far: INFER_HOME=x npx inferctl reconcile");
  });

  it("shows how far it is", () => {
    expect(demoBar(RUN.slice(0, 3), 12, 1_500)).toBe("[######------------------] 3 of 12, 2/s, saved 56.0 % so far");
    expect(demoBar([], 12, 0)).toBe("[------------------------] 0 of 12, 0/s");
  });
});
