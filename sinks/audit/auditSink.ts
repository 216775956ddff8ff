/** The audit sink: COMPLETIONS, FEEDBACK, SHADOWS and the late runs of DEAD_LETTERS into Postgres, each event once, acked after the commit. Never on a request's way. */
import type { Pool } from "pg";
import { Counter, Histogram, type Registry } from "prom-client";
import type { z } from "zod";

import { compileNow } from "#shared/contracts/compiled.ts";
import { Completion } from "#shared/contracts/events.ts";
import { makePool } from "#shared/db/pool.ts";
import { watchTables } from "#shared/db/watchTables.ts";
import { openBroker } from "#shared/messaging/openBroker.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { sourcesOf } from "#shared/messaging/topology.ts";
import { makeReadiness } from "#shared/runtime/readiness.ts";
import { buildRoleServer, listen, makeRegistry } from "#shared/runtime/roleServer.ts";
import type { Role } from "#shared/runtime/runRole.ts";
import { parentAtEnd } from "#shared/telemetry/keptTrace.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";

import { AuditSinkConfig } from "./config.ts";
import { drain, type Feed } from "./drain.ts";
import { eraseAsked } from "./eraseAsked.ts";
import { feedbackFeed } from "./feedbackFeed.ts";
import { lateFeed } from "./lateFeed.ts";
import { reconcileBooks } from "./reconcileBooks.ts";
import { keepFor } from "./retention.ts";
import { shadowFeed } from "./shadowFeed.ts";
import { stopDisproved } from "./stopDisproved.ts";
import { type Rows, toRows } from "./toRows.ts";
import { type CountWaste, makeCountWaste } from "./wasteMetric.ts";
import { makeAuditWriter } from "./writeBatch.ts";
import type { Writer } from "./writer.ts";

export const auditSink: Role<z.infer<typeof AuditSinkConfig>> = {
  name: "audit-sink",
  config: AuditSinkConfig,
  async start(config, context) {
    const { log, signal, onClose } = context;
    const { prefix } = config;
    const registry = makeRegistry("audit-sink");
    const readiness = makeReadiness(signal);
    const app = buildRoleServer(registry, readiness.problems, readiness.warnings);
    onClose("http", () => app.close());
    await listen(app, { host: config.host, port: config.port, variable: "INFER_AUDIT_SINK_PORT" });

    const { tracer, close } = startTracing(config.tracing, "infer-audit-sink", log);
    onClose("tracing", close);
    const pool = makePool(config.databaseUrl, "audit-sink", (error) => { log.warn({ err: error }, "a Postgres connection broke"); }, { service: "audit_sink" });
    onClose("postgres", () => pool.end());
    const countWaste = makeCountWaste(registry);
    const completions = completionFeed(pool, registry, config, countWaste);
    const feedback = feedbackFeed(pool, registry, prefix);
    const { falseHit, sweep } = stopDisproved({ pool, registry, log });
    const shadows = shadowFeed(pool, registry, prefix, falseHit);
    const late = lateFeed(pool, registry, prefix, countWaste);
    const needed = [completions.source, feedback.source, shadows.source, late.source];
    const broker = await openBroker({ url: config.natsUrl, role: "audit-sink", prefix, needed, readiness, registry }, context);
    readiness.watch(await watchTables(pool, "audit_sink", log, signal));
    if (signal.aborted) return;

    const { js, wire, publisher, now, observeRun } = broker;
    sweep(signal);
    keepFor(pool, { auditDays: config.retentionDays, ledgerDays: config.ledgerRetentionDays }, log, signal);
    eraseAsked(config, context);
    reconcileBooks({ config, broker, registry }, context);
    compileNow(Completion);
    readiness.started();
    log.info("ready");
    const deps = { js, wire, publisher, now, observeRun, prefix, batchSize: config.batchSize, batchDelayMs: config.batchDelayMs, tracer, log, signal, drainMs: context.drainMs, readiness };
    await Promise.all([drain(completions, deps), drain(feedback, deps), drain(shadows, deps), drain(late, deps)]);
  },
};

/** `parent`: of the span, as the metrics sink tells the request. */
type Read = Rows & { readonly parent: string | null };
const completionFeed = (pool: Pool, registry: Registry, { prefix, tracing }: Pick<z.infer<typeof AuditSinkConfig>, "prefix" | "tracing">, countWaste: CountWaste): Feed<Read> => ({
  source: sourcesOf(prefix).auditCompletions,
  table: "requests",
  read(delivery) {
    const completion = readEvent(Completion, prefix, delivery);
    return { ...toRows(completion, delivery.seq), parent: tracing === undefined ? delivery.traceparent : parentAtEnd(completion, delivery.traceparent, tracing.slowMs) };
  },
  writer: observed(makeAuditWriter(pool), registry),
  parentOf: ({ parent }) => parent,
  observe({ lines }) { countWaste(lines); },
});

function observed(writer: Writer<Rows>, registry: Registry): Writer<Rows> {
  const registers = [registry];
  const events = new Counter({ name: "infer_audit_events_total", help: "Audit events by what became of them.", labelNames: ["result"], registers });
  const size = new Histogram({ name: "infer_audit_batch_size", help: "Events per transaction.", buckets: [1, 5, 10, 50, 100, 250, 500, 1_000, 5_000], registers });
  const duration = new Histogram({ name: "infer_audit_write_duration_seconds", help: "Time of one batch, halving included.", buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5], registers });
  return {
    async write(batch) {
      const stop = duration.startTimer();
      try {
        const written = await writer.write(batch);
        for (const { ok } of written) events.inc({ result: ok ? "written" : "refused" });
        size.observe(batch.length);
        return written;
      } finally {
        stop();
      }
    },
  };
}
