/**
 * Spans, when an OTLP endpoint is configured; without one the trace context still travels (every request has a trace
 * id) and no span is made. Names and attributes follow OTel's messaging and GenAI conventions.
 */
import { setTimeout as sleep } from "node:timers/promises";

import { type Attributes, context, type Span, SpanKind, SpanStatusCode, trace, TraceFlags, type Tracer as OtelTracer } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { NodeSDK } from "@opentelemetry/sdk-node";

import { newTraceparent } from "./traceparent.ts";

export type Kind = keyof typeof SpanKind;
export interface SpanOptions {
  readonly kind: Kind;
  /** The caller's trace context; `null` starts a trace. */
  readonly parent: string | null;
  readonly attributes?: Attributes;
}
export interface Tracer {
  /** Runs `run` inside a span. Its argument is the context to hand on, and a place to put what became known. */
  span<T>(name: string, options: SpanOptions, run: (traceparent: string, annotate: (attributes: Attributes) => void) => Promise<T>): Promise<T>;
}

let sdk: NodeSDK | null = null; // one per process, whatever the number of roles in it

/** Starts exporting once per process. `close` sends what is buffered. */
export function startTracing(endpoint: string | undefined, service: string): { tracer: Tracer; close: () => Promise<void> } {
  if (endpoint === undefined) return { tracer: contextOnly, close: async () => Promise.resolve() };
  if (sdk === null) {
    sdk = new NodeSDK({ serviceName: service, traceExporter: new OTLPTraceExporter({ url: `${endpoint.replace(/\/$/, "")}/v1/traces` }), instrumentations: [] });
    sdk.start();
  }
  return { tracer: exporting(trace.getTracer(service)), close: closeSdk };
}

const CLOSE_WITHIN_MS = 2_000;
/** Spans are a convenience: a collector that is away neither fails nor delays a shutdown. */
async function closeSdk(): Promise<void> {
  const running = sdk;
  sdk = null;
  await Promise.race([running?.shutdown().catch(() => undefined), sleep(CLOSE_WITHIN_MS, undefined, { ref: false })]);
}

const contextOnly: Tracer = { span: (_name, { parent }, run) => run(parent ?? newTraceparent(), () => undefined) };

const exporting = (tracer: OtelTracer): Tracer => ({
  async span(name, { kind, parent, attributes }, run) {
    const parentContext = parent === null ? context.active() : trace.setSpanContext(context.active(), remote(parent));
    const span = tracer.startSpan(name, { kind: SpanKind[kind], ...(attributes ? { attributes } : {}) }, parentContext);
    try {
      return await run(format(span), (found) => void span.setAttributes(found));
    } catch (error) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.name : "unknown" });
      throw error;
    } finally {
      span.end();
    }
  },
});

function format(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
}

function remote(traceparent: string) {
  const [, traceId = "", spanId = "", flags = "00"] = traceparent.split("-");
  return { traceId, spanId, traceFlags: parseInt(flags, 16) & TraceFlags.SAMPLED, isRemote: true };
}
