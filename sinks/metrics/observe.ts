import { Counter, Histogram, type Registry } from "prom-client";

import type { Completion } from "#shared/contracts/events.ts";
import { toUsd } from "#shared/contracts/money.ts";

const LATENCY_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** What the audit stream says about the business: outcomes, latency, money. Labels come from closed sets. */
export function makeCompletionMetrics(registry: Registry): (event: Completion) => void {
  const registers = [registry];
  const completions = new Counter({ name: "infer_completions_total", help: "Terminal events by outcome and tier of the answer.", labelNames: ["outcome", "tier", "policy"], registers });
  const errors = new Counter({ name: "infer_completion_errors_total", help: "Terminal events without an answer, by error code.", labelNames: ["code"], registers });
  const escalations = new Counter({ name: "infer_escalations_total", help: "Attempts after the first, by tier left and tier tried.", labelNames: ["from", "to"], registers });
  const latency = new Histogram({ name: "infer_request_duration_seconds", help: "From acceptance to the terminal event.", labelNames: ["outcome"], buckets: LATENCY_BUCKETS_S, registers });
  const overhead = new Histogram({ name: "infer_request_overhead_seconds", help: "Of that, what was no attempt's: routing, carrying messages and waiting for a slot. Answers that were made for another request are none of these.", buckets: LATENCY_BUCKETS_S, registers });
  const withSlo = new Counter({ name: "infer_requests_with_slo_total", help: "Terminal events of requests that named a latency SLO, by tier and by whether they were answered within it (within) or not, or not at all (missed).", labelNames: ["tier", "result"], registers });
  const cost = new Counter({ name: "infer_cost_usd_total", help: "Cost of all attempts, by tier.", labelNames: ["tier"], registers });
  const baseline = new Counter({ name: "infer_baseline_cost_usd_total", help: "What the answered ones of the same requests would have cost on the baseline tier.", registers });
  const partial = new Counter({ name: "infer_cost_partial_total", help: "Attempts that were cut off and may have cost more than is known.", labelNames: ["tier"], registers });
  const cached = new Counter({ name: "infer_cached_completions_total", help: "Terminal events whose answer was made for another request: an earlier one (exact; semantic: in other words), or one that ran at the same time (shared).", labelNames: ["kind"], registers });
  const saved = new Counter({ name: "infer_cache_saved_usd_total", help: "What the baseline tier would have cost for them.", labelNames: ["kind"], registers });
  return ({ outcome, tier, policy, error, attempts, latency_ms, latency_slo_ms, baseline_cost_nano_usd, cache }) => {
    const isAnswered = outcome === "completed" || outcome === "degraded";
    // As reports have it: what has no answer saved nothing.
    const baselineUsd = isAnswered && baseline_cost_nano_usd !== null ? toUsd(baseline_cost_nano_usd) : 0;
    if (cache !== undefined) {
      cached.inc({ kind: cache.kind });
      saved.inc({ kind: cache.kind }, baselineUsd);
    }
    completions.inc({ outcome, tier: tier ?? "none", policy: policy ?? "none" });
    if (error !== null) errors.inc({ code: error.code });
    if (latency_slo_ms !== undefined) withSlo.inc({ tier: tier ?? "none", result: isAnswered && latency_ms <= latency_slo_ms ? "within" : "missed" });
    latency.observe({ outcome }, latency_ms / 1_000);
    const attemptsMs = attempts.reduce((sum, attempt) => sum + attempt.latency_ms, 0);
    if (attempts.length > 0) overhead.observe(Math.max(0, latency_ms - attemptsMs) / 1_000);
    attempts.forEach((attempt, i) => {
      cost.inc({ tier: attempt.tier }, toUsd(attempt.cost_nano_usd));
      if (attempt.cost_is_partial) partial.inc({ tier: attempt.tier });
      const before = attempts[i - 1];
      if (before !== undefined) escalations.inc({ from: before.tier, to: attempt.tier });
    });
    baseline.inc(baselineUsd);
  };
}
