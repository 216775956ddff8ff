/** The metrics sink: COMPLETIONS as Prometheus metrics. */
import type { z } from "zod";

import { compileNow } from "#shared/contracts/compiled.ts";
import { Completion } from "#shared/contracts/events.ts";
import { consume } from "#shared/messaging/consume.ts";
import { keepDeadLetter } from "#shared/messaging/keepDeadLetter.ts";
import { processing } from "#shared/messaging/messageSpans.ts";
import { openBroker } from "#shared/messaging/openBroker.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { sourcesOf } from "#shared/messaging/topology.ts";
import { makeReadiness } from "#shared/runtime/readiness.ts";
import { buildRoleServer, listen, makeRegistry } from "#shared/runtime/roleServer.ts";
import type { Role } from "#shared/runtime/runRole.ts";
import { parentAtEnd, spansOf, whyKept } from "#shared/telemetry/keptTrace.ts";
import type { FinishedSpan } from "#shared/telemetry/spanExport.ts";
import type { TraceSettings } from "#shared/telemetry/traceSettings.ts";
import { isSampled } from "#shared/telemetry/traceparent.ts";
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

    const { tracer, record, close } = startTracing(config.tracing, "infer-metrics-sink", log);
    onClose("tracing", close);
    const source = sourcesOf(prefix).metricsCompletions;
    const { js, wire, publisher, now, observeRun } = await openBroker({ url: config.natsUrl, role: "metrics-sink", prefix, needed: [source], readiness, registry }, context);
    if (signal.aborted) return;
    const observe = makeCompletionMetrics(registry);
    const tell = makeTell(config.tracing, prefix, record);
    compileNow(Completion);
    readiness.started();
    log.info("ready");
    await consume({
      js, wire, log, now, source, signal, observeRun, drainMs: context.drainMs, concurrency: 64,
      giveUp: keepDeadLetter(publisher, prefix, Date.now),
      async handle(delivery) {
        const completion = readEvent(Completion, prefix, delivery);
        await tracer.span(...processing(prefix, delivery, {}, tell(completion, delivery.traceparent)), async () => {
          observe(completion);
          return Promise.resolve();
        });
      },
    });
  },
};

/** Tells the spans of a request that is worth it and whose trace was not taken. Gives the context that the sink's own span belongs to. */
function makeTell(settings: TraceSettings | undefined, prefix: string, record: (span: FinishedSpan) => void): (completion: Completion, traceparent: string | null) => string | null {
  if (settings === undefined) return (_completion, traceparent) => traceparent;
  return (completion, traceparent) => {
    const why = traceparent !== null && isSampled(traceparent) ? null : whyKept(completion, settings.slowMs);
    if (why !== null) for (const span of spansOf(completion, prefix, why)) record(span);
    return parentAtEnd(completion, traceparent, settings.slowMs);
  };
}
