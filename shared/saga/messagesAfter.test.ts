import { describe, expect, it } from "vitest";

import type { Decision } from "#shared/contracts/decision.ts";
import { type Attempt, Completion, Job, Result } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import resultFixture from "#shared/contracts/fixtures/result.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { termsOf } from "#shared/contracts/terms.ts";

import type { SagaContext } from "./inferenceMachine.ts";
import { baselineCost, messagesAfter, readSaga } from "./messagesAfter.ts";

const JOB = Job.parse(jobFixture);
const RESULT = Result.parse(resultFixture);
const LAST = Completion.parse(completionFixture).attempts.at(-1);
const OCCASION = { nowMs: JOB.request.accepted_at_ms + 1_620, traceId: completionFixture.trace_id };
const unsure = (attempt: Attempt): Attempt => ({ ...attempt, outcome: { kind: "answered", is_sound: true, confidence: 0.1, confidence_source: "prior" } });

describe("messagesAfter", () => {
  it("turns the accepted result of a recorded job into the recorded completion", () => {
    if (LAST === undefined) throw new Error("the fixture has attempts");
    expect(messagesAfter(JOB.request, readSaga(JOB.saga), { type: "RESULT", result: LAST, output: "spam 🌍" }, OCCASION)).toEqual([{ ...completionFixture, latency_slo_ms: JOB.request.latency_slo_ms, terms: termsOf(JOB.request) }]); // which the fixture is too old for
  });

  it("hands on a result that the rule does not accept, with its job's request and the saga so far", () => {
    if (LAST === undefined) throw new Error("the fixture has attempts");
    const [message, ...more] = messagesAfter(JOB.request, readSaga(JOB.saga), { type: "RESULT", result: unsure(LAST), output: "x" }, OCCASION);
    expect(more).toEqual([]);
    expect(message).toMatchObject({ type: "result.v1", tenant_id: "t1", request_id: "r-1", attempt: 3, request: JOB.request });
    expect(Result.parse(JSON.parse(JSON.stringify(message)))).toEqual(message);
  });

  it("turns a decision to run into a job for that tier and the next attempt", () => {
    const saga = readSaga(RESULT.saga);
    const decision: Decision = { after_attempt: 2, policy: "cascade", facts: { at_ms: 1, quotes: [], min_on_time: 0.95 }, step: { kind: "run", tier: "large", acceptance: null, excluded: {} } };
    expect(messagesAfter(RESULT.request, saga, { type: "DECIDED", decision }, OCCASION)).toMatchObject([{ type: "job.v1", tier: "large", attempt: 3, request: RESULT.request }]);
  });

  it("says nothing after a stale event", () => {
    if (LAST === undefined) throw new Error("the fixture has attempts");
    expect(messagesAfter(JOB.request, readSaga(JOB.saga), { type: "RESULT", result: { ...LAST, attempt: 1 }, output: "x" }, OCCASION)).toEqual([]);
  });

  it("never reports a negative latency when clocks differ", () => {
    const closed = messagesAfter(JOB.request, readSaga(JOB.saga), { type: "CLOSED", error: { code: "deadline_exceeded", message: "m" } }, { ...OCCASION, nowMs: JOB.request.accepted_at_ms - 5_000 });
    expect(closed).toMatchObject([{ outcome: "degraded", latency_ms: 0 }]);
  });

  it("counts the input in bytes, not in characters", () => {
    expect(completionFixture.input_bytes).toBe(Buffer.byteLength(jobFixture.request.input));
    expect(completionFixture.input_bytes).toBeGreaterThan(jobFixture.request.input.length);
  });
});

describe("baselineCost", () => {
  const { context } = readSaga(RESULT.saga);
  const [failed, answered] = context.finished;
  const baseline = { tier: "large", rates: { input_nano_usd_per_million: nanoUsd(2_000_000), output_nano_usd_per_million: nanoUsd(3_000_000), request_nano_usd: nanoUsd(10) } };
  const attempt = (over: Partial<Attempt>): Attempt => {
    if (answered === undefined) throw new Error("the fixture has two attempts");
    return { ...answered, ...over };
  };
  const usage = (input_tokens: number, output_tokens: number) => ({ input_tokens, output_tokens, source: "reported" }) as const;
  const of = (...finished: (Attempt | undefined)[]) => baselineCost({ ...context, baseline, finished: finished.filter((one) => one !== undefined) } satisfies SagaContext);

  it.each([
    ["nobody knows when nothing ran", of(), null],
    ["nobody knows when no attempt counted tokens", of(failed), null],
    ["the tokens of the attempt at the baseline's price", of(attempt({ tier: "small", usage: usage(10, 5) })), 10 * 2 + 5 * 3 + 10],
    ["the tokens of the last attempt that counted any", of(attempt({ tier: "small", usage: usage(10, 5) }), attempt({ tier: "medium", usage: usage(1, 1) }), failed), 2 + 3 + 10],
    ["the tokens of an answer, not of a later attempt that was cut off", of(attempt({ tier: "small", usage: usage(10, 5) }), failed && { ...failed, usage: usage(10, 1) }), 10 * 2 + 5 * 3 + 10],
    ["that of all input, whatever another tier's cache held", of(attempt({ tier: "small", usage: { ...usage(10, 5), cached_input_tokens: 9 } })), 10 * 2 + 5 * 3 + 10],
    ["what the baseline tier charged where it ran", of(attempt({ tier: "small", usage: usage(10, 5) }), attempt({ tier: "large", usage: usage(1, 1), cost_nano_usd: nanoUsd(777) })), 777],
    ["what the baseline tier charged even if another tier ran later", of(attempt({ tier: "large", cost_nano_usd: nanoUsd(777) }), attempt({ tier: "small", usage: usage(1, 1) })), 777],
    ["tokens at its price when the baseline tier ran and failed", of(attempt({ tier: "small", usage: usage(10, 5) }), failed && { ...failed, tier: "large" }), 10 * 2 + 5 * 3 + 10],
  ])("is %s", (_name, cost, expected) => {
    expect(cost).toBe(expected);
  });
});

it.each([[{}], [{ state: "completed", context: {} }], [{ ...RESULT.saga, state: "received?" }]])("refuses %j as a saga, for good", (raw) => {
  expect(() => readSaga(raw)).toThrow(expect.objectContaining({ code: "invalid_request" }) as Error);
});
