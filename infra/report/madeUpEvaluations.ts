/** For tests: evaluations that nothing was played for, ordinary and at the edges. */
import type { Evaluation, FrontierPoint, PolicyReport } from "#router/evaluation/evaluate.ts";

type Given = Partial<PolicyReport> & { readonly policy: string };

export function policyReport({ policy, ...over }: Given): PolicyReport {
  const saving = over.saving ?? 0.4;
  return {
    policy, dataset: "all", n: 1_200, quality: 0.8, quality_ratio: 0.98, cost_per_1k_usd: 0.3, checks_per_1k_usd: 0, saving, saving_ci95: [saving - 0.02, saving + 0.02], margin_ci95: [0.001, 0.02],
    latency_p50_ms: 500, latency_p95_ms: 2_000, tier_share: { small: 0.6, large: 0.4 }, escalation_share: { small: 0.4, large: 0 }, target_held: true, ...over,
  };
}

const frontier = (...points: readonly (readonly [saving: number, quality_ratio: number, latency_p95_ms?: number])[]): FrontierPoint[] =>
  points.map(([saving, quality_ratio, latency_p95_ms = null], knob) => ({ knob, quality: 0.8, quality_ratio, cost_per_1k_usd: 1 - saving, saving, latency_p95_ms }));

export function evaluation(policies: readonly PolicyReport[], over: Partial<Evaluation> = {}): Evaluation {
  return { seed: 1, rows: { train: 1_000, test: 1_200 }, tiers: ["small", "large"], baseline: "large", target: 0.97, risk: 0.05, cost: "total", notes: [], policies, ...over };
}

const exact = (saving: number): [number, number] => [saving, saving];
export const tiersAlone = (dataset = "all"): PolicyReport[] => [
  policyReport({ policy: "always-small", dataset, saving: 0.9, saving_ci95: exact(0.9), quality_ratio: 0.8, target_held: false, latency_p95_ms: 400 }),
  policyReport({ policy: "always-large", dataset, saving: 0, saving_ci95: exact(0), quality_ratio: 1, latency_p95_ms: 2_500 }),
  policyReport({ policy: "oracle", dataset, saving: 0.8, quality_ratio: 1.05, latency_p95_ms: 900 }),
];
const CURVE = frontier([0.9, 0.8, 400], [-0.1, 1.01, 3_000], [0.4, 0.98, 2_000], [0.6, 0.95, 1_500]);

export const ordinary = (over: Partial<PolicyReport> = {}, dataset = "all"): PolicyReport[] => [
  policyReport({ policy: "cascade-routing", dataset, frontier: CURVE, saving_at_ratio: { "0.95": 0.6, "0.99": null }, ...over }),
  policyReport({ policy: "cascade-routing-point-estimate", dataset, frontier: CURVE, saving: 0.5, quality_ratio: 0.972 }),
  ...tiersAlone(dataset),
  policyReport({ policy: "random-mix", dataset, frontier: frontier([0.9, 0.8], [0, 1]), saving: 0.1 }),
];

const NINE = Array.from({ length: 9 }, (_, i) => `a-rather-long-model-name-${i}`);
const HOSTILE = `<script>alert("&'")</script>\u0000]]>`;

export const EDGE_CASES: Readonly<Record<string, Evaluation>> = {
  ordinary: evaluation(ordinary()),
  "several data sets": evaluation(["all", "one", "two"].flatMap((dataset) => ordinary({}, dataset))),
  "baselines alone": evaluation(tiersAlone(), { notes: ["the log has no confidences"] }),
  "no frontier": evaluation([policyReport({ policy: "cascade" }), ...tiersAlone()]),
  "a frontier of one point": evaluation([policyReport({ policy: "cascade", frontier: frontier([0.4, 0.98]) }), ...tiersAlone()]),
  "a negative saving": evaluation(ordinary({ saving: -0.6, saving_ci95: [-0.7, -0.5] })),
  "better than the baseline": evaluation(ordinary({ quality_ratio: 1.3 })),
  "a tier far dearer than the baseline": evaluation([...ordinary(), policyReport({ policy: "always-huge", saving: -14, saving_ci95: exact(-14), quality_ratio: 1.02 })], { tiers: ["small", "large", "huge"] }),
  "no latency": evaluation(ordinary().map((one) => ({ ...one, latency_p50_ms: null, latency_p95_ms: null, frontier: frontier([0.2, 0.9], [0.1, 1]) }))),
  "latencies of 0": evaluation(ordinary().map((one) => ({ ...one, latency_p50_ms: 0, latency_p95_ms: 0 }))),
  "a baseline that costs nothing and is never right": evaluation(ordinary().map((one) => ({ ...one, saving: NaN, saving_ci95: [NaN, NaN], quality_ratio: Infinity, margin_ci95: [NaN, NaN], frontier: frontier([NaN, Infinity], [-Infinity, NaN]) }))),
  "all at one place": evaluation([policyReport({ policy: "cascade", saving: 0, saving_ci95: exact(0), quality_ratio: 1, frontier: frontier([0, 1], [0, 1]) })], { target: 1 }),
  "nine tiers": evaluation(NINE.map((tier, i) => policyReport({ policy: `always-${tier}`, saving: 0.9 - 0.01 * i, quality_ratio: 0.95 + 0.005 * i, tier_share: { [tier]: 1 } })), { tiers: NINE, baseline: NINE[8] ?? "" }),
  "no policies": evaluation([]),
  "hostile names": evaluation(["all", HOSTILE, "../../etc/passwd"].flatMap((dataset) => [...ordinary({}, dataset), policyReport({ policy: `always-${HOSTILE}`, dataset, saving: 0.3, tier_share: { [HOSTILE]: 1 } })]), { tiers: ["small", HOSTILE, "large"], baseline: HOSTILE, notes: [HOSTILE] }),
};
