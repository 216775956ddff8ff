/** The metrics sink: COMPLETIONS as Prometheus metrics. */
import type { z } from "zod";

import { Completion } from "#shared/contracts/events.ts";
import { consume } from "#shared/messaging/consume.ts";
import { keepDeadLetter } from "#shared/messaging/keepDeadLetter.ts";
import { openBroker } from "#shared/messaging/openBroker.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { sourcesOf } from "#shared/messaging/topology.ts";
import { makeReadiness } from "#shared/runtime/readiness.ts";
import { buildRoleServer, listen, makeRegistry } from "#shared/runtime/roleServer.ts";
import type { Role } from "#shared/runtime/runRole.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";

import { MetricsSinkConfig } from "./config.ts";
import { makeCompletionMetrics } from "./observe.ts";

export const metricsSink: Role<z.infer<typeof MetricsSinkConfig>> = {
  name: "metrics-sink",
  config: MetricsSinkConfig,
  async start(config, context) {
    const { log, signal, onClose } = context;
    const { prefix } = config;
    const registry = makeRegistry("metrics-sink");
    const readiness = makeReadiness(signal);
    const app = buildRoleServer(registry, readiness.problems, readiness.warnings);
    onClose("http", () => app.close());
    await listen(app, { host: config.host, port: config.port, variable: "INFER_METRICS_SINK_PORT" });

    const { tracer, close } = startTracing(config.otlpEndpoint, "infer-metrics-sink");
    onClose("tracing", close);
    const source = sourcesOf(prefix).metricsCompletions;
    const { js, publisher, now, observeRun } = await openBroker({ url: config.natsUrl, role: "metrics-sink", prefix, needed: [source], readiness, registry }, context);
    if (signal.aborted) return;
    const observe = makeCompletionMetrics(registry);
    readiness.started();
    log.info("ready");
    await consume({
      js, log, now, source, signal, observeRun, drainMs: context.drainMs, concurrency: 64,
      giveUp: keepDeadLetter(publisher, prefix, Date.now),
      handle: (delivery) => tracer.span("process infer.completion", { kind: "CONSUMER", parent: delivery.traceparent }, async () => {
        observe(readEvent(Completion, prefix, delivery));
        return Promise.resolve();
      }),
    });
  },
};
