import { expect, it } from "vitest";

import { traceparentFrom } from "./traceparent.ts";
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
