import { expect, test } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };

import { paintFor, widthOf } from "../paint.ts";
import { timelineOf } from "./timeline.ts";
import { barOf, traceText } from "./traceText.ts";
import { attemptsIn, underWayText } from "./underWay.ts";

const completion = Completion.parse(fixture);
const timeline = timelineOf(completion);
const plain = { columns: 120, paint: paintFor({ hasColours: false }) };

test("each attempt has its wait, its run, and what became of it", () => {
  expect(timeline.attempts.map(({ tier, decided_at_ms, begins_at_ms, ends_at_ms, waited_ms, became }) => [tier, decided_at_ms, begins_at_ms, ends_at_ms, waited_ms, became])).toEqual([
    ["small", 2, 4, 1_005, 2, "failed"], ["medium", 1_007, 1_009, 1_129, 2, "handed_on"], ["large", 1_132, 1_134, 1_614, 2, "kept"],
  ]);
  expect(timeline.attempts.map(({ says }) => says)).toEqual([
    "failed: backend_unavailable: no answer within the tier's timeout_ms, 2 tries, may have cost more than is known",
    "confidence 0.620 (token_logprobs), below 0.800: handed on",
    "confidence 0.970 (prior), enough for 0.500: kept",
  ]);
});

test("each decision has every candidate, and why it was or was not chosen", () => {
  expect(timeline.decisions.map(({ after_attempt, at_ms, says }) => [after_attempt, at_ms, says])).toEqual([
    [0, 2, "run small, keep its answer from confidence 0.900 on"], [1, 1_007, "run medium, keep its answer from confidence 0.800 on"], [2, 1_132, "run large, keep its answer from confidence 0.500 on"],
  ]);
  expect(timeline.decisions[1]?.candidates.map(({ tier, is_chosen, excluded_by, says }) => [tier, is_chosen, excluded_by, says])).toEqual([
    ["small", false, "tried", "was tried before"], ["medium", true, null, "chosen"], ["large", false, null, "not chosen"],
  ]);
});

test("what it saved, or cost more than the baseline", () => {
  expect([timeline.saving_nano_usd, timelineOf({ ...completion, baseline_cost_nano_usd: null }).saving_nano_usd]).toEqual([-30_000, null]);
  expect(traceText(completion, timeline, plain)).toMatch(/^cost 0\.000295000 USD: 0\.000030000 USD more than the baseline \(-11\.3 %\)\non the baseline tier large it would have been 0\.000265000 USD$/m);
});

test("a decision by a routing model, explored, on a paced budget says so", () => {
  const [first] = completion.decisions;
  if (first === undefined) throw new Error("the fixture has decisions");
  const learned = { model_version: "v1", features: { log_length: 1, digits: 0, negation: 0, classes: {} }, floor_steps: 0, lambda_per_usd: 12, lambda_source: "pacing" as const, stop_value: null, candidates: [{ tier: "small", is_blind: false, value: 0.5 }] };
  const exploration = { share: 0.1, max_extra_cost_nano_usd: completion.cost_nano_usd, withheld_by: null, greedy: "small", eligible: ["small", "medium"], is_explored: true, propensity: 0.05, extra_cost_nano_usd: completion.cost_nano_usd };
  const shown = timelineOf({ ...completion, decisions: [{ ...first, learned, exploration, facts: { ...first.facts, pacing: { lambda_per_usd: 12, window: "day", may_go_below_floor: false } } }] }).decisions[0];
  expect(shown?.why).toEqual([expect.stringMatching(/^routing model v1: .*λ = 12\.0 per USD, which paces/), "explored: drawn with probability 0.0500 from small, medium; the policy itself would have run small", "the tenant's budget of the day is paced: a dollar must buy 12.0"]);
  expect(shown?.candidates.map(({ value }) => value)).toEqual([0.5, null, null]);
});

test.each([60, 80, 120, 200])("no line is longer than %i columns", (columns) => {
  const lines = traceText(completion, timeline, { columns, paint: paintFor({ hasColours: true }) }).split("\n");
  expect(Math.max(...lines.map(widthOf))).toBeLessThanOrEqual(columns);
});

test("is for people to read, without what was asked or answered, and without colours where there are none", () => {
  const text = traceText(completion, timeline, plain);
  expect(text).toMatch(/^r-1 of tenant t1: completed on large \(l-2026\), after 1620 ms$/m);
  expect(text).toMatch(/^ {2}1 small {2}\|#{45,} *\| waited 2 ms, ran 1001 ms$/m);
  expect(text).toContain("trace 4bf92f3577b34da6a3ce929d0e0e4736");
  expect(text).not.toMatch(/spam|\u001b/);
});

test("what a model's server wrote cannot control the terminal", () => {
  const [attempt] = completion.attempts;
  if (attempt === undefined) throw new Error("the fixture has attempts");
  const evil = { ...completion, attempts: [{ ...attempt, outcome: { kind: "failed" as const, code: "backend_refused" as const, message: "\u001b]0;owned\u0007" } }] };
  expect(traceText(evil, timelineOf(evil), plain)).not.toMatch(/[\u001b\u0007]/);
});

test("of an answer from the cache there is nothing but where it came from", () => {
  const cached = { ...completion, attempts: [], decisions: [], cache: { kind: "exact" as const, stored_at_ms: 1, age_ms: 500, source_request_id: "r-0" } };
  expect(traceText(cached, timelineOf(cached), plain)).toMatch(/made for request r-0, 500 ms before \(exact\)[^]*no model was asked/);
});

test.each([
  ["a run takes a column at least", [0, 0, 0.1], "#         "], ["a wait comes before it", [20, 50, 100], "  ...#####"], ["at the very end", [100, 100, 100], "         #"],
])("a bar: %s", (_name, [decided = 0, begins = 0, ends = 0], text) => {
  expect(barOf([{ fromMs: decided, toMs: begins, mark: "." }, { fromMs: begins, toMs: ends, mark: "#" }], 100, 10).text).toBe(text);
});

test("of one that is under way: which attempts there were, and where it is", () => {
  const attempts = attemptsIn(["infer.job.medium.t1.r1.2", "infer.batchjob.small.t1.r1.1"], new Set([1]));
  expect(attempts).toEqual([{ attempt: 1, tier: "small", has_result: true }, { attempt: 2, tier: "medium", has_result: false }]);
  expect(underWayText({ tenant_id: "t1", request_id: "r1", accepted_at: "2026-01-01T00:00:00.000Z", attempts }, Date.parse("2026-01-01T00:00:02.500Z")))
    .toBe("r1 of tenant t1 is under way: accepted 2026-01-01T00:00:00.000Z, 2.5 s ago\n  attempt 1 on small: has a result, the router decides\n  attempt 2 on medium: waits or runs");
});
