import { expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };

import { decisionRecord, firstDifference, pinned } from "./decisionRecord.ts";

const EVENT = Completion.parse(fixture);
const [DECISION] = EVENT.decisions;
const [ATTEMPT] = EVENT.attempts;
if (DECISION === undefined || ATTEMPT === undefined) throw new Error("the fixture has neither");
const QUOTES = DECISION.facts.quotes;
const ofQuotes = (change: object): Completion => ({ ...EVENT, decisions: [{ ...DECISION, facts: { ...DECISION.facts, at_ms: 1, quotes: QUOTES.map((quote) => ({ ...quote, ...change })) } }, ...EVENT.decisions.slice(1)] });

it.each<[string, Completion]>([
  ["ids and times", { ...EVENT, request_id: "other", origin: "direct", trace_id: "t", accepted_at_ms: 1, completed_at_ms: 2, latency_ms: 9, fingerprint: "f", attempts: EVENT.attempts.map((one) => ({ ...one, started_at_ms: 1, latency_ms: 2 })) }],
  ["live inputs", ofQuotes({ on_time: 0.5, within_slo: 0.5, expected_latency_ms: 1, breaker: "half_open", workers: 7, queue_depth: 7 })],
])("are the same apart from %s", (_what, other) => {
  expect(firstDifference(decisionRecord(EVENT), decisionRecord(other))).toBeNull();
});

it.each<[string, Completion]>([
  ["what was decided", { ...EVENT, decisions: [{ ...DECISION, step: { kind: "stop", reason: "budget", excluded: {} } }, ...EVENT.decisions.slice(1)] }],
  ["what was known of a tier", ofQuotes({ quality: 0.123 })],
  ["how often it was decided", { ...EVENT, decisions: EVENT.decisions.slice(1) }],
  ["what was run", { ...EVENT, attempts: EVENT.attempts.map((one) => ({ ...one, tier: "other" })) }],
  ["what came of it", { ...EVENT, outcome: "degraded" }],
])("tell apart %s", (_what, other) => {
  expect(firstDifference(decisionRecord(EVENT), decisionRecord(other))).not.toBeNull();
});

it("with live inputs pinned have those of the other event", () => {
  const live = ofQuotes({ queue_depth: 7 });
  expect(pinned(EVENT, live)?.decisions[0]?.facts).toEqual(live.decisions[0]?.facts);
  expect(pinned({ ...EVENT, decisions: [] }, live)).toBeNull();
});
