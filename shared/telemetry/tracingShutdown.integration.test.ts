import { expect, it } from "vitest";

import { startTracing } from "./tracing.ts";

it("neither fails nor delays a shutdown when the collector is away", async () => {
  const { tracer, close } = startTracing({ endpoint: "http://127.0.0.1:9", share: 1, slowMs: 1_000, tracesContent: false, exportEveryMs: 5_000 }, "test"); // the port of `discard`: nothing listens
  await tracer.span("s", { kind: "SERVER", parent: null }, async () => undefined);
  const startedAtMs = performance.now();
  await close();
  expect(performance.now() - startedAtMs).toBeLessThan(5_000);
});
