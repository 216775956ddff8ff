import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Step, StopReason } from "#shared/contracts/decision.ts";
import { nanoUsd } from "#shared/contracts/money.ts";

import { advance, type MachineEvent, newSaga, played, Saga, spentOn } from "./inferenceMachine.ts";

const BASELINE = { tier: "large", rates: { input_nano_usd_per_million: nanoUsd(1), output_nano_usd_per_million: nanoUsd(1), request_nano_usd: nanoUsd(0) } };
const decided = (after_attempt: number, step: Step): MachineEvent =>
  ({ type: "DECIDED", decision: { after_attempt, policy: "cascade", facts: { at_ms: 1, quotes: [], min_on_time: 0.95 }, step } });
const run = (after: number, tier: string, min_confidence: number | null = 0.8) =>
  decided(after, { kind: "run", tier, acceptance: min_confidence === null ? null : { min_confidence }, excluded: {} });
const stop = (after: number, reason: StopReason) => decided(after, { kind: "stop", reason, excluded: {} });
const facts = (attempt: number, cost: number) =>
  ({ attempt, tier: "t", model: `m${attempt}`, started_at_ms: 1, latency_ms: 1, tries: 1, usage: null, cost_nano_usd: nanoUsd(cost), cost_is_partial: false });
const result = (attempt: number, confidence: number, is_sound = true): MachineEvent =>
  ({ type: "RESULT", output: `a${attempt}`, result: { ...facts(attempt, 100), outcome: { kind: "answered", is_sound, confidence, confidence_source: "prior" } } });
const failure = (attempt: number): MachineEvent =>
  ({ type: "RESULT", output: null, result: { ...facts(attempt, 7), outcome: { kind: "failed", code: "backend_refused", message: "no" } } });
const closed = (code: "deadline_exceeded" | "poison" = "deadline_exceeded"): MachineEvent => ({ type: "CLOSED", error: { code, message: "closed" } });

/** Runs events, through JSON between any two as in production: where it ended and what it asked for. */
function play(...events: MachineEvent[]) {
  let now: ReturnType<typeof advance> = { ...newSaga(BASELINE), commands: [] };
  const commands: string[] = [];
  for (const event of events) {
    now = advance(Saga.parse(JSON.parse(JSON.stringify(now))), event);
    commands.push(...now.commands);
  }
  const { tier, attempt, best, error, degraded_reason } = now.context;
  return { state: now.state, tier, attempt, best: best?.output ?? null, spent: spentOn(now.context), error: error?.code ?? null, degraded_reason, commands };
}

it("ends a request in the worker when its answer is sure enough", () => {
  expect(play(run(0, "small"), result(1, 0.8))).toEqual({
    state: "completed", tier: "small", attempt: 1, best: "a1", spent: 100, error: null, degraded_reason: null, commands: ["publishJob", "publishCompletion"],
  });
});

it("asks the router when unsure, escalates, and charges both attempts", () => {
  const { commands, ...end } = play(run(0, "small"), result(1, 0.79), run(1, "large"), result(2, 0.9));
  expect(end).toMatchObject({ state: "completed", tier: "large", attempt: 2, best: "a2", spent: 200 });
  expect(commands).toEqual(["publishJob", "publishResult", "publishJob", "publishCompletion"]);
});

it("always asks the router when the job carries no rule", () => {
  expect(play(run(0, "small", null), result(1, 1))).toMatchObject({ state: "awaitingResult", best: "a1", commands: ["publishJob", "publishResult"] });
});

it("keeps an answer that the router finds good enough", () => {
  expect(play(run(0, "small", null), result(1, 1), stop(1, "good_enough"))).toMatchObject({ state: "completed", best: "a1", error: null });
});

it("never accepts a truncated answer, however sure", () => {
  expect(play(run(0, "small"), result(1, 1, false))).toMatchObject({ state: "awaitingResult", best: null, commands: ["publishJob", "publishResult"] });
});

it.each([
  ["replaces an answer by a later sound one, even a less confident one", [result(2, 0.3)], "a2"],
  ["keeps an answer when the later one is not sound", [result(2, 1, false)], "a1"],
  ["keeps an answer when the later attempt fails", [failure(2)], "a1"],
])("%s", (_name, later, best) => {
  expect(play(run(0, "small"), result(1, 0.6), run(1, "large"), ...later, stop(2, "tiers_exhausted"))).toMatchObject({ state: "degraded", best, degraded_reason: "tiers_exhausted", error: null });
});

describe("closed by the sweeper or the dead-letter service", () => {
  it.each([
    ["before it was routed", [closed()], { state: "failed", error: "deadline_exceeded", degraded_reason: null }],
    ["while the first attempt runs", [run(0, "small"), closed("poison")], { state: "failed", error: "poison", attempt: 1 }],
    ["with an answer in hand", [run(0, "small"), result(1, 0.1), closed()], { state: "degraded", best: "a1", degraded_reason: "deadline", error: null }],
    ["with an answer in hand while another attempt runs", [run(0, "small"), result(1, 0.1), run(1, "large"), closed("poison")], { state: "degraded", best: "a1", degraded_reason: "unavailable", error: null, spent: 100 }],
  ])("ends %s", (_name, events, end) => {
    const played = play(...events);
    expect(played).toMatchObject(end);
    expect(played.commands.filter((command) => command === "publishCompletion")).toHaveLength(1);
  });
});

describe("drops, without a command and without a trace,", () => {
  it.each([
    ["a second result of the same attempt", [run(0, "small"), result(1, 0.2)], result(1, 0.99)],
    ["a result of an attempt to come", [run(0, "small")], result(2, 0.99)],
    ["a result of an attempt before", [run(0, "small"), result(1, 0.2), run(1, "large")], result(1, 0.99)],
    ["a result before anything was decided", [], result(1, 0.99)],
    ["a decision while an attempt is in flight", [run(0, "small")], run(1, "large")],
    ["a decision of the past", [run(0, "small"), result(1, 0.2)], run(0, "large")],
    ["a decision of the future", [run(0, "small"), result(1, 0.2)], run(2, "large")],
    ["a stop while an attempt is in flight", [run(0, "small")], stop(1, "budget")],
    ["a first decision for an attempt that is not the first", [], run(1, "small")],
  ])("%s", (_name, before, stale) => {
    expect(play(...before, stale)).toEqual(play(...before));
  });
});

describe("without an answer", () => {
  const REASONS: [StopReason, string, string][] = [
    ["budget", "budget_exceeded", "budget_exceeded"],
    ["deadline", "deadline_exceeded", "deadline_exceeded"],
    ["latency_slo", "deadline_exceeded", "deadline_exceeded"],
    ["unavailable", "backend_unavailable", "backend_unavailable"],
    ["tiers_exhausted", "invalid_request", "backend_refused"],
  ];
  it.each(REASONS)("%s rejects a new request with %s", (reason, error) => {
    expect(play(stop(0, reason))).toMatchObject({ state: "rejected", attempt: 0, error, spent: 0, commands: ["publishCompletion"] });
  });

  it.each(REASONS)("%s fails a request that was tried (a new one: %s) with %s", (reason, _rejected, error) => {
    expect(play(run(0, "small"), failure(1), stop(1, reason))).toMatchObject({ state: "failed", error, spent: 7, best: null });
  });

  it("tells a client that no answer was sound when the last one was not", () => {
    expect(play(run(0, "small"), failure(1), run(1, "large"), result(2, 1, false), stop(2, "tiers_exhausted"))).toMatchObject({ state: "failed", error: "no_sound_answer" });
  });
});

it("degrades, not fails, for whatever reason it stops with an answer in hand", () => {
  for (const reason of ["budget", "deadline", "latency_slo", "unavailable", "tiers_exhausted"] as const) {
    expect(play(run(0, "small"), result(1, 0.1), stop(1, reason))).toMatchObject({ state: "degraded", degraded_reason: reason, best: "a1", error: null });
  }
});

it("keeps every decision, in order", () => {
  const { context } = [run(0, "small"), result(1, 0.1), run(1, "large"), failure(2), stop(2, "budget")]
    .reduce<ReturnType<typeof advance>>((now, event) => advance(Saga.parse(JSON.parse(JSON.stringify(now))), event), { ...newSaga(BASELINE), commands: [] });
  expect(context.decisions.map(({ after_attempt, step }) => [after_attempt, step.kind])).toEqual([[0, "run"], [1, "run"], [2, "stop"]]);
});

it("goes the same way when it is played without xstate, whatever comes in whatever order", () => {
  const answer = (event: MachineEvent, over: object): MachineEvent => ({ ...event, ...over });
  const CUT = { finish_reason: "length" as const, refusal: null };
  const events: MachineEvent[] = [0, 1, 2].flatMap((n) => [
    run(n, "small"), run(n, "large", null), stop(n, "good_enough"), stop(n, "tiers_exhausted"), stop(n, "budget"), result(n + 1, 0.9), result(n + 1, 0.1), result(n + 1, 1, false), failure(n + 1),
    answer(result(n + 1, 0.1), { isFinal: true }), answer(result(n + 1, 0.1, false), { isFinal: true }), answer(failure(n + 1), { isFinal: true }), answer(result(n + 1, 0.9, false), { message: CUT }),
  ]);
  events.push(closed(), closed("poison"), { type: "REFUSED", error: { code: "tenant_suspended", message: "m" } });
  const ends = new Set<string>();
  fc.assert(fc.property(fc.array(fc.constantFrom(...events), { maxLength: 8 }), (sequence) => {
    let saga = newSaga(BASELINE);
    for (const event of sequence) {
      const { state, context } = advance(saga, event);
      expect(played(saga, event)).toEqual({ state, context });
      ends.add(state);
      if (state !== "received" && state !== "awaitingResult") {
        expect(played({ state: state, context }, event)).toEqual({ state, context });
        return;
      }
      saga = { state, context };
    }
  }), { numRuns: 2_000 });
  expect(ends.size).toBe(6);
});
