import { describe, expect, it } from "vitest";

import fixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { Shadow, type ShadowTier } from "#shared/contracts/shadow.ts";

import { gatherLiveRows, liveQuality, type LiveRecord, toLiveRow, trustedScore } from "./liveRows.ts";

const SHADOW = Shadow.parse(fixture);
const [SMALL, LARGE, FAILED] = SHADOW.tiers as [ShadowTier, ShadowTier, ShadowTier];
const MEDIUM: ShadowTier = { ...LARGE, tier: "medium", model: "m-1", agreement_with_baseline: 0.25, agreement_with_kept: 0.75 };
const WANTED = { tiers: ["small", "medium", "large"], baselineTier: "large" };
const record = (over: Partial<LiveRecord> = {}): LiveRecord => ({ id: "t1/r-1", at: "2027-01-02T00:00:00.000Z", task: "mail", query: SHADOW.query, reference_tier: "large", tiers: [SMALL, MEDIUM, LARGE], feedback: {}, ...over });
const qualities = (over: Partial<LiveRecord>) => {
  const made = toLiveRow(record(over), WANTED);
  return "row" in made ? made.row.tiers.map(({ quality }) => quality) : made.lacks;
};

describe("how good a tier's answer was", () => {
  /** Agreement with the baseline and with the kept answer. */
  const KEPT = [0.25, 1], SAME = [0.25, 1], BASELINE = [1, 0.25], OTHER = [0.5, 0.75], APART = [0, 0];
  it.each<[string, (number | null)[], number | null, number | null]>([
    ["the kept answer without feedback", KEPT, null, 0.25],
    ["the baseline's without feedback", BASELINE, null, 1],
    ["another one without feedback", OTHER, null, 0.5],
    ["the kept answer that was right", KEPT, 1, 1],
    ["the same as one that was right", SAME, 1, 1],
    ["the baseline's beside one that was right", BASELINE, 1, 0.25],
    ["another one beside one that was right", OTHER, 1, 0.75],
    ["another one beside one that was fairly good", OTHER, 0.8, 0.6000000000000001],
    ["another one beside one that was half right", OTHER, 0.5, 0.375],
    ["one that has nothing in common with one that was right", APART, 1, 0],
    ["the kept answer that was wrong", KEPT, 0, 0],
    ["the same as one that was wrong", SAME, 0.2, 0.2],
    ["the baseline's beside one that was wrong", BASELINE, 0, 1],
    ["another one beside one that was wrong", OTHER, 0, 0.5],
    ["the baseline's that is the same as one that was wrong", [1, 1], 0, 0],
    ["one that could not be compared", [null, null], null, null],
    ["one that could not be compared beside one that was right", [null, null], 1, null],
  ])("%s", (_name, [withBaseline = null, withKept = null], score, expected) => {
    expect(liveQuality({ error_code: null, is_sound: true, agreement_with_baseline: withBaseline, agreement_with_kept: withKept }, score)).toBe(expected);
  });

  it.each([[null], [1], [0]])("is 0 when it is not sound, and unknown when there is none, with a score of %s", (score) => {
    expect([liveQuality({ ...SMALL, is_sound: false }, score), liveQuality(FAILED, score)]).toEqual([0, null]);
  });
});

it.each([
  [{ user: 1, judge: 0.5, label: 0 }, 0], [{ user: 1, judge: 0.5 }, 0.5], [{ user: 1 }, 1], [{ thumbs: 1 }, null], [{}, null],
])("of %o believes %s", (feedback, score) => {
  expect(trustedScore(feedback)).toBe(score);
});

describe("a sampled request", () => {
  it("becomes a row with the tiers that were asked for, in their order, and what they cost, without a cost of verifying", () => {
    const outcome = (quality: number, { cost_nano_usd, confidence, latency_ms, agreement_with_baseline: agreement }: ShadowTier) =>
      ({ quality, cost_usd: cost_nano_usd / 1e9, verify_cost_usd: 0, verify_latency_ms: 0, confidence, latency_ms, agreement, confidences: { token_logprobs: { value: confidence, cost_usd: 0, latency_ms: 0 } } });
    expect(toLiveRow(record(), WANTED)).toEqual({ row: { id: "t1/r-1", dataset: "mail", query: "", features: SHADOW.query, tiers: [outcome(0.5, SMALL), outcome(0.25, MEDIUM), outcome(1, LARGE)] } });
    expect(toLiveRow(record({ task: null }), { ...WANTED, tiers: ["small", "large"] })).toMatchObject({ row: { dataset: "live", tiers: [{ quality: 0.5 }, { quality: 1 }] } });
  });

  it("has the cost and the time of finding a confidence apart from the answer's, under the name of its source", () => {
    const checked = (over: Partial<ShadowTier>) => toLiveRow(record({ tiers: [{ ...SMALL, cost_nano_usd: nanoUsd(1_000), latency_ms: 90, confidence: 0.6, checks: { cost_nano_usd: nanoUsd(400), latency_ms: 30 }, ...over }, MEDIUM, LARGE] }), WANTED);
    expect(checked({ confidence_source: "self_verification" })).toMatchObject({ row: { tiers: [{ cost_usd: 6e-7, verify_cost_usd: 4e-7, latency_ms: 60, verify_latency_ms: 30, confidences: { self_verification: { value: 0.6, cost_usd: 4e-7, latency_ms: 30 } } }, {}, {}] } });
    expect(checked({ confidence_source: "self_verification", checks: undefined })).toMatchObject({ row: { tiers: [{ cost_usd: 1e-6, verify_cost_usd: 0, latency_ms: 90, confidences: { self_verification: { cost_usd: 0 } } }, {}, {}] } });
    expect(checked({ confidence_source: "prior" })).toMatchObject({ row: { tiers: [expect.not.objectContaining({ confidences: expect.anything() as unknown }) as unknown, {}, {}] } }); // a check that told nothing is a cost of the answer
    expect(checked({ confidence_source: "prior" })).toMatchObject({ row: { tiers: [{ cost_usd: 1e-6, verify_cost_usd: 0, latency_ms: 90 }, {}, {}] } });
  });

  it("is labelled by what is said of its kept answer", () => {
    expect([qualities({ feedback: { user: 1 } }), qualities({ feedback: { user: 1, label: 0 } }), qualities({ feedback: { thumbs: 1 } })]).toEqual([[1, 0.75, 0.5], [0, 0.25, 1], [0.5, 0.25, 1]]);
  });

  it("has an answer that is not sound as one that nobody would keep", () => {
    expect(toLiveRow(record({ tiers: [SMALL, { ...MEDIUM, is_sound: false, agreement_with_baseline: null, agreement_with_kept: null }, LARGE] }), WANTED)).toMatchObject({ row: { tiers: [{}, { quality: 0, confidence: 0 }, {}] } });
  });

  it.each<[string, Partial<LiveRecord>, string[]]>([
    ["a tier was not asked", { tiers: [SMALL, LARGE] }, ["medium"]],
    ["a tier failed", { tiers: [SMALL, LARGE, FAILED] }, ["medium"]],
    ["nothing was recorded of tiers", { tiers: [] }, ["small", "medium", "large"]],
    ["the input was gone", { query: null }, ["the input"]],
    ["the baseline's answer is not sound", { tiers: [SMALL, MEDIUM, { ...LARGE, is_sound: false }].map((tier) => ({ ...tier, agreement_with_baseline: null })) }, ["small", "medium", "large"]],
    ["it was compared with another tier", { reference_tier: "medium" }, ["a comparison with large"]],
  ])("is no row when %s", (_name, over, lacks) => {
    expect(toLiveRow(record(over), WANTED)).toEqual({ lacks });
  });
});

it("gathers rows, and counts what became of the others", async () => {
  const records = async function* (): AsyncGenerator<LiveRecord> {
    yield record({ id: "t1/r-3", at: "2027-01-03T00:00:00.000Z", feedback: { user: 1 } });
    yield record({ id: "t1/r-2", tiers: [SMALL, LARGE] });
    yield record({ id: "t1/r-1", at: "2027-01-01T00:00:00.000Z", feedback: { thumbs: 1 }, tiers: [{ ...SMALL, model: "s-2" }, MEDIUM, LARGE] });
    yield record({ id: "t1/r-0", tiers: [SMALL, LARGE], query: null });
  };
  const found = await gatherLiveRows(records(), WANTED);
  expect(found).toMatchObject({ rows: [{ id: "t1/r-3" }, { id: "t1/r-1" }], read: 4, withFeedback: 1, span: { from: "2027-01-01T00:00:00.000Z", to: "2027-01-03T00:00:00.000Z" } });
  expect([[...found.lacking], [...found.mixedModels]]).toEqual([[["medium", 2], ["the input", 1]], [["small", ["s-1", "s-2"]]]]);
});
