import { Registry } from "prom-client";
import { expect, it } from "vitest";

import { makeObserveRun } from "./messageMetrics.ts";

it("counts runs by what came of them, with their time, and the wait of first deliveries alone", async () => {
  const registry = new Registry();
  const observe = makeObserveRun(registry);
  observe({ durable: "worker-small", result: "held", tookMs: 250, waitedMs: 1_500 });
  observe({ durable: "worker-small", result: "handled", tookMs: 750, waitedMs: null });
  observe({ durable: "worker-small", result: "unsettled", tookMs: null, waitedMs: null });
  observe({ durable: "router-requests", result: "handled", tookMs: 2, waitedMs: -3 }); // the broker's clock is known to some milliseconds
  const lines = (await registry.metrics()).split("\n").filter((line) => line.startsWith("infer_") && !line.includes("_bucket"));
  expect(lines).toEqual([
    'infer_messages_total{consumer="worker-small",result="held"} 1', 'infer_messages_total{consumer="worker-small",result="handled"} 1', 'infer_messages_total{consumer="worker-small",result="unsettled"} 1', 'infer_messages_total{consumer="router-requests",result="handled"} 1',
    'infer_message_duration_seconds_sum{consumer="worker-small"} 1', 'infer_message_duration_seconds_count{consumer="worker-small"} 2', 'infer_message_duration_seconds_sum{consumer="router-requests"} 0.002', 'infer_message_duration_seconds_count{consumer="router-requests"} 1',
    'infer_message_wait_seconds_sum{consumer="worker-small"} 1.5', 'infer_message_wait_seconds_count{consumer="worker-small"} 1', 'infer_message_wait_seconds_sum{consumer="router-requests"} 0', 'infer_message_wait_seconds_count{consumer="router-requests"} 1',
  ]);
});
