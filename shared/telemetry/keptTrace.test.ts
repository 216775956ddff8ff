import { describe, expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };

import { parentAtEnd, spansOf, whyKept } from "./keptTrace.ts";
import { isSampled, spanIdOf, traceIdOf } from "./traceparent.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
/** Three attempts: a failed one, one that was not sure enough, and the answer. */
const CLIMBED = Completion.parse({ ...fixture, trace_id: TRACE });
const [, , last] = CLIMBED.attempts, [first] = CLIMBED.decisions;
if (last === undefined || first === undefined) throw new Error("the fixture has no attempts");
const PLAIN: Completion = { ...CLIMBED, attempts: [{ ...last, attempt: 1 }], decisions: [first], latency_ms: 500 };
const NOT_TAKEN = `00-${TRACE}-00f067aa0ba902b7-00`, TAKEN = `00-${TRACE}-00f067aa0ba902b7-01`;

describe("kept is", () => {
  it.each<[string, Completion, ReturnType<typeof whyKept>]>([
    ["what failed", { ...PLAIN, outcome: "failed", error: { code: "backend_unavailable", message: "" } }, "error"],
    ["what was rejected", { ...PLAIN, outcome: "rejected", error: { code: "rate_limited", message: "" } }, "error"],
    ["what was degraded", { ...PLAIN, outcome: "degraded" }, "error"],
    ["what escalated", { ...PLAIN, attempts: CLIMBED.attempts }, "escalation"],
    ["what took longer than the bound", { ...PLAIN, latency_ms: 1_001 }, "slow"],
    ["what took longer than it was to", { ...PLAIN, latency_slo_ms: 499 }, "slow"],
    ["nothing else", { ...PLAIN, latency_ms: 1_000, latency_slo_ms: 1_000 }, null],
    ["nothing without a trace to tell it in", { ...CLIMBED, trace_id: "my trace" }, null],
    ["no answer that was kept", { ...PLAIN, attempts: [], decisions: [], cache: { kind: "exact", stored_at_ms: 0, age_ms: 0, source_request_id: "r-0" } }, null],
  ])("%s", (_name, completion, expected) => {
    expect(whyKept(completion, 1_000)).toBe(expected);
  });
});

/** As lines: who did what, below whom. */
function tree(completion: Completion): string[] {
  const spans = spansOf(completion, "infer", "error");
  const depthOf = (parentSpanId: string | null): number => (parentSpanId === null ? 0 : 1 + depthOf(spans.find(({ traceparent }) => spanIdOf(traceparent) === parentSpanId)?.parentSpanId ?? null));
  for (const { parentSpanId } of spans) if (parentSpanId !== null) expect(spans.map(({ traceparent }) => spanIdOf(traceparent))).toContain(parentSpanId);
  return spans.map(({ service = "", kind, name, parentSpanId }) => `${"  ".repeat(depthOf(parentSpanId))}${service.replace("infer-", "")} ${kind} ${name.replaceAll("{tenant}.{request}", "*")}`);
}

it("a request that climbed is told with every decision and attempt, in the shape of a trace that is taken", () => {
  expect(tree(CLIMBED)).toEqual([
    "gateway SERVER request",
    "  gateway PRODUCER send infer.request.*",
    "    router CONSUMER process infer.request.*",
    "      router PRODUCER send infer.job.{tier}.*.{attempt}",
    "        worker CONSUMER process infer.job.{tier}.*.{attempt}",
    "          worker CLIENT chat s",
    "          worker PRODUCER send infer.result.*.{attempt}",
    "            router CONSUMER process infer.result.*.{attempt}",
    "              router PRODUCER send infer.job.{tier}.*.{attempt}",
    "                worker CONSUMER process infer.job.{tier}.*.{attempt}",
    "                  worker CLIENT chat m",
    "                  worker PRODUCER send infer.result.*.{attempt}",
    "                    router CONSUMER process infer.result.*.{attempt}",
    "                      router PRODUCER send infer.job.{tier}.*.{attempt}",
    "                        worker CONSUMER process infer.job.{tier}.*.{attempt}",
    "                          worker CLIENT chat l-2026",
    "                          worker PRODUCER send infer.completion.*",
  ]);
});

it.each<[string, Completion, string[]]>([
  ["one from NATS begins at the router", { ...PLAIN, origin: "direct" }, ["router CONSUMER process infer.request.*", "  router PRODUCER send infer.job.{tier}.*.{attempt}", "    worker CONSUMER process infer.job.{tier}.*.{attempt}", "      worker CLIENT chat l-2026", "      worker PRODUCER send infer.completion.*"]],
  ["one from NATS that nobody decided on", { ...PLAIN, origin: "direct", attempts: [], decisions: [] }, ["router CONSUMER process infer.request.*", "  router PRODUCER send infer.completion.*"]],
  ["one that got a kept answer", { ...PLAIN, attempts: [], decisions: [] }, ["gateway SERVER request", "  gateway PRODUCER send infer.completion.*"]],
  ["one whose job had no end", { ...PLAIN, attempts: [] }, ["gateway SERVER request", "  gateway PRODUCER send infer.request.*", "    router CONSUMER process infer.request.*", "      router PRODUCER send infer.job.{tier}.*.{attempt}", "        router PRODUCER send infer.completion.*"]],
  ["one whose model was never called", { ...PLAIN, attempts: [{ ...last, attempt: 1, tries: 0 }] }, ["gateway SERVER request", "  gateway PRODUCER send infer.request.*", "    router CONSUMER process infer.request.*", "      router PRODUCER send infer.job.{tier}.*.{attempt}", "        worker CONSUMER process infer.job.{tier}.*.{attempt}", "          worker PRODUCER send infer.completion.*"]],
])("%s", (_name, completion, expected) => {
  expect(tree(completion)).toEqual(expected);
});

it("tells twice what is one, and another request of the same trace apart; no span ends before it starts", () => {
  const told = spansOf(CLIMBED, "infer", "escalation");
  expect(spansOf(CLIMBED, "infer", "escalation")).toEqual(told);
  const ids = [...told, ...spansOf({ ...CLIMBED, request_id: "r-2" }, "infer", "escalation")].map(({ traceparent }) => traceparent);
  expect([new Set(ids).size, new Set(ids.map(traceIdOf)), ids.every(isSampled)]).toEqual([2 * told.length, new Set([TRACE]), true]);
  const odd = spansOf({ ...CLIMBED, attempts: CLIMBED.attempts.map((attempt) => ({ ...attempt, latency_ms: 1e300 })) }, "infer", "escalation");
  expect([...told, ...odd].filter(({ startedAtMs, endedAtMs }) => endedAtMs < startedAtMs || endedAtMs > CLIMBED.completed_at_ms)).toEqual([]);
});

it("says what was paid, by call and in all, why it is told, and what failed; and nothing that anybody wrote", () => {
  const told = spansOf({ ...CLIMBED, output: "CANARY", input: "CANARY", metadata: { a: "CANARY" }, outcome: "failed", error: { code: "backend_unavailable", message: "CANARY" } }, "infer", "error");
  const of = (name: string) => told.find((span) => span.name === name)?.attributes;
  expect(of("request")).toMatchObject({ "infer.trace.kept": "error", "infer.tenant_id": "t1", "infer.request_id": "r-1", "infer.attempts": 3, "infer.cost_nano_usd": 295_000, "http.response.status_code": 503, "error.type": "backend_unavailable" });
  expect(of("chat s")).toMatchObject({ "infer.tries": 2, "error.type": "backend_unavailable" });
  expect(of("chat l-2026")).toMatchObject({ "gen_ai.operation.name": "chat", "gen_ai.response.model": "l-2026", "gen_ai.usage.input_tokens": 42, "gen_ai.usage.output_tokens": 6, "infer.cost_nano_usd": 265_000, "infer.replica": "eu" });
  expect(JSON.stringify(told)).not.toContain("CANARY");
});

it("sinks' spans belong to the publish, as it was taken or as it is told", () => {
  const publish = spansOf(CLIMBED, "infer", "escalation").at(-1);
  expect(parentAtEnd(CLIMBED, NOT_TAKEN, 1_000)).toBe(publish?.traceparent);
  expect(parentAtEnd(CLIMBED, null, 1_000)).toBe(publish?.traceparent);
  expect(parentAtEnd(CLIMBED, TAKEN, 1_000)).toBe(TAKEN);
  expect(parentAtEnd(PLAIN, NOT_TAKEN, 1_000)).toBe(NOT_TAKEN);
  expect(isSampled(parentAtEnd(PLAIN, null, 1_000) ?? "")).toBe(false);
});
