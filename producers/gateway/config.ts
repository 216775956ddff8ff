import { isLoopback } from "#shared/runtime/loopback.ts";
import { NATS_VARIABLES, pick } from "#shared/runtime/loadConfig.ts";
import { allowanceOf } from "#shared/reach/target.ts";

export const GatewayConfig = pick(
  ...NATS_VARIABLES, "REDIS_URL", "DATABASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "INFER_PREFIX", "INFER_TIERS_FILE", "INFER_PRICES_FILE", "INFER_HTTP_HOST", "INFER_GATEWAY_PORT", "INFER_GATEWAY_ADMIN_HOST", "INFER_GATEWAY_ADMIN_PORT", "INFER_CONSOLE_PORT", "INFER_CONSOLE_URL", "INFER_AUTH", "INFER_SECRET",
  "INFER_DEFAULT_DEADLINE_MS", "INFER_MAX_DEADLINE_MS", "INFER_SWEEP_GRACE_MS", "INFER_MAX_QUEUE_MS", "INFER_MAX_CONNECTIONS", "INFER_OPENAI_BUDGET_USD", "INFER_MAX_EVENT_STREAMS", "INFER_BATCH_WINDOW", "INFER_WEBHOOK_ALLOW",
)
  .refine((env) => isLoopback(env.INFER_HTTP_HOST) || env.INFER_AUTH !== "keyless", {
    path: ["INFER_HTTP_HOST"],
    error: "without API keys the gateway listens on loopback only: set INFER_AUTH=keys to serve others",
  })
  .refine((env) => isLoopback(env.INFER_GATEWAY_ADMIN_HOST) || env.INFER_AUTH !== "keyless", {
    path: ["INFER_GATEWAY_ADMIN_HOST"],
    error: "without API keys the gateway is administrated from loopback only: set INFER_AUTH=keys to listen elsewhere",
  })
  .refine((env) => env.INFER_AUTH !== "keys" || env.INFER_SECRET !== undefined, { path: ["INFER_SECRET"], error: "API keys are checked with it: set it to at least 32 characters, the same for all processes (openssl rand -base64 32)" })
  .transform((env) => ({
    natsUrl: env.NATS_URL, redisUrl: env.REDIS_URL, databaseUrl: env.DATABASE_URL, otlpEndpoint: env.OTEL_EXPORTER_OTLP_ENDPOINT, prefix: env.INFER_PREFIX, tiersFile: env.INFER_TIERS_FILE, pricesFile: env.INFER_PRICES_FILE,
    host: env.INFER_HTTP_HOST, port: env.INFER_GATEWAY_PORT, adminHost: env.INFER_GATEWAY_ADMIN_HOST, adminPort: env.INFER_GATEWAY_ADMIN_PORT,
    consoleUrl: env.INFER_CONSOLE_URL ?? `http://${reachable(env.INFER_HTTP_HOST)}:${env.INFER_CONSOLE_PORT}`, isKeyless: env.INFER_AUTH !== "keys", secret: env.INFER_SECRET ?? null,
    defaultDeadlineMs: env.INFER_DEFAULT_DEADLINE_MS, maxDeadlineMs: env.INFER_MAX_DEADLINE_MS, sweepGraceMs: env.INFER_SWEEP_GRACE_MS, maxQueueMs: env.INFER_MAX_QUEUE_MS, maxConnections: env.INFER_MAX_CONNECTIONS,
    openAiBudgetUsd: env.INFER_OPENAI_BUDGET_USD, maxEventStreams: env.INFER_MAX_EVENT_STREAMS, batchWindow: env.INFER_BATCH_WINDOW,
    webhookAllowance: allowanceOf(env.INFER_WEBHOOK_ALLOW, { isKeyless: env.INFER_AUTH === "keyless" }),
  }));

/** Who listens on all addresses is reached on loopback. */
function reachable(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "127.0.0.1";
  return host.includes(":") ? `[${host}]` : host;
}
