import { expect, it } from "vitest";

import { traceIdOf, traceparentFrom } from "./traceparent.ts";
import { startTracing } from "./tracing.ts";

const PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

it("hands the caller's context on when nothing is exported", async () => {
  const { tracer, close } = startTracing(undefined, "test");
  expect(await tracer.span("s", { kind: "SERVER", parent: PARENT }, async (traceparent) => traceparent)).toBe(PARENT);
  await close();
});

it("starts a trace for a caller without one, so every request has an id", async () => {
  const { tracer } = startTracing(undefined, "test");
  const made = await tracer.span("s", { kind: "SERVER", parent: null }, async (traceparent) => traceparent);
  expect(traceparentFrom(made)).toBe(made);
});

it("makes a span of the caller's trace when something is exported", async () => {
  const { tracer, close } = startTracing("http://127.0.0.1:9", "test"); // nothing listens there: exporting fails, tracing does not
  const made = await tracer.span("s", { kind: "CONSUMER", parent: PARENT, attributes: { a: 1 } }, async (traceparent, annotate) => {
    annotate({ b: 2 });
    return traceparent;
  });
  expect(traceIdOf(made)).toBe(traceIdOf(PARENT));
  expect(made).not.toBe(PARENT);
  await expect(tracer.span("s", { kind: "CLIENT", parent: PARENT }, () => Promise.reject(new Error("from inside")))).rejects.toThrow("from inside");
  await close().catch(() => undefined);
});
