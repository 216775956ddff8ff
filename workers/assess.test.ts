import { describe, expect, it } from "vitest";

import type { Input } from "#shared/contracts/chat.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { BackendConfig, type ConfidenceMethod } from "#shared/contracts/tiers.ts";

import { assess } from "./assess.ts";
import type { BackendAnswer } from "./backends/backend.ts";
import { BackendError } from "./backends/backendError.ts";

const HOSTED = BackendConfig.parse({ kind: "openai-compatible", model: "m", base_url: "http://127.0.0.1:1", max_output_tokens: 1 });
const PRICE = { input_nano_usd_per_million: nanoUsd(1_000_000_000), output_nano_usd_per_million: nanoUsd(2_000_000_000), request_nano_usd: nanoUsd(7), source: "t", valid_from: "2026-01-01" };
const USAGE = { input_tokens: 10, output_tokens: 2, source: "reported" as const };
const COST = 10 * 1_000 + 2 * 2_000 + 7;
const ANSWER: BackendAnswer = { output: "Paris", model: "m", usage: USAGE, is_sound: true, confidence: 0.6, confidence_source: "prior" };
const TOKENS = [{ token: "Par", logprob: Math.log(0.9) }, { token: "is", logprob: Math.log(0.4) }];

async function assessed(method: ConfidenceMethod, { answer = {}, earlier = null, isRead = true, call = async () => ANSWER }: { answer?: Partial<BackendAnswer>; earlier?: string | null; isRead?: boolean; call?: () => Promise<BackendAnswer> } = {}) {
  const asked: Input[] = [];
  const ask = (about: Input) => { asked.push(about); return call(); };
  const found = await assess({ ask, price: PRICE, backend: HOSTED }, { input: "Capital of France?", answer: { ...ANSWER, ...answer }, method, earlier, isRead });
  return { ...found, asked };
}

it.each([["token_logprobs", 0.6], ["least_token_logprob", 0.4]] as const)("goes by %s, for nothing", async (kind, expected) => {
  expect(await assessed({ kind }, { answer: { tokens: TOKENS } })).toMatchObject({ confidence: expect.closeTo(expected, 9) as number, confidence_source: kind, checks: [], asked: [] });
});

it.each(["token_logprobs", "answer_margin"] as const)("keeps the prior where %s has nothing to go by", async (kind) => {
  expect(await assessed({ kind })).toEqual({ confidence: 0.6, confidence_source: "prior", checks: [], mayHaveCost: false, asked: [] });
});

it("goes by the agreement with the tier before, and by the prior where there is none", async () => {
  const method = { kind: "tier_agreement", answer_pattern: "^(\\w+)" } as const;
  expect(await assessed(method, { earlier: "PARIS, of course" })).toMatchObject({ confidence: 1, confidence_source: "tier_agreement", checks: [], asked: [] });
  expect(await assessed(method)).toMatchObject({ confidence: 0.6, confidence_source: "prior" });
});

it("leaves a classifier's probability alone", async () => {
  expect(await assessed({ kind: "self_verification" }, { answer: { confidence_source: "class_probability" } })).toMatchObject({ confidence_source: "class_probability", asked: [] });
});

describe("a method that asks again", () => {
  it("verifies, and says what that cost", async () => {
    const { confidence, confidence_source, checks, asked } = await assessed({ kind: "self_verification" }, { call: async () => ({ ...ANSWER, output: "Yes" }) });
    expect([confidence, confidence_source]).toEqual([0.9, "self_verification"]);
    expect(checks).toMatchObject([{ kind: "self_verification", usage: USAGE, cost_nano_usd: COST, error_code: null }]);
    expect(asked).toHaveLength(1);
  });

  it("draws samples at its temperature, and pays for each", async () => {
    let n = 0;
    const { confidence, checks, asked } = await assessed({ kind: "sample_agreement", samples: 2, temperature: 0.7 }, { call: async () => ({ ...ANSWER, output: n++ === 0 ? "paris" : "Rome" }) });
    expect([confidence, checks.map(({ cost_nano_usd }) => cost_nano_usd)]).toEqual([0.5, [COST, COST]]);
    expect(asked).toMatchObject([{ temperature: 0.7 }, { temperature: 0.7 }]);
  });

  it.each([["a rule does not read the confidence", { isRead: false }], ["the answer is not sound", { answer: { is_sound: false } }]])("asks nothing where %s", async (_name, over) => {
    expect(await assessed({ kind: "self_verification" }, over)).toMatchObject({ confidence: 0.6, checks: [], asked: [] });
  });

  it("keeps the prior when the check fails, and the record of it", async () => {
    const call = async () => Promise.reject(new BackendError("backend_unavailable", "away", { usage: USAGE }));
    expect(await assessed({ kind: "self_verification" }, { call })).toMatchObject({ confidence: 0.6, confidence_source: "prior", checks: [{ error_code: "backend_unavailable", cost_nano_usd: COST }] });
  });

  it("is a bug when it throws anything else", async () => {
    await expect(assessed({ kind: "self_verification" }, { call: async () => Promise.reject(new TypeError("x")) })).rejects.toThrow(TypeError);
  });
});
