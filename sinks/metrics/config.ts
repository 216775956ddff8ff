import { NATS_VARIABLES, pick } from "#shared/runtime/loadConfig.ts";

export const MetricsSinkConfig = pick(...NATS_VARIABLES, "OTEL_EXPORTER_OTLP_ENDPOINT", "INFER_PREFIX", "INFER_HTTP_HOST", "INFER_METRICS_SINK_PORT").transform((env) => ({
  natsUrl: env.NATS_URL, otlpEndpoint: env.OTEL_EXPORTER_OTLP_ENDPOINT, prefix: env.INFER_PREFIX, host: env.INFER_HTTP_HOST, port: env.INFER_METRICS_SINK_PORT,
}));
