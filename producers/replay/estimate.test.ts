import { expect, it } from "vitest";

import { Attempt, Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import type { Rates } from "#shared/contracts/rates.ts";

import { addTo, costToday, newEstimate } from "./estimate.ts";

const RATES: Rates = { input_nano_usd_per_million: nanoUsd(1_000_000), output_nano_usd_per_million: nanoUsd(2_000_000), request_nano_usd: nanoUsd(0) };
const USAGE = { input_tokens: 10, output_tokens: 5, source: "reported" as const };
const attempt = (over: object = {}): Attempt => Attempt.parse({ ...Completion.parse(fixture).attempts[0], tier: "small", usage: USAGE, charges: undefined, checks: undefined, cost_nano_usd: 7, ...over });

it.each([
  ["at today's prices, by its tokens", attempt(), RATES, 20],
  ["with the calls that checked it", attempt({ checks: [{ kind: "self_verification", usage: USAGE, cost_nano_usd: 1, latency_ms: 1, error_code: null }] }), RATES, 40],
  ["as it was, of a tier that is gone", attempt(), undefined, 7],
  ["as it was, where nothing was counted", attempt({ usage: null }), RATES, 7],
])("counts an attempt %s", (_what, one, rates, expected) => {
  expect(costToday(one, rates)).toBe(expected);
});

it("adds up by tenant what is expected and the most that it may be", () => {
  const estimate = newEstimate();
  const event = Completion.parse({ ...fixture, attempts: [attempt(), attempt({ attempt: 2 })] });
  const add = (tenantId: string, budget: number) => { addTo(estimate, event, { tenantId, content: { user_id: "u", input: "x", budget } }, () => RATES); };
  add("a", 0.5);
  add("b", 0.25);
  add("b", 0.25);
  expect({ ...estimate, tenants: [...estimate.tenants] }).toEqual({
    requests: 3, expected_nano_usd: 120, most_nano_usd: 1e9,
    tenants: [["a", { requests: 1, expected_nano_usd: 40, most_nano_usd: 5e8 }], ["b", { requests: 2, expected_nano_usd: 80, most_nano_usd: 5e8 }]],
  });
});
