import { expect, it } from "vitest";

import { queryFeatures } from "#router/policy/queryFeatures.ts";

import type { OutcomeRow } from "./outcomeLog.ts";
import { withTierAgreement } from "./tierAgreement.ts";

const row = (...answers: (string | undefined)[]): OutcomeRow => ({
  id: "r", dataset: "d", query: "q", features: queryFeatures("q"),
  tiers: answers.map((answer) => ({ quality: 1, cost_usd: 1, verify_cost_usd: 2, confidence: null, latency_ms: null, ...(answer === undefined ? {} : { answer }) })),
});

it("is sure of a tier's answer as far as the tier before gave it too, for nothing", () => {
  expect(withTierAgreement([row("A", "a.", "B")])[0]?.tiers.map(({ confidence, verify_cost_usd }) => [confidence, verify_cost_usd])).toEqual([[0.5, 0], [1, 0], [0, 0]]);
});

it("needs every answer", () => { expect(() => withTierAgreement([row("A", undefined)])).toThrow("row r: agreement of tiers needs the `answer` of each"); });
