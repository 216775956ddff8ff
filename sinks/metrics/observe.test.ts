import { Registry } from "prom-client";
import { expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };

import { makeCompletionMetrics } from "./observe.ts";

const COMPLETION = Completion.parse(fixture);
const metricsAfter = async (...events: Completion[]) => {
  const registry = new Registry();
  events.forEach(makeCompletionMetrics(registry));
  return (await registry.metrics()).split("\n").filter((line) => line !== "" && !line.startsWith("#") && !line.includes("_bucket"));
};

it("counts outcome, latency, money and escalations of a request", async () => {
  expect(await metricsAfter(COMPLETION)).toEqual([
    'infer_completions_total{outcome="completed",tier="large",policy="cascade"} 1',
    'infer_escalations_total{from="small",to="medium"} 1',
    'infer_escalations_total{from="medium",to="large"} 1',
    'infer_request_duration_seconds_sum{outcome="completed"} 1.62',
    'infer_request_duration_seconds_count{outcome="completed"} 1',
    "infer_request_overhead_seconds_sum 0.01925",
    "infer_request_overhead_seconds_count 1",
    'infer_cost_usd_total{tier="small"} 0',
    'infer_cost_usd_total{tier="medium"} 0.00003',
    'infer_cost_usd_total{tier="large"} 0.000265',
    "infer_baseline_cost_usd_total 0.000265",
    'infer_cost_partial_total{tier="small"} 1',
  ]);
});

it("counts a failure by its code, under no tier and no policy when it has none", async () => {
  const failed: Completion = { ...COMPLETION, outcome: "failed", tier: null, policy: null, error: { code: "invalid_json", message: "m" }, attempts: [], baseline_cost_nano_usd: null };
  const lines = await metricsAfter(failed, failed);
  expect(lines).toContain('infer_completions_total{outcome="failed",tier="none",policy="none"} 2');
  expect(lines).toContain('infer_completion_errors_total{code="invalid_json"} 2');
  expect(lines).toContain("infer_baseline_cost_usd_total 0");
});

it("counts what was answered within its latency SLO, and what was not or had no answer; what named none is no part of it", async () => {
  const asked: Completion = { ...COMPLETION, latency_ms: 900, latency_slo_ms: 900 };
  const lines = await metricsAfter(asked, { ...asked, latency_ms: 901 }, { ...asked, outcome: "failed", error: { code: "deadline_exceeded", message: "m" } }, COMPLETION);
  expect(lines.filter((line) => line.startsWith("infer_requests_with_slo_total"))).toEqual(['infer_requests_with_slo_total{tier="large",result="within"} 1', 'infer_requests_with_slo_total{tier="large",result="missed"} 2']);
});

it("counts what the baseline would have cost for answers alone, as reports do", async () => {
  expect(await metricsAfter({ ...COMPLETION, outcome: "failed", error: { code: "backend_unavailable", message: "m" } })).toContain("infer_baseline_cost_usd_total 0");
});

it("counts answers that were made for another request, and what they saved", async () => {
  const hit: Completion = { ...COMPLETION, attempts: [], decisions: [], cache: { kind: "exact", stored_at_ms: 1, age_ms: 1, source_request_id: "r-0" } };
  const lines = await metricsAfter(hit, { ...hit, cache: { kind: "shared", stored_at_ms: 1, age_ms: 1, source_request_id: "r-0" } }, hit);
  for (const line of ['infer_cached_completions_total{kind="exact"} 2', 'infer_cached_completions_total{kind="shared"} 1', 'infer_cache_saved_usd_total{kind="exact"} 0.00053', 'infer_cache_saved_usd_total{kind="shared"} 0.000265']) expect(lines).toContain(line);
});

it("never labels a series by who asked or what", async () => {
  const text = (await metricsAfter(COMPLETION)).join("\n");
  for (const secret of [COMPLETION.tenant_id, COMPLETION.user_id ?? "", COMPLETION.request_id, COMPLETION.output ?? "", COMPLETION.task ?? ""]) expect(text).not.toContain(`"${secret}"`);
});

it("has as many series after 10,000 tenants, users, tasks and models that were never seen as after one", async () => {
  const registry = new Registry();
  const observe = makeCompletionMetrics(registry);
  const series = async () => new Set((await registry.metrics()).split("\n").filter((line) => !line.startsWith("#")).map((line) => line.slice(0, line.lastIndexOf(" "))));
  const failed: Completion = { ...COMPLETION, outcome: "failed", tier: null, policy: null, error: { code: "invalid_json", message: "m" } };
  for (const event of [COMPLETION, failed]) observe(event);
  const before = await series();
  for (let i = 0; i < 10_000; i++) {
    const word = `word-${i}`;
    const over = { tenant_id: word, user_id: word, request_id: word, trace_id: word, task: word, model: word, origin: word, metadata: { note: word }, output: word, fingerprint: word, attempts: COMPLETION.attempts.map((attempt) => ({ ...attempt, model: word })) };
    observe({ ...COMPLETION, ...over });
    observe({ ...failed, ...over, error: { code: "invalid_json", message: word } });
  }
  expect(await series()).toEqual(before);
});
