import { UsdAmount } from "#shared/contracts/money.ts";
import type { Budget } from "#shared/contracts/tenant.ts";
import type { WindowKind } from "#shared/ledger/windows.ts";
import { NATS_VARIABLES, pick } from "#shared/runtime/loadConfig.ts";
import { TRACE_VARIABLES, traceSettings } from "#shared/telemetry/traceSettings.ts";

const budget = (window: WindowKind, usd: number | undefined, kind: Budget["kind"]): Partial<Record<WindowKind, Budget>> => (usd === undefined ? {} : { [window]: { usd, kind } });

export const RouterConfig = pick(
  ...NATS_VARIABLES, "REDIS_URL", "DATABASE_URL", ...TRACE_VARIABLES, "INFER_PREFIX", "INFER_TIERS_FILE", "INFER_PRICES_FILE", "INFER_HTTP_HOST", "INFER_ROUTER_PORT", "INFER_AUTH", "INFER_SECRET", "INFER_SNAPSHOT_KEYS",
  "INFER_ROUTER_CONCURRENCY", "INFER_DEFAULT_DEADLINE_MS", "INFER_MAX_DEADLINE_MS", "INFER_SWEEP_GRACE_MS", "INFER_MAX_QUEUE_MS", "INFER_SHADOW_SHARE", "INFER_SHADOW_TIERS",
  "INFER_EXPLORE_SHARE", "INFER_EXPLORE_MAX_COST_USD", "INFER_BUDGET_DAY_USD", "INFER_BUDGET_MONTH_USD", "INFER_BUDGET_KIND", "INFER_BUDGET_TIME_ZONE", "INFER_RECONCILE_EVERY_S",
)
  .refine((env) => env.INFER_AUTH !== "keys" || env.INFER_SNAPSHOT_KEYS !== undefined, { path: ["INFER_SNAPSHOT_KEYS"], error: "routers sign with it what passes through workers: set INFER_SNAPSHOT_KEYS_FILE, for routers alone and the same for all of them (openssl rand -hex 32)" })
  .transform((env) => ({
  natsUrl: env.NATS_URL, redisUrl: env.REDIS_URL, databaseUrl: env.DATABASE_URL, isKeyless: env.INFER_AUTH !== "keys", secret: env.INFER_SECRET ?? null, snapshotKeys: env.INFER_SNAPSHOT_KEYS?.split(/[\s,]+/) ?? [], tracing: traceSettings(env), prefix: env.INFER_PREFIX, tiersFile: env.INFER_TIERS_FILE, pricesFile: env.INFER_PRICES_FILE,
  host: env.INFER_HTTP_HOST, port: env.INFER_ROUTER_PORT, concurrency: env.INFER_ROUTER_CONCURRENCY,
  defaultDeadlineMs: env.INFER_DEFAULT_DEADLINE_MS, maxDeadlineMs: env.INFER_MAX_DEADLINE_MS, sweepGraceMs: env.INFER_SWEEP_GRACE_MS, maxQueueMs: env.INFER_MAX_QUEUE_MS, shadowShare: env.INFER_SHADOW_SHARE, shadowTiers: env.INFER_SHADOW_TIERS,
  reconcileEveryS: env.INFER_RECONCILE_EVERY_S,
  globalBudgets: { timeZone: env.INFER_BUDGET_TIME_ZONE, budgets: { ...budget("day", env.INFER_BUDGET_DAY_USD, env.INFER_BUDGET_KIND), ...budget("month", env.INFER_BUDGET_MONTH_USD, env.INFER_BUDGET_KIND) } },
  exploration: { share: env.INFER_EXPLORE_SHARE, maxExtraCostNanoUsd: UsdAmount.parse(env.INFER_EXPLORE_MAX_COST_USD) },
}));
