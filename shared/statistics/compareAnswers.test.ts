import { expect, it } from "vitest";

import jobFixture from "#shared/contracts/fixtures/shadow_job.v1.json" with { type: "json" };
import { Sample, type ShadowAnswer } from "#shared/contracts/shadow.ts";

import { compareAnswer, compareAnswers } from "./compareAnswers.ts";

const FIXTURE = Sample.parse(jobFixture);
const OWN = FIXTURE.answers[0] as ShadowAnswer;
const FAILED = { kind: "failed" as const, code: "backend_unavailable" as const, message: "busy" };
const UNSOUND = { kind: "answered" as const, is_sound: false, confidence: 0.9, confidence_source: "prior" };
const answer = (tier: string, output: string | null, outcome = OWN.attempt.outcome): ShadowAnswer => ({ attempt: { ...OWN.attempt, tier, outcome }, is_own: false, output });
const compared = (...more: ShadowAnswer[]) => compareAnswers({ ...FIXTURE, answers: [{ ...OWN, output: "it is spam" }, ...more] }, 9);

it("says of each tier how far it agrees with the baseline and with the kept answer, and holds no text", () => {
  const shadow = compared(answer("large", "spam"), answer("medium", "Spam."));
  expect(shadow).toMatchObject({ agreement: 0.5, at_ms: 9, task: "mail", query: FIXTURE.query, reference: { tier: "large", attempt: { tier: "large" } } });
  expect(shadow.tiers.map(({ tier, is_kept, is_shadow, agreement_with_baseline, agreement_with_kept }) => [tier, is_kept, is_shadow, agreement_with_baseline, agreement_with_kept])).toEqual([
    ["small", true, false, 0.5, 1], ["large", false, true, 1, 0.5], ["medium", false, true, 1, 0.5],
  ]);
  expect(JSON.stringify(shadow)).not.toContain("it is");
});

it("says the same of one tier alone as of all", () => {
  const later = answer("medium", "Spam.");
  const sample: Sample = { ...FIXTURE, answers: [{ ...OWN, output: "it is spam" }, answer("large", "spam"), later] };
  const event = compareAnswer(sample, later, 9);
  expect(event).toEqual({ type: "shadow_tier.v1", tenant_id: "t1", request_id: "r-1", ...compareAnswers(sample, 9).tiers[2], at_ms: 9 });
  expect(event).toMatchObject({ tier: "medium", is_kept: false, is_shadow: true, agreement_with_baseline: 1, agreement_with_kept: 0.5 });
});

it.each<[string, ShadowAnswer, object, number | null]>([
  ["a tier that failed", answer("medium", null, FAILED), { error_code: "backend_unavailable", is_sound: false, confidence: null, agreement_with_baseline: null, agreement_with_kept: null }, 0.5],
  ["an answer that is not sound", answer("medium", "spa", UNSOUND), { error_code: null, is_sound: false, confidence: 0.9, agreement_with_baseline: null, agreement_with_kept: null }, 0.5],
])("keeps %s, without agreements", (_name, other, record, agreement) => {
  const shadow = compared(answer("large", "spam"), other);
  expect([shadow.agreement, shadow.tiers[2]]).toMatchObject([agreement, record]);
});

it.each([["failed", FAILED, null], ["is not sound", UNSOUND, "spa"]])("compares nothing with a baseline that %s", (_name, outcome, output) => {
  const shadow = compared(answer("large", output, outcome));
  expect([shadow.agreement, shadow.reference.attempt?.outcome, shadow.tiers[0]]).toMatchObject([null, outcome, { agreement_with_baseline: null, agreement_with_kept: 1 }]);
});
