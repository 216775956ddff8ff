import { expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { Rates } from "#shared/contracts/rates.ts";

import { toRows } from "./toRows.ts";

const COMPLETION = Completion.parse(fixture);

it("makes one row of a request, with times as text and the place of its event", () => {
  const { request } = toRows(COMPLETION, 42);
  expect(request).toMatchObject({
    tenant_id: "t1", request_id: "r-1", outcome: "completed", error_code: null, error_message: null, attempt_count: 3, cost_nano_usd: 295_000, stream_seq: 42,
    accepted_at: "2026-01-01T00:00:00.000Z", completed_at: "2026-01-01T00:00:01.620Z", latency_ms: 1_620, metadata: { team: "a", rank: 3, paid: true }, output: "spam 🌍",
  });
  expect(request.decisions).toEqual(COMPLETION.decisions);
});

it("makes one row of each attempt, whatever came of it", () => {
  expect(toRows(COMPLETION, 1).attempts).toMatchObject([
    { tenant_id: "t1", request_id: "r-1", attempt: 1, outcome: "failed", error_code: "backend_unavailable", is_sound: null, confidence: null, usage_source: null, input_tokens: null, cost_is_partial: true },
    { attempt: 2, replica: null, outcome: "answered", error_code: null, is_sound: true, confidence: 0.62, usage_source: "reported", input_tokens: 40, output_tokens: 5, cost_nano_usd: 30_000 },
    { attempt: 3, replica: "eu", outcome: "answered", usage_source: "estimated", started_at: "2026-01-01T00:00:01.134Z", cost_is_partial: false },
  ]);
});

it("keeps the price that an attempt was charged at, where its event says it", () => {
  const rates = Rates.parse({ input_nano_usd_per_million: 1, output_nano_usd_per_million: 2, request_nano_usd: 3, reasoning_output_nano_usd_per_million: 4 });
  const [first, ...others] = COMPLETION.attempts;
  if (first === undefined) throw new Error("the fixture has attempts");
  const charges = [{ rates, usage: { input_tokens: 1, output_tokens: 1, source: "reported" as const }, cost_nano_usd: nanoUsd(5) }];
  const rows = toRows(Completion.parse({ ...COMPLETION, attempts: [{ ...first, rates, charges }, ...others] }), 1).attempts;
  expect(rows.map((row) => [row.rates, row.charges])).toEqual([[rates, charges], [null, null], [null, null]]);
});

it("keeps the error of a request that has no answer", () => {
  const { request, attempts } = toRows({ ...COMPLETION, outcome: "failed", error: { code: "poison", message: "given up" }, output: null, attempts: [] }, 1);
  expect([request.error_code, request.error_message, request.output, attempts]).toEqual(["poison", "given up", null, []]);
});

it("gives the same rows when the event is read again", () => {
  expect(toRows(COMPLETION, 7)).toEqual(toRows(Completion.parse(JSON.parse(JSON.stringify(COMPLETION))), 7));
});

it("has a row for the last moment that the event's schema takes", () => {
  expect(toRows(Completion.parse({ ...COMPLETION, completed_at_ms: 8.64e15 }), 1).request.completed_at).toBe("+275760-09-13T00:00:00.000Z");
});

it("names every field of the event, so that none is forgotten", () => {
  const { type: _type, error: _error, attempts: _attempts, accepted_at_ms: _accepted, completed_at_ms: _completed, ...same } = COMPLETION;
  expect(Object.keys(toRows(COMPLETION, 1).request)).toEqual(expect.arrayContaining([...Object.keys(same), "error_code", "error_message", "accepted_at", "completed_at"]));
});
