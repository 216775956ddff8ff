/** What is traced, and where it goes. The same for all roles. */
export interface TraceSettings {
  /** Of a collector: OTLP over HTTP. */
  readonly endpoint: string;
  /** Of traces that begin here, in [0, 1]. */
  readonly share: number;
  /** A request that took longer is kept whatever was drawn, in milliseconds. */
  readonly slowMs: number;
  /** Prompts and answers of tenants that have prompts stored may be in spans. */
  readonly tracesContent: boolean;
  /** Longest wait for a batch of spans to fill, in milliseconds. */
  readonly exportEveryMs: number;
}

export const TRACE_VARIABLES = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_BSP_SCHEDULE_DELAY", "INFER_TRACE_SHARE", "INFER_TRACE_SLOW_MS", "INFER_TRACE_CONTENT"] as const;
interface TraceEnvironment {
  readonly OTEL_EXPORTER_OTLP_ENDPOINT?: string | undefined;
  readonly OTEL_BSP_SCHEDULE_DELAY: number;
  readonly INFER_TRACE_SHARE: number;
  readonly INFER_TRACE_SLOW_MS: number;
  readonly INFER_TRACE_CONTENT: "yes" | "no";
}
/** `undefined`: no spans are made. */
export const traceSettings = (env: TraceEnvironment): TraceSettings | undefined =>
  env.OTEL_EXPORTER_OTLP_ENDPOINT === undefined ? undefined : {
    endpoint: env.OTEL_EXPORTER_OTLP_ENDPOINT, share: env.INFER_TRACE_SHARE, slowMs: env.INFER_TRACE_SLOW_MS, tracesContent: env.INFER_TRACE_CONTENT === "yes", exportEveryMs: env.OTEL_BSP_SCHEDULE_DELAY,
  };
