import { describe, expect, it } from "vitest";

import { queryFeatures } from "#router/policy/queryFeatures.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { compareSources, type ComparedSource } from "./compareSources.ts";
import type { OutcomeRow } from "./outcomeLog.ts";

const COST_OF_CHECK = 0.0005;
/** The small tier is right in three of four. Its paid check knows nearly always when, its tokens say something, samples nothing. */
function rows(n: number, seed: number): OutcomeRow[] {
  const random = seededRandom(seed);
  return Array.from({ length: n }, (_, i) => {
    const isRight = random() < 0.75;
    const around = (right: number, wrong: number, spread: number) => Math.min(1, Math.max(0, (isRight ? right : wrong) + spread * (random() - 0.5)));
    const small = {
      self_verification: { value: around(0.9, 0.2, 0.3), cost_usd: COST_OF_CHECK, latency_ms: 40 },
      sample_agreement: { value: random(), cost_usd: 2 * COST_OF_CHECK, latency_ms: null },
      ...(i % 10 === 0 ? {} : { token_logprobs: { value: around(0.7, 0.5, 0.6), cost_usd: 0, latency_ms: 0 } }),
    };
    return {
      id: String(i), dataset: "d", query: "q", features: queryFeatures("q"),
      tiers: [
        { quality: isRight ? 1 : 0, cost_usd: 0.001, verify_cost_usd: 0, confidence: null, latency_ms: 100, confidences: small },
        { quality: 1, cost_usd: 0.01, verify_cost_usd: 0, confidence: null, latency_ms: 300 },
      ],
    };
  });
}
const SOURCES = ["sample_agreement", "token_logprobs", "self_verification"] as const;
const options = { train: rows(600, 1), tiers: ["small", "large"], policies: ["cascade"], baselineTier: null, target: 0.97, risk: 0.05, latencySloMs: null, paysVerification: true, seed: 1, onProgress: () => undefined };
const { sources } = compareSources({ ...options, test: { folds: 3 } }, SOURCES);
const named = (source: string) => sources.find((one) => one.source === source) as ComparedSource;
const cascade = (source: string) => named(source).policies.find(({ policy }) => policy === "cascade") as ComparedSource["policies"][number];

describe("sources of planted quality", () => {
  const [random, tokens, check] = SOURCES.map((source) => named(source).on_tiers[0]);

  it("come out in their order, by themselves and by what they save", () => {
    expect(random?.auc).toBeCloseTo(0.5, 1);
    expect(tokens?.auc).toBeGreaterThan((random?.auc ?? 1) + 0.1);
    expect(check?.auc).toBeGreaterThan(0.98);
    expect(check?.brier).toBeLessThan((tokens?.brier ?? 0) - 0.05);
    const at = (source: string) => cascade(source).saving_at_ratio?.["0.97"] ?? -Infinity;
    expect(at("self_verification")).toBeGreaterThan(at("token_logprobs") + 0.1);
    expect(at("token_logprobs")).toBeGreaterThan(at("sample_agreement"));
  });

  it("are true once they are calibrated, on rows that did not calibrate them", () => {
    for (const one of [random, tokens, check]) expect(one?.ece).toBeLessThan(0.1); // Platt scaling does not have quite their shape
  });

  it("pay for their calls where they are read: once per request in a cascade of two", () => {
    expect(cascade("self_verification").checks_per_1k_usd).toBeCloseTo(1_000 * COST_OF_CHECK, 12);
    expect(cascade("token_logprobs").checks_per_1k_usd).toBe(0);
    const { cost_per_1k_usd, escalation_share } = cascade("self_verification");
    expect(cost_per_1k_usd).toBeCloseTo(1 + 1_000 * COST_OF_CHECK + 10 * (escalation_share["small"] ?? 0), 9);
  });

  it("wait for their calls, and do not know how late they are where nobody measured that", () => {
    expect(cascade("self_verification").latency_p50_ms).toBe(140);
    expect(cascade("sample_agreement").latency_p95_ms).toBeNull();
    expect([named("sample_agreement").notes, named("self_verification").notes]).toEqual([expect.arrayContaining([expect.stringContaining("is not in the log")]), []]);
  });

  it("say how many rows have them, and have intervals", () => {
    expect([tokens?.share, tokens?.n, check?.share]).toEqual([0.9, 540, 1]);
    const [low, high] = cascade("self_verification").saving_at_ratio_ci95?.["0.97"] ?? [NaN, NaN];
    const saving = cascade("self_verification").saving_at_ratio?.["0.97"] ?? NaN;
    expect([low < saving, saving < high, high - low < 0.2]).toEqual([true, true, true]);
  });
});

it("compares on rows that taught nothing, too, and refuses a source that is not there before anything is fitted", () => {
  const compared = compareSources({ ...options, train: rows(120, 1), test: rows(80, 2) }, ["self_verification"]);
  expect(compared.sources[0]?.on_tiers).toMatchObject([{ tier: "small", dataset: "all", n: 80 }]);
  expect(() => compareSources({ ...options, test: { folds: 3 } }, ["self_verification", "tier_agreement"])).toThrow("there is token_logprobs, self_verification, sample_agreement.");
});
