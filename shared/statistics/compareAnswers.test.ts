import { expect, it } from "vitest";

import jobFixture from "#shared/contracts/fixtures/shadow_job.v1.json" with { type: "json" };
import { Sample, type ShadowAnswer } from "#shared/contracts/shadow.ts";

import { compareAnswers } from "./compareAnswers.ts";

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
