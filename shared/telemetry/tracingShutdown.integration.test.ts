/** In a file of its own: OpenTelemetry keeps one provider for the life of a process. */
import { expect, it } from "vitest";

import { startTracing } from "./tracing.ts";

it("neither fails nor delays a shutdown when the collector is away", async () => {
  const { tracer, close } = startTracing("http://127.0.0.1:9", "test"); // the port of `discard`: nothing listens
  await tracer.span("s", { kind: "SERVER", parent: null }, async () => undefined);
  const startedAtMs = performance.now();
  await close();
  expect(performance.now() - startedAtMs).toBeLessThan(5_000);
});
