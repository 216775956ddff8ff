/**
 * Spans, when an OTLP endpoint is configured; without one the trace context still travels (every request has a trace id) and no span is made. Whoever begins
 * a trace decides by its id whether it is taken, and says so in the flag that goes with it, so nothing is made or measured for the others: what turns out
 * to be worth telling of them is told at the end (`keptTrace.ts`, ADR 0035). Baggage is never read, so none is handed on.
 */
import type { Attributes } from "@opentelemetry/api";
import type { Logger } from "pino";

import { AppError, ERROR_CODES } from "#shared/contracts/errors.ts";
import { makeAllowance } from "#shared/runtime/allowance.ts";

import { type FinishedSpan, type Kind, openSpanExport } from "./spanExport.ts";
import type { TraceSettings } from "./traceSettings.ts";
import { isInShare, isSampled, newSpanId, newTraceparent, spanIdOf, traceIdOf, traceparentOf } from "./traceparent.ts";

export interface SpanOptions {
  readonly kind: Kind;
  /** The caller's trace context; `null` starts a trace. */
  readonly parent: string | null;
  /** Contexts that it has to do with, and is no child of. A trace that starts with some is taken where one of theirs is. */
  readonly links?: readonly string[];
  /** A function is called only for a span that is made. */
  readonly attributes?: Attributes | (() => Attributes);
}
/** A name, and all else that a span begins with. */
export type Beginning = readonly [name: string, options: SpanOptions];
export type Annotate = (attributes: Attributes) => void;
export interface Tracer {
  /** Runs `run` inside a span. Its argument is the context to hand on, and a place to put what became known: with `error.type` the span failed. */
  span<T>(name: string, options: SpanOptions, run: (traceparent: string, annotate: Annotate) => Promise<T>): Promise<T>;
  /** Whether what was asked and answered may be put into spans, where its tenant allows it. Default: no. */
  readonly tracesContent?: boolean;
}
export interface Tracing {
  readonly tracer: Tracer;
  /** Of what is told afterwards. */
  readonly record: (span: FinishedSpan) => void;
  /** Sends what is buffered. A collector that is away neither fails nor delays it. */
  readonly close: () => Promise<void>;
}

/** `settings`: absent, no spans are made. */
export function startTracing(settings: TraceSettings | undefined, service: string, log?: Logger): Tracing {
  if (settings === undefined) return { tracer: contextOnly, record: () => undefined, close: async () => Promise.resolve() };
  const { record, close } = openSpanExport(settings, service, log);
  return { tracer: exporting(settings, record), record, close };
}

const nothing = () => undefined;
const contextOnly: Tracer = { span: (_name, { parent }, run) => run(parent ?? newTraceparent(), nothing) };

/** Of calls that failed in a trace that is not taken, told by their SERVER span: a service that refuses all must not be slowed down by telling so. */
const FAILED_AT_MOST = { burst: 50, refillMs: 20 };
const nowMs = () => performance.timeOrigin + performance.now();

function exporting({ share, tracesContent }: Pick<TraceSettings, "share" | "tracesContent">, record: (span: FinishedSpan) => void): Tracer {
  const failures = makeAllowance(FAILED_AT_MOST);

  async function taken<T>(name: string, { kind, parent, links, attributes = {} }: SpanOptions, traceparent: string, run: (traceparent: string, annotate: Annotate) => Promise<T>): Promise<T> {
    const known: Attributes = { ...(typeof attributes === "function" ? attributes() : attributes) };
    const startedAtMs = nowMs();
    try {
      return await run(traceparent, (found) => { Object.assign(known, found); });
    } catch (error) {
      Object.assign(known, errorAttributes(error, kind));
      throw error;
    } finally {
      record({ name, kind, traceparent, parentSpanId: parent === null ? null : spanIdOf(parent), ...(links === undefined ? {} : { links: links.filter(isSampled) }), startedAtMs, endedAtMs: nowMs(), attributes: known });
    }
  }

  /** It has no parent: the caller's span is of a trace that is not taken. */
  async function toldIfFailed<T>(name: string, { kind, attributes = {} }: SpanOptions, traceparent: string, run: (traceparent: string, annotate: Annotate) => Promise<T>): Promise<T> {
    const startedAtMs = nowMs();
    try {
      return await run(traceparent, nothing);
    } catch (error) {
      const failed = errorAttributes(error, kind);
      const withheld = failed["error.type"] === undefined ? null : failures.take(startedAtMs);
      if (withheld !== null) {
        const known = { ...(typeof attributes === "function" ? attributes() : attributes), ...failed, "infer.trace.kept": "error", ...(withheld === 0 ? {} : { "infer.trace.withheld": withheld }) };
        record({ name, kind, traceparent: traceparentOf(traceIdOf(traceparent), newSpanId(), true), parentSpanId: null, startedAtMs, endedAtMs: nowMs(), attributes: known });
      }
      throw error;
    }
  }

  return {
    tracesContent,
    span(name, options, run) {
      const { kind, parent, links } = options;
      if (parent === null) {
        const fresh = newTraceparent();
        const isTaken = links === undefined ? isInShare(traceIdOf(fresh), share) : links.some(isSampled);
        if (isTaken) return taken(name, options, traceparentOf(traceIdOf(fresh), spanIdOf(fresh), true), run);
        return kind === "SERVER" ? toldIfFailed(name, options, fresh, run) : run(fresh, nothing);
      }
      if (isSampled(parent)) return taken(name, options, traceparentOf(traceIdOf(parent), newSpanId(), true), run);
      return kind === "SERVER" ? toldIfFailed(name, options, parent, run) : run(parent, nothing);
    },
  };
}

/** What failed, as a word: never a message, which may quote what was asked. Of a server's span only its own failures are errors, not those of its callers. */
function errorAttributes(error: unknown, kind: Kind): Attributes {
  const type = typeOf(error);
  if (kind !== "SERVER") return { "error.type": type };
  const status = error instanceof AppError ? ERROR_CODES[error.code].httpStatus : 500;
  return { "http.response.status_code": status, ...(status < 500 ? { "infer.error.code": type } : { "error.type": type }) };
}

function typeOf(error: unknown): string {
  if (!(error instanceof Error)) return "_OTHER";
  const { code } = error as Error & { code?: unknown };
  return typeof code === "string" && /^\w{1,60}$/.test(code) ? code : error.name;
}
