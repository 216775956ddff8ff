import { expect, it } from "vitest";

import { checkClaims, chooseThresholds, evaluateCascade, evaluateTier, runCascade, type AnsweredMail } from "./localModelsEvaluation.ts";
import { calibrationError, ratioInterval } from "./localModelsStatistics.ts";

/** Two tiers, prices 1 and 10. The small one is right of four mails in five, and unsure of most where it is wrong. */
const MAILS: AnsweredMail[] = Array.from({ length: 500 }, (_, i) => ({
  group_id: `g${Math.floor(i / 2)}`,
  answers: [
    { is_correct: i % 5 !== 0, confidence: i % 5 === 0 ? 0.6 : 0.97, cost_nano_usd: 1 },
    { is_correct: i % 50 !== 0, confidence: 0.99, cost_nano_usd: 10 },
  ],
}));

it("pays every tier that ran, and keeps the first answer that is sure enough", () => {
  expect(runCascade(MAILS[1] as AnsweredMail, [0.95, 0.5])).toEqual({ tier: 0, is_correct: true, cost_nano_usd: 1 });
  expect(runCascade(MAILS[5] as AnsweredMail, [0.95, 0.5])).toEqual({ tier: 1, is_correct: true, cost_nano_usd: 11 });
  expect(runCascade(MAILS[0] as AnsweredMail, [0.5, 0.5])).toEqual({ tier: 0, is_correct: false, cost_nano_usd: 1 });
  expect(runCascade(MAILS[1] as AnsweredMail, [1, 1])).toMatchObject({ tier: 1 }); // the last one's answer is kept
});

it("finds a tier's gain and a cascade's saving, within their intervals", () => {
  const rows = [evaluateTier(MAILS, "small", 0), evaluateTier(MAILS, "large", 1)];
  expect(rows[0]).toMatchObject({ accuracy: { estimate: 0.8 }, gain: null, usd_per_thousand: 1e-6 });
  expect(rows[1]?.gain).toMatchObject({ estimate: expect.closeTo(0.18) as number });
  expect(rows[1]?.gain?.low).toBeGreaterThan(0);
  const cascade = evaluateCascade(MAILS, [0.95, 0.5]);
  expect(cascade).toMatchObject({ share_of_best: { estimate: 1 }, answered_by: [0.8, 0.2], saving: { estimate: expect.closeTo(1 - 3 / 10) as number } });
  expect(checkClaims(rows, cascade).every(({ holds }) => holds)).toBe(true);
});

it("says which claim fails", () => {
  const same = MAILS.map(({ group_id, answers }) => ({ group_id, answers: answers.slice(0, 1).concat(answers.slice(0, 1)) }));
  const rows = [evaluateTier(same, "small", 0), evaluateTier(same, "large", 1)];
  expect(checkClaims(rows, evaluateCascade(same, [0.99, 0.5])).map(({ holds }) => holds)).toEqual([false, true, false]);
});

it("chooses the lowest threshold that keeps the accuracy", () => {
  expect(chooseThresholds(MAILS)).toEqual([0.7, 0.5]);
});

it("repeats its intervals, and widens them when mails come in groups", () => {
  const terms = (size: number) => Array.from({ length: 400 }, (_, i) => ({ group_id: String(Math.floor(i / size)), numerator: Math.floor(i / 20) % 4 === 0 ? 0 : 1, denominator: 1 }));
  expect(ratioInterval(terms(1))).toEqual(ratioInterval(terms(1)));
  const width = (size: number) => ratioInterval(terms(size)).high - ratioInterval(terms(size)).low;
  expect(width(20)).toBeGreaterThan(2 * width(1));
  // Normal approximation: 2 · 1.96 · √(.75 · .25 / 400).
  expect(width(1)).toBeCloseTo(0.085, 2);
});

it("finds no calibration error where confidence is right, and all of it where it is not", () => {
  const answers = (confidence: number) => Array.from({ length: 100 }, (_, i) => ({ confidence, is_correct: i % 10 !== 0 }));
  expect(calibrationError(answers(0.9))).toBeCloseTo(0);
  expect(calibrationError(answers(0.6))).toBeCloseTo(0.3);
});
