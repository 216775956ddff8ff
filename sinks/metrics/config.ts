import { NATS_VARIABLES, pick } from "#shared/runtime/loadConfig.ts";
import { TRACE_VARIABLES, traceSettings } from "#shared/telemetry/traceSettings.ts";

export const MetricsSinkConfig = pick(...NATS_VARIABLES, ...TRACE_VARIABLES, "INFER_PREFIX", "INFER_HTTP_HOST", "INFER_METRICS_SINK_PORT").transform((env) => ({
  natsUrl: env.NATS_URL, tracing: traceSettings(env), prefix: env.INFER_PREFIX, host: env.INFER_HTTP_HOST, port: env.INFER_METRICS_SINK_PORT,
}));
