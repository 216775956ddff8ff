import { describe, expect, it } from "vitest";

import type { TrainingRow } from "#router/learning/fitGainPredictor.ts";
import { predictorFeatures } from "#router/policy/predictorFeatures.ts";
import { queryFeatures } from "#router/policy/queryFeatures.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { evaluate, type EvaluateOptions, type PolicyReport } from "./evaluate.ts";
import type { OutcomeRow } from "./outcomeLog.ts";
import { playRow, type TierPrior } from "./playRow.ts";
import { resample } from "./resample.ts";

const SKILLS = [0.55, 0.75, 0.9];
const COSTS = [0.001, 0.005, 0.025];
const NAMES = ["small", "medium", "large"];
/** A model is right when its skill exceeds the question's difficulty, and mostly knows when it is not. */
function population(n: number, seed: number): OutcomeRow[] {
  const random = seededRandom(seed);
  return Array.from({ length: n }, (_, i) => {
    const difficulty = random();
    const query = "x".repeat(10 + Math.round(20 * random()));
    return {
      id: String(i), dataset: i % 2 === 0 ? "even" : "odd", query, features: queryFeatures(query),
      tiers: SKILLS.map((skill, t) => {
        const margin = skill - difficulty + 0.3 * (random() - 0.5);
        return { quality: margin > 0 ? 1 : 0, cost_usd: COSTS[t] ?? 0, verify_cost_usd: 0.0001, confidence: 1 / (1 + Math.exp(-6 * margin - (random() - 0.5))), latency_ms: 100 * (t + 1) };
      }),
    };
  });
}
const options = (over: Partial<EvaluateOptions> = {}): EvaluateOptions => ({
  train: population(600, 1), test: population(600, 2), tiers: NAMES, baselineTier: null, target: 0.97, risk: 0.05, latencySloMs: null, paysVerification: true, seed: 1, onProgress: () => undefined, ...over,
});
const found = evaluate(options());
const named = (name: string, dataset = "all", { policies } = found) => policies.find((one) => one.policy === name && one.dataset === dataset) as PolicyReport;

describe("an evaluation", () => {
  it("is the same for the same seed", () => {
    const short = () => evaluate(options({ train: population(100, 1), test: population(50, 2) }));
    expect(short()).toEqual(short());
  });

  it("shows every baseline beside the policies, pooled and for each data set", () => {
    const shown = ["cascade-routing", "cascade-routing-point-estimate", "cascade", "cascade-point-estimate", "predictive", "predictive-point-estimate", "always-small", "always-medium", "always-large", "random-mix", "query-length", "raw-confidence", "oracle"];
    for (const dataset of ["all", "even", "odd"]) expect(found.policies.filter((one) => one.dataset === dataset).map(({ policy }) => policy)).toEqual(shown);
  });

  it("measures a tier alone as its own answers and prices", () => {
    const test = population(600, 2);
    const large = named("always-large");
    expect([large.n, large.quality_ratio, large.saving, large.saving_ci95, large.latency_p95_ms]).toEqual([600, 1, 0, [0, 0], 300]);
    expect(large.quality).toBeCloseTo(test.filter(({ tiers }) => tiers[2]?.quality === 1).length / 600, 12);
    expect(named("always-small").cost_per_1k_usd).toBeCloseTo(1, 9);
    expect(named("always-small").saving).toBeCloseTo(0.96, 9);
  });

  it("has an oracle that nothing beats, and a cascade that beats chance", () => {
    for (const policy of found.policies.filter(({ dataset }) => dataset === "all")) expect(policy.quality).toBeLessThanOrEqual(named("oracle").quality);
    expect(named("cascade").saving_at_ratio?.["0.97"]).toBeGreaterThan((named("random-mix").saving_at_ratio?.["0.97"] ?? 0) + 0.2);
    expect(named("cascade").error_cost_auc).toBeLessThan(named("random-mix").error_cost_auc as number);
  });

  it("holds the floor where the policy says so, and pays for it", () => {
    expect(named("cascade").target_held).toBe(true);
    expect(named("cascade").saving).toBeLessThanOrEqual(named("cascade-point-estimate").saving);
  });

  it("uses thresholds that need no labels while labels are too few to show that the floor holds", () => {
    const few = evaluate(options({ train: population(30, 1), target: 1, risk: 0.001, policies: ["cascade-routing"] }));
    const { tier_share, saving } = named("cascade-routing", "all", few);
    expect([tier_share["large"], saving]).toEqual([expect.closeTo(0.74, 2), expect.closeTo(0.03, 2)]); // kept from confidence 0.95 on
  });

  it("asks the baseline alone when the labels speak against every cheaper way", () => {
    const overconfident = (seed: number) => population(60, seed).map((row) => ({ ...row, tiers: row.tiers.map((tier, t) => (t < 2 ? { ...tier, quality: 0, confidence: 1 } : { ...tier, quality: 1 })) }));
    const strict = evaluate(options({ train: overconfident(1), test: overconfident(2) }));
    for (const policy of ["cascade", "cascade-routing", "predictive"]) expect(named(policy, "all", strict)).toMatchObject({ saving: 0, quality_ratio: 1 });
  });

  it("runs what it decides before the first call without reading any confidence", () => {
    expect(named("predictive").escalation_share).toEqual({ small: 0, medium: 0, large: 0 });
    expect(named("predictive", "all").saving_at_ratio?.["0.97"]).toBeLessThan(named("cascade-routing").saving_at_ratio?.["0.97"] as number);
  });

  it("meets a latency SLO that the baseline meets, where cascades of all tiers break it", () => {
    const slo = evaluate(options({ train: population(300, 1), test: population(300, 2), latencySloMs: 350, policies: ["cascade-routing"] })); // large alone: 300 ms, after small 400
    expect(named("cascade-routing", "all", slo).latency_p95_ms).toBeLessThanOrEqual(350);
    expect(named("cascade-routing", "all", slo).target_held).toBe(true);
  });

  it("asks the baseline alone, and says why, where the floor is held by nothing that is in time", () => {
    // On every fifth row the baseline is in time only when it is asked at once, and a cascade asks it second.
    const slow = (n: number, seed: number) => population(n, seed).map((row, i) => ({ ...row, id: `${seed} ${i}`, tiers: row.tiers.flatMap((tier, t) => (t === 1 ? [] : [{ ...tier, latency_ms: t === 2 && i % 5 === 0 ? 300 : 100 }])) }));
    const late = evaluate(options({ tiers: ["small", "large"], train: slow(600, 1), test: slow(300, 2), latencySloMs: 350, policies: ["cascade"] }));
    expect(named("cascade", "all", late)).toMatchObject({ saving: 0, latency_p95_ms: 300, floor_shown: false });
    expect(late.notes).toEqual([expect.stringContaining("not shown to hold for cascade: the baseline alone is played"), expect.stringContaining("cascade: wherever the floor was shown to hold on held-out rows, more requests are late")]);
  });

  describe("where a first try makes every third request late that then needs the large tier, and one in twenty may be", () => {
    const tight = (n: number, seed: number) => population(n, seed).map((row) => ({ ...row, tiers: row.tiers.map((tier, t) => ({ ...tier, latency_ms: [60, 100, row.query.length % 3 === 0 ? 300 : 280][t] ?? 0 })) }));
    const played = (latencySloMs: number | null) => evaluate(options({ train: tight(600, 1), test: tight(600, 2), latencySloMs, policies: ["cascade-routing"] }));
    const [free, slo] = [played(null), played(350)];

    it("is late without an SLO", () => {
      expect(named("cascade-routing", "all", free).latency_p95_ms).toBeGreaterThan(350);
    });

    it("stands at a more careful place of the floor rather than at one that is late", () => {
      expect(named("cascade-routing", "all", slo).latency_p95_ms).toBeLessThanOrEqual(350);
      expect(named("cascade-routing", "all", slo)).toMatchObject({ floor_shown: true, target_held: true });
      expect(named("cascade-routing", "all", slo).saving).toBeGreaterThan(0.05);
    });
  });

  it("plays only the data sets that are asked for, taught by all", () => {
    const odd = evaluate(options({ datasets: ["odd"] }));
    expect(odd.policies.map(({ dataset, n }) => [dataset, n])).toEqual(Array(13).fill(["all", 300]));
    const { margin_ci95: _margin, saving_ci95: _saving, ...alike } = named("cascade-routing", "odd");
    expect(named("cascade-routing", "all", odd)).toMatchObject({ ...alike, dataset: "all" });
    expect(() => evaluate(options({ datasets: ["odd", "prime"] }))).toThrow("no row to play is of the data set prime; there are even, odd");
  });

  it("knows the measures of two tiers", () => {
    const two = evaluate(options({ tiers: ["small", "large"], train: pairs(1), test: pairs(2) }));
    expect(named("random-mix", "all", two)).toMatchObject({ apgr: 0.5, cpt50: 50, cpt80: 80 });
    expect(named("cascade", "all", two).apgr).toBeGreaterThan(0.7);
    expect(named("oracle", "all", two).apgr).toBeGreaterThan(named("cascade", "all", two).apgr as number);
    expect(named("cascade", "all", two).error_cost_auc).toBeUndefined();
  });

  it("cross-validates on every row (that none had a part in its candidates: heldOut.test.ts)", () => {
    const { policies, rows } = evaluate(options({ train: population(80, 1), test: { folds: 4 } }));
    expect(rows).toEqual({ train: 80, test: 80 });
    expect(policies.filter(({ dataset }) => dataset === "all").map(({ n }) => n)).toEqual(Array(13).fill(80));
  });

  it.each([["training", true, false], ["test", false, true]])("decides before the first call alone when the %s rows have no confidences, and says why", (_which, isTrainBlind, isTestBlind) => {
    const rows = (seed: number, isBlind: boolean) => population(60, seed).map((row) => ({ ...row, tiers: row.tiers.map((tier) => (isBlind ? { ...tier, confidence: null } : tier)) }));
    const { policies, notes } = evaluate(options({ train: rows(1, isTrainBlind), test: rows(2, isTestBlind) }));
    expect(notes).toEqual(expect.arrayContaining([expect.stringContaining("no confidences"), expect.stringContaining("not shown to hold for predictive: the baseline alone is played instead")]));
    expect(policies.map(({ policy }) => policy)).toEqual(expect.arrayContaining(["predictive", "query-length"]));
    for (const name of ["cascade", "cascade-routing", "raw-confidence"]) expect(policies.map(({ policy }) => policy)).not.toContain(name);
  });

  it("fits just the policies that are asked for", () => {
    const { policies, notes } = evaluate(options({ train: population(100, 1), test: population(20, 2), policies: ["cascade-routing"] }));
    expect(policies.map(({ policy }) => policy)).not.toContain("cascade");
    expect([policies[0]?.policy, policies[0]?.floor_shown, notes]).toEqual(["cascade-routing", false, [expect.stringMatching(/not shown to hold for cascade-routing: the cascade by thresholds that need no labels/)]]);
  });

  it.each([[{ baselineTier: "huge" }, /--baseline huge/], [{ policies: ["best"] }, /no policy best/]])("refuses %j", (over, message) => { expect(() => evaluate(options(over))).toThrow(message); });
});
const pairs = (seed: number) => population(400, seed).map((row) => ({ ...row, tiers: [row.tiers[0], row.tiers[2]] as OutcomeRow["tiers"] }));

describe("a played row", () => {
  const rows = population(300, 3);
  const prior = (name: string, t: number, accept_confidence: number): TierPrior => ({ name, quality: SKILLS[t] ?? 0, cost_usd: COSTS[t] ?? 0, latency: { p50: 100 * (t + 1), p95: 110 * (t + 1) }, accept_confidence });
  const play = (row: OutcomeRow, thresholds: readonly number[], over: { latencySloMs?: number; paysVerification?: boolean } = {}) =>
    playRow(row, { policy: "cascade", tiers: NAMES.map((name, t) => prior(name, t, thresholds[t] ?? 0)), latencySloMs: null, paysVerification: true, ...over });

  it("pays every tier that was tried, and each confidence that a rule read", () => {
    const [row] = rows as [OutcomeRow];
    expect(play(row, [1.01, 1.01, 0])).toMatchObject({ tried: [0, 1, 2], latency_ms: 600, quality: row.tiers[2]?.quality });
    expect(play(row, [1.01, 1.01, 0]).cost_usd).toBeCloseTo(0.0312, 12); // two of three were read
    expect(play(row, [1.01, 1.01, 0], { paysVerification: false }).cost_usd).toBeCloseTo(0.031, 12);
    expect(play(row, [0, 0, 0]).cost_usd).toBeCloseTo(0.001, 12); // kept unread
  });

  it("waits for each check that a rule read, and does not know how long when nobody measured it", () => {
    const [row] = rows as [OutcomeRow];
    const checked = (verify_latency_ms: number | null) => ({ ...row, tiers: row.tiers.map((outcome) => ({ ...outcome, verify_latency_ms })) });
    expect(play(checked(7), [1.01, 1.01, 0])).toMatchObject({ latency_ms: 614, checks_usd: expect.closeTo(0.0002, 12) as number });
    expect([play(checked(null), [1.01, 1.01, 0]).latency_ms, play(checked(null), [0, 0, 0]).latency_ms]).toEqual([null, 100]);
  });

  it("goes straight to a tier that is in time, when trying another first would be too late", () => {
    const [row] = rows as [OutcomeRow];
    expect(play(row, [1.01, 1.01, 0], { latencySloMs: 250 }).tried).toEqual([0]);
    expect(play(row, [1.01, 1.01, 0], { latencySloMs: 500 }).tried).toEqual([0, 1]);
  });
});

describe("agreement with a tier before", () => {
  /** The second is right when it says what the first says, which is never right and nearly as dear as the third. */
  const agreeing = (n: number): OutcomeRow[] => population(n, 9).map((row, i) => {
    const isRight = i % 2 === 0;
    const tier = (quality: number, cost_usd: number, answer: string) => ({ quality, cost_usd, verify_cost_usd: 0, confidence: null, latency_ms: null, answer });
    return { ...row, tiers: [tier(0, 0.008, `word${i}`), tier(isRight ? 1 : 0, 0.001, isRight ? `word${i}` : "other"), tier(1, 0.01, `word${i}`)] };
  });

  it("is not known of a tier that is run without that one: nothing is saved by it for nothing", () => {
    const { policies } = evaluate(options({ train: agreeing(240), test: { folds: 3 }, isOrdered: true, confidence: "tier_agreement", policies: ["cascade-routing"] }));
    expect(named("cascade-routing", "all", { ...found, policies }).saving_at_ratio?.["0.97"]).toBeLessThan(0.1);
  });
});

describe("resampling", () => {
  const { train, ...rest } = options({ train: population(200, 7), policies: ["cascade"] });
  const resampled = resample({ train, ...rest }, 5);
  it("has each policy beside the estimate without a bound, which fails no less often", () => {
    expect(resampled).toMatchObject({ resamples: 5, rows: { train: 100, test: 100 }, baseline: "large", policies: [{ policy: "cascade" }, { policy: "cascade-point-estimate" }] });
    const [bounded, estimated] = resampled.policies;
    expect(bounded?.violations).toBeLessThanOrEqual(estimated?.violations ?? NaN);
    expect(bounded?.quality_ratio).toBeGreaterThan(0.9);
  });

  it("counts on how many unseen halves the floor failed", () => {
    // One row of 40 tells that the cheap tier may be wrong. Where it is played, the estimate was fitted on 20 rows without it, trusts that tier, and has 19 of 20 right.
    const rows = population(40, 7).map((row, i): OutcomeRow => ({
      ...row, tiers: [0, 1].map((t) => ({ quality: i === 0 && t === 0 ? 0 : 1, cost_usd: t === 0 ? 0.001 : 0.01, verify_cost_usd: 0, confidence: 0.5, latency_ms: null })),
    }));
    const n = 12;
    const { policies: [bounded, estimated] } = resample({ ...rest, train: rows, tiers: ["small", "large"] }, n);
    const failed = estimated?.violations ?? NaN;
    expect(failed).toBeGreaterThan(0);
    expect(failed).toBeLessThan(n);
    expect(estimated).toMatchObject({ resamples: n, violation_share: expect.closeTo(failed / n, 12) as number, quality_ratio: expect.closeTo(1 - failed / n / 20, 12) as number, saving: expect.closeTo((0.9 * failed - 0.1 * (n - failed)) / n, 12) as number });
    // With so few rows nothing is shown, and the dear tier answers each time, after the cheap one.
    expect(bounded).toMatchObject({ violations: 0, violation_share: 0, violation_ci95: [0, expect.closeTo(1.96 ** 2 / (n + 1.96 ** 2), 12) as number], quality_ratio: 1, saving: expect.closeTo(-0.1, 12) as number });
  });
  it("is the same for the same seed, and another for another", () => {
    expect(resample({ train, ...rest }, 5)).toEqual(resampled);
    expect(resample({ train, ...rest, seed: 2 }, 5)).not.toEqual(resampled);
  });
});

describe("tiers that no training row has", () => {
  /** Longer is harder, for every model. */
  const others = (n: number): TrainingRow[] => {
    const random = seededRandom(9);
    return Array.from({ length: n }, () => {
      const words = 1 + Math.round(40 * random());
      const outcome = (skill: number, cost_usd: number) => ({ quality: random() < 1 / (1 + Math.exp(words / 10 - skill)) ? 1 : 0, cost_usd });
      return { source: "log", features: predictorFeatures("word ".repeat(words)), outcomes: { a: outcome(1.5, 0.001), b: outcome(3, 0.01) } };
    });
  };
  const test = pairs(4).map((row, i) => ({ ...row, query: "word ".repeat(1 + (i % 40)) }));
  it("are predicted by what other models' rows taught, with the baselines beside, and no floor is claimed", () => {
    const { policies, notes } = evaluate(options({ train: [], others: others(400), test, tiers: ["small", "large"] }));
    const predictive = policies.find(({ policy, dataset }) => policy === "predictive" && dataset === "all");
    expect(predictive).toMatchObject({ saving: 0, quality_ratio: 1, apgr: expect.any(Number) as number, frontier: expect.any(Array) as unknown[] });
    expect(policies.map(({ policy }) => policy)).toEqual(expect.arrayContaining(["query-length", "random-mix", "always-small", "oracle"]));
    expect(notes).toEqual([expect.stringContaining("no floor can be shown")]);
  });
  it("need rows to learn from and rows to play", () => {
    expect(() => evaluate(options({ train: [], test }))).toThrow(/no training row has all of the tiers/);
    expect(() => evaluate(options({ train: [], others: others(50), test: { folds: 3 } }))).toThrow(/only for --test/);
  });
});

describe("the notes of an evaluation", () => {
  it("say that an SLO is not weighed where a latency is missing", () => {
    const [first, ...rest] = population(60, 1);
    const train = first === undefined ? rest : [{ ...first, tiers: first.tiers.map((tier) => ({ ...tier, latency_ms: null })) }, ...rest];
    expect(evaluate(options({ train, test: population(20, 2), latencySloMs: 150, policies: ["predictive"] })).notes).toContain("not every row has latencies, so the SLO is not weighed");
  });

  it("say how many rows are played by what they taught", () => {
    const rows = population(60, 1);
    expect(evaluate(options({ train: rows, test: rows, policies: ["predictive"] })).notes).toContainEqual(expect.stringMatching(/^60 rows are there more than once/));
  });
});
