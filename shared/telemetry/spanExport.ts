/**
 * Finished spans, sent as OTLP in batches. The queue is bounded: what comes while it is full is left out, so that a collector which is slow or away takes
 * neither memory nor time of requests.
 */
import { setTimeout as sleep } from "node:timers/promises";

import { type Attributes, type HrTime, type SpanContext, SpanKind, SpanStatusCode, TraceFlags } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resources } from "@opentelemetry/sdk-node";
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from "@opentelemetry/sdk-trace";
import type { Logger } from "pino";

import { makeAllowance } from "#shared/runtime/allowance.ts";
import { VERSION } from "#shared/runtime/version.ts";

import type { TraceSettings } from "./traceSettings.ts";
import { isSampled, spanIdOf, traceIdOf } from "./traceparent.ts";

export type Kind = keyof typeof SpanKind;
export interface FinishedSpan {
  readonly name: string;
  readonly kind: Kind;
  /** Its own context. */
  readonly traceparent: string;
  /** `null`: it begins its trace. */
  readonly parentSpanId: string | null;
  /** Contexts of other spans that it has to do with. */
  readonly links?: readonly string[];
  /** Epoch milliseconds. */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** With `error.type` it failed. */
  readonly attributes: Attributes;
  /** Whose work it was, where another process tells of it. */
  readonly service?: string;
}
export interface SpanExport {
  /** Never throws and never waits. */
  readonly record: (span: FinishedSpan) => void;
  /** Sends what is queued, within a bound. */
  readonly close: () => Promise<void>;
}

/** Some 1.5 KB each. What is told at the end is up to two dozen spans of a request at once. */
const MOST_QUEUED = 8_192, MOST_IN_A_BATCH = 512;
const EXPORT_WITHIN_MS = 10_000, CLOSE_WITHIN_MS = 2_000;
/** As OpenTelemetry's own limit. */
const MOST_LINKS = 128;
const WARN_AT_MOST = { burst: 1, refillMs: 60_000 };
const SCOPE = { name: "infer", version: VERSION };

export function openSpanExport({ endpoint, exportEveryMs }: Pick<TraceSettings, "endpoint" | "exportEveryMs">, service: string, log?: Logger): SpanExport {
  let queued = 0;
  const overflows = makeAllowance(WARN_AT_MOST);
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/$/, "")}/v1/traces`, timeoutMillis: EXPORT_WITHIN_MS });
  const processor = new BatchSpanProcessor({ exporter: watched(exporter, log, (spans) => { queued -= spans; }), maxQueueSize: MOST_QUEUED, maxExportBatchSize: MOST_IN_A_BATCH, scheduledDelayMillis: exportEveryMs, exportTimeoutMillis: EXPORT_WITHIN_MS });
  const known = new Map<string, resources.Resource>();
  const resourceOf = (name: string): resources.Resource => {
    const resource = known.get(name) ?? resources.resourceFromAttributes({ "service.name": name, "service.version": VERSION });
    known.set(name, resource);
    return resource;
  };
  return {
    record(span) {
      if (queued < MOST_QUEUED) {
        queued += 1;
        processor.onEnd(readable(span, resourceOf(span.service ?? service)));
        return;
      }
      const earlier = overflows.take(Date.now());
      if (earlier !== null) log?.warn({ queued, left_out_before: earlier }, "spans are left out: the collector takes them too slowly");
    },
    async close() { await Promise.race([processor.shutdown().catch(() => undefined), sleep(CLOSE_WITHIN_MS, undefined, { ref: false })]); },
  };
}

/** Says now and then that spans get lost. `taken`: told of spans that left the queue. */
function watched(exporter: OTLPTraceExporter, log: Logger | undefined, taken: (spans: number) => void): SpanExporter {
  const warnings = makeAllowance(WARN_AT_MOST);
  return {
    export(spans, done) {
      taken(spans.length);
      exporter.export(spans, (result) => {
        const earlier = result.error === undefined ? null : warnings.take(Date.now());
        if (earlier !== null) log?.warn({ err: result.error, spans: spans.length, earlier_failures: earlier }, "spans could not be sent, and are lost");
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush(),
  };
}

function readable({ name, kind, traceparent, parentSpanId, links = [], startedAtMs, endedAtMs, attributes }: FinishedSpan, resource: resources.Resource): ReadableSpan {
  const context = contextOf(traceparent);
  return {
    name, kind: SpanKind[kind], attributes, resource, instrumentationScope: SCOPE,
    spanContext: () => context,
    ...(parentSpanId === null ? {} : { parentSpanContext: { ...context, spanId: parentSpanId, isRemote: kind === "SERVER" || kind === "CONSUMER" } }),
    startTime: hrTime(startedAtMs), endTime: hrTime(endedAtMs), duration: hrTime(Math.max(0, endedAtMs - startedAtMs)), ended: true,
    status: { code: attributes["error.type"] === undefined ? SpanStatusCode.UNSET : SpanStatusCode.ERROR },
    links: links.slice(0, MOST_LINKS).map((link) => ({ context: contextOf(link) })), events: [],
    droppedAttributesCount: 0, droppedEventsCount: 0, droppedLinksCount: Math.max(0, links.length - MOST_LINKS),
  };
}

const contextOf = (traceparent: string): SpanContext => ({ traceId: traceIdOf(traceparent), spanId: spanIdOf(traceparent), traceFlags: isSampled(traceparent) ? TraceFlags.SAMPLED : TraceFlags.NONE });
const hrTime = (ms: number): HrTime => [Math.floor(ms / 1_000), Math.round((ms % 1_000) * 1e6)];
