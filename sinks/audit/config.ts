import { NATS_VARIABLES, pick } from "#shared/runtime/loadConfig.ts";
import { TRACE_VARIABLES, traceSettings } from "#shared/telemetry/traceSettings.ts";

export const AuditSinkConfig = pick(
  ...NATS_VARIABLES, "DATABASE_URL", ...TRACE_VARIABLES, "INFER_PREFIX", "INFER_HTTP_HOST", "INFER_AUDIT_SINK_PORT",
  "INFER_AUDIT_RETENTION_DAYS", "INFER_LEDGER_RETENTION_DAYS", "INFER_AUDIT_BATCH_SIZE", "INFER_AUDIT_BATCH_DELAY_MS", "INFER_RECONCILE_EVERY_S",
).transform((env) => ({
  natsUrl: env.NATS_URL, databaseUrl: env.DATABASE_URL, tracing: traceSettings(env), prefix: env.INFER_PREFIX,
  host: env.INFER_HTTP_HOST, port: env.INFER_AUDIT_SINK_PORT, retentionDays: env.INFER_AUDIT_RETENTION_DAYS, ledgerRetentionDays: env.INFER_LEDGER_RETENTION_DAYS,
  batchSize: env.INFER_AUDIT_BATCH_SIZE, batchDelayMs: env.INFER_AUDIT_BATCH_DELAY_MS, reconcileEveryS: env.INFER_RECONCILE_EVERY_S,
}));
