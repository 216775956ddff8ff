import { describe, expect, it } from "vitest";

import { queryFeatures } from "#router/policy/queryFeatures.ts";

import type { ConfidenceSource } from "./confidenceNames.ts";
import { confidenceAfter, priorsFrom, requireSource, type TextJudge, withSource } from "./confidenceSources.ts";
import type { OutcomeRow, TierOutcome } from "./outcomeLog.ts";

const tier = (over: Partial<TierOutcome> = {}): TierOutcome => ({ quality: 1, cost_usd: 1, verify_cost_usd: 0, confidence: null, latency_ms: null, ...over });
const row = (...tiers: Partial<TierOutcome>[]): OutcomeRow => ({ id: "r", dataset: "d", query: "q", features: queryFeatures("q"), tiers: tiers.map(tier) });
const PRIORS = [0.6, 0.7, 0.8];
const JUDGE: TextJudge = { agreement: (output, earlier) => (output.at(-1) === earlier.at(-1) ? 1 : 0), isSound: (_query, output) => output !== "" };
const tiersWith = (source: ConfidenceSource, one: OutcomeRow, judge: TextJudge | null = null) => withSource([one], source, { priors: PRIORS, judge })[0]?.tiers ?? [];
const LACKING = { verify_cost_usd: 0, verify_latency_ms: 0, lacks_confidence: true };

describe("a source", () => {
  it("named recorded is the row's single confidence, whose calls took a time that nobody may know", () => {
    const tiers = tiersWith("recorded", row({ confidence: 0.4 }, { confidence: 0.5, verify_cost_usd: 2 }, { confidence: 0.6, verify_cost_usd: 2, verify_latency_ms: 30 }));
    expect(tiers.map(({ confidence, verify_cost_usd, verify_latency_ms }) => [confidence, verify_cost_usd, verify_latency_ms])).toEqual([[0.4, 0, 0], [0.5, 2, null], [0.6, 2, 30]]);
  });

  it("of the row's confidences brings its own cost and latency in the place of the recorded ones", () => {
    const one = row({ confidence: 0.4, verify_cost_usd: 9, confidences: { self_verification: { value: 0.9, cost_usd: 2, latency_ms: 30 } } });
    expect(tiersWith("self_verification", one)[0]).toMatchObject({ confidence: 0.9, verify_cost_usd: 2, verify_latency_ms: 30 });
  });

  it.each(["recorded", "token_logprobs", "tier_agreement", "soundness"] as const)("%s that a row lacks is the prior, for nothing, and is marked", (source) => {
    expect(tiersWith(source, row({}, { verify_cost_usd: 2 }), JUDGE)).toMatchObject([{ confidence: 0.6, ...LACKING }, { confidence: 0.7, ...LACKING }]);
  });

  it("named soundness is what the judge says of the text", () => {
    expect(tiersWith("soundness", row({ text: "" }, { text: "A" }, {}), JUDGE).map(({ confidence }) => confidence)).toEqual([0, 1, 0.8]);
  });
});

describe("agreement of tiers", () => {
  const agreed = tiersWith("tier_agreement", row({ answer: "A" }, { answer: "a.", verify_cost_usd: 2 }, { answer: "B" }));

  it("is that with the tier before, for nothing; the first has none to agree with", () => {
    expect(agreed.map(({ confidence, verify_cost_usd, lacks_confidence = false }) => [confidence, verify_cost_usd, lacks_confidence])).toEqual([[0.6, 0, true], [1, 0, false], [0, 0, false]]);
  });

  it("is there only where a cheaper tier was run, and with whichever was", () => {
    const [, second = tier(), third = tier()] = tiersWith("tier_agreement", row({ answer: "A" }, { answer: "B" }, { answer: "A" }));
    expect([confidenceAfter(second, undefined), confidenceAfter(second, 0), confidenceAfter(third, 0), confidenceAfter(third, 1)]).toEqual([0.7, 0, 1, 0]);
  });

  it("is the judge's where there are texts, and as it was recorded where there are no answers", () => {
    expect(tiersWith("tier_agreement", row({ text: "is A", answer: "A" }, { text: "was A", answer: "B" }), JUDGE)[1]?.confidence).toBe(1);
    expect(tiersWith("tier_agreement", row({}, { confidences: { tier_agreement: { value: 0.3, cost_usd: 0, latency_ms: 0 } } }))[1]?.confidence).toBe(0.3);
  });
});

describe("a source that no row has is refused", () => {
  const one = row({ confidence: 0.4, answer: "A", confidences: { token_logprobs: { value: 0.9, cost_usd: 0, latency_ms: 0 } } }, { answer: "A" });
  it.each<[ConfidenceSource, RegExp]>([
    ["sample_agreement", /no row has a confidence sample_agreement of a tier below the last; there is recorded, token_logprobs$/],
    ["tier_agreement", /three tiers: the first has no other to agree with/],
    ["soundness", /It needs texts: --outputs/],
  ])("%s", (source, message) => { expect(() => { requireSource([one], source, null); }).toThrow(message); });

  it("and one that some row has is not", () => { expect(() => { requireSource([row({}, {}), one], "token_logprobs", null); }).not.toThrow(); });
});

it("has as prior how good a tier is on the mean, and a half without rows", () => {
  expect([priorsFrom([row({ quality: 1 }, { quality: 0 }), row({ quality: 0.5 }, { quality: 0 })], 2), priorsFrom([], 2)]).toEqual([[0.75, 0], [0.5, 0.5]]);
});
