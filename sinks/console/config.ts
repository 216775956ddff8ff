import { NATS_VARIABLES, pick } from "#shared/runtime/loadConfig.ts";

export const ConsoleConfig = pick(...NATS_VARIABLES, "REDIS_URL", "DATABASE_URL", "INFER_PREFIX", "INFER_TIERS_FILE", "INFER_PRICES_FILE", "INFER_HTTP_HOST", "INFER_CONSOLE_PORT", "INFER_AUTH", "INFER_SECRET")
  .refine((env) => env.INFER_AUTH !== "keys" || env.INFER_SECRET !== undefined, { path: ["INFER_SECRET"], error: "API keys are checked with it: set it as the gateway has it" })
  .transform((env) => ({
    natsUrl: env.NATS_URL, redisUrl: env.REDIS_URL, databaseUrl: env.DATABASE_URL, prefix: env.INFER_PREFIX, tiersFile: env.INFER_TIERS_FILE, pricesFile: env.INFER_PRICES_FILE,
    host: env.INFER_HTTP_HOST, port: env.INFER_CONSOLE_PORT, isKeyless: env.INFER_AUTH !== "keys", secret: env.INFER_SECRET ?? null,
  }));
