import { allowanceOf } from "#shared/reach/target.ts";
import { NATS_VARIABLES, pick } from "#shared/runtime/loadConfig.ts";
import { TRACE_VARIABLES, traceSettings } from "#shared/telemetry/traceSettings.ts";

export const WorkerConfig = pick(
  ...NATS_VARIABLES, "REDIS_URL", ...TRACE_VARIABLES, "INFER_PREFIX", "INFER_TIERS_FILE", "INFER_PRICES_FILE", "INFER_LOCAL_MODELS_DIR", "INFER_HTTP_HOST",
  "INFER_WORKER_PORT", "INFER_WORKER_TIER", "INFER_DEFAULT_DEADLINE_MS", "INFER_MAX_DEADLINE_MS", "INFER_AUTH", "INFER_SECRET", "INFER_BACKEND_ALLOW",
).transform((env) => ({
  natsUrl: env.NATS_URL, redisUrl: env.REDIS_URL, tracing: traceSettings(env), prefix: env.INFER_PREFIX, tiersFile: env.INFER_TIERS_FILE, pricesFile: env.INFER_PRICES_FILE,
  localModelsDir: env.INFER_LOCAL_MODELS_DIR, host: env.INFER_HTTP_HOST, firstPort: env.INFER_WORKER_PORT, tierName: env.INFER_WORKER_TIER,
  defaultDeadlineMs: env.INFER_DEFAULT_DEADLINE_MS, maxDeadlineMs: env.INFER_MAX_DEADLINE_MS, secret: env.INFER_SECRET ?? null,
  backendAllowance: allowanceOf(env.INFER_BACKEND_ALLOW, { isKeyless: env.INFER_AUTH === "keyless" }),
}));
