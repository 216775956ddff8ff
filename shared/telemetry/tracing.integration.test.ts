import { afterEach, beforeEach, expect, it } from "vitest";

import { type SpanReceiver, startSpanReceiver } from "#infra/e2e/spanReceiver.ts";
import { AppError } from "#shared/contracts/errors.ts";

import type { TraceSettings } from "./traceSettings.ts";
import { isSampled, traceIdOf } from "./traceparent.ts";
import { startTracing, type Tracing } from "./tracing.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = `00-${TRACE}-00f067aa0ba902b7-01`, NOT_TAKEN = `00-${TRACE}-00f067aa0ba902b7-00`;

let receiver: SpanReceiver;
let tracing: Tracing;
const start = (more: Partial<TraceSettings> = {}) => { tracing = startTracing({ endpoint: `${receiver.url}/`, share: 0, slowMs: 1_000, tracesContent: false, exportEveryMs: 60_000, ...more }, "test"); };
beforeEach(async () => { receiver = await startSpanReceiver(); });
afterEach(() => receiver.close());
const failing = (error: Error) => () => Promise.reject(error);

it("makes spans of a caller's trace that is taken, and has sent them when it is closed", async () => {
  start();
  const made = await tracing.tracer.span("outer", { kind: "CONSUMER", parent: PARENT, attributes: { a: 1 } }, async (traceparent, annotate) => {
    annotate({ b: 2 });
    return tracing.tracer.span("inner", { kind: "CLIENT", parent: traceparent, attributes: () => ({ c: 3 }) }, async (inner) => [traceparent, inner] as const);
  });
  await expect(tracing.tracer.span("failed", { kind: "CLIENT", parent: PARENT }, failing(new AppError("backend_unavailable", "SECRET text")))).rejects.toThrow("SECRET text");
  expect(receiver.spansOf(TRACE)).toEqual([]);
  await tracing.close();
  expect(made.map((one) => [traceIdOf(one), isSampled(one)])).toEqual([[TRACE, true], [TRACE, true]]);
  const [inner, outer, failed] = receiver.spansOf(TRACE);
  expect(outer).toMatchObject({ service: "test", name: "outer", kind: "CONSUMER", parentSpanId: "00f067aa0ba902b7", attributes: { a: 1, b: 2 }, isError: false });
  expect(inner).toMatchObject({ name: "inner", kind: "CLIENT", parentSpanId: outer?.spanId, attributes: { c: 3 } });
  expect(failed).toMatchObject({ name: "failed", attributes: { "error.type": "backend_unavailable" }, isError: true });
  expect(outer?.endedAtMs).toBeGreaterThanOrEqual(inner?.endedAtMs ?? Infinity);
  expect(receiver.received()).not.toContain("SECRET"); // a message may quote what was asked
});

it("makes none of a trace that is not taken, hands its context on as it came, and asks for no attributes", async () => {
  start({ share: 1 });
  const attributes = () => { throw new Error("not needed"); };
  expect(await tracing.tracer.span("s", { kind: "SERVER", parent: NOT_TAKEN, attributes }, async (traceparent) => traceparent)).toBe(NOT_TAKEN);
  await expect(tracing.tracer.span("s", { kind: "CLIENT", parent: NOT_TAKEN, attributes }, failing(new Error("from inside")))).rejects.toThrow("from inside");
  await tracing.close();
  expect(receiver.received()).toBe("");
});

it.each([[1, true], [0, false]])("decides on traces that begin here: of a share of %s", async (share, isTaken) => {
  start({ share });
  const made = await tracing.tracer.span("s", { kind: "SERVER", parent: null }, async (traceparent) => traceparent);
  await tracing.close();
  expect([isSampled(made), receiver.spansOf(traceIdOf(made)).map(({ parentSpanId }) => parentSpanId)]).toEqual([isTaken, isTaken ? [""] : []]);
});

it("tells of a call that the service failed, also in a trace that is not taken, and not of one that its caller did", async () => {
  start();
  for (const code of ["broker_unavailable", "rate_limited"] as const) await expect(tracing.tracer.span(code, { kind: "SERVER", parent: NOT_TAKEN }, failing(new AppError(code, "no")))).rejects.toThrow("no");
  await expect(tracing.tracer.span("a bug", { kind: "SERVER", parent: NOT_TAKEN }, failing(new TypeError("no")))).rejects.toThrow("no");
  await tracing.close();
  expect(receiver.spansOf(TRACE)).toMatchObject([
    { name: "broker_unavailable", parentSpanId: "", isError: true, attributes: { "http.response.status_code": 503, "error.type": "broker_unavailable", "infer.trace.kept": "error" } },
    { name: "a bug", isError: true, attributes: { "http.response.status_code": 500, "error.type": "TypeError" } },
  ]);
});

it("begins a trace of its own for what has to do with several, where one of them is taken", async () => {
  start();
  const links = [NOT_TAKEN, PARENT];
  const made = await tracing.tracer.span("batch", { kind: "CLIENT", parent: null, links }, async (traceparent) => traceparent);
  expect(isSampled(await tracing.tracer.span("batch", { kind: "CLIENT", parent: null, links: [NOT_TAKEN] }, async (traceparent) => traceparent))).toBe(false);
  await tracing.close();
  expect(receiver.spansOf(traceIdOf(made))).toMatchObject([{ name: "batch", parentSpanId: "", links: [{ traceId: TRACE, spanId: "00f067aa0ba902b7" }] }]);
});

it("keeps no more than its queue holds while nobody takes spans", async () => {
  start({ exportEveryMs: 100_000 });
  receiver.answer(503);
  for (let i = 0; i < 20_000; i++) await tracing.tracer.span("s", { kind: "CLIENT", parent: PARENT }, async () => undefined);
  receiver.answer(200);
  await tracing.close();
  expect(receiver.spansOf(TRACE).length).toBeLessThanOrEqual(8_192 + 512); // what was queued, and a batch that was under way
});
