/** Who may use the service, how much of it, and what is kept of what they ask. Set by whoever runs the service; a tenant reads its own. */
import { z } from "zod";

import { TenantId } from "./ids.ts";
import { Probability } from "./probability.ts";
import { wellFormed } from "./text.ts";
import { TierName } from "./tiers.ts";
import { TimeZone } from "./timeZone.ts";

/** A token bucket: refilled with `rate` per `per`, never above `burst`. */
const RateLimit = z.strictObject({
  rate: z.number().positive().max(1e9).describe("What flows back in each `per`."),
  per: z.enum(["second", "minute"]).default("second"),
  burst: z.number().min(1).max(1e9).describe("Most that can be taken at once, after a pause."),
});
export type RateLimit = z.infer<typeof RateLimit>;

/** Of one scope: all limits that are named hold. */
const ScopeLimits = z.strictObject({
  requests: RateLimit.optional(),
  tokens: RateLimit.optional().describe("Tokens of the input as estimated, and the most that may be written, both counted when the request is accepted."),
});

/** Of a calendar day or month. */
const Budget = z.strictObject({
  usd: z.number().positive().max(1_000_000).describe("What may be spent in the window, in USD."),
  kind: z.enum(["hard", "soft"]).default("hard").describe("`hard`: nothing is spent beyond it. `soft`: what goes beyond it is let through, and said."),
});
export type Budget = z.infer<typeof Budget>;
/** Of one scope: all budgets that are named hold. */
const ScopeBudgets = z.strictObject({ day: Budget.optional(), month: Budget.optional() });
/** How far quality may be given up so that the money lasts to the end of the window. */
export const Pacing = z.enum(["above_floor", "below_floor"]);
export type Pacing = z.infer<typeof Pacing>;
const PacedBudget = Budget.extend({
  pacing: Pacing.optional().describe("The money lasts to the end of the window, at the best quality that it buys. `above_floor`: but never below the quality floor, so that the budget may end before its window. `below_floor`: money first. Absent: quality as the routing model's floor says until the budget is spent."),
});
const NO_BUDGETS = { time_zone: "UTC", tenant: {}, user: {}, key: {} };

const CacheMode = z.enum(["off", "deterministic", "all"]);
/** Answers for questions that ask the same in other words. */
const SemanticCache = z.strictObject({
  max_false_hit_rate: z.number().positive().max(0.5).default(0.01).describe("Most that two shares may be: of pairs that are different questions, those that would be hits (upper end of the interval in the tenant's stored evaluation); of hits, those that audits found false."),
  audit_share: Probability.default(0.02).describe("Share of hits that are run afterwards, apart from their requests, to see whether the answer does."),
  guard_version: z.int().nonnegative().default(0).describe("Of the guard that was evaluated. The service writes it; what is sent is ignored. Under another guard the semantic cache is off."),
});
export type SemanticCache = z.infer<typeof SemanticCache>;

export const TenantSettings = z.strictObject({
  policy: z.string().min(1).max(64).nullable().default(null).describe("Of requests that name none. `null`: the tier file's default."),
  allowed_tiers: z.array(TierName).min(1).max(64).nullable().default(null).describe("Tiers and embedders that may be asked. `null`: all."),
  limits: z.strictObject({
    tenant: ScopeLimits.default({}).describe("All requests of the tenant together."),
    user: ScopeLimits.default({}).describe("Each `user_id`."),
    key: ScopeLimits.default({}).describe("Each API key."),
  }).default({ tenant: {}, user: {}, key: {} }),
  budgets: z.strictObject({
    time_zone: TimeZone.default("UTC").describe("By whose calendar days and months begin."),
    tenant: z.strictObject({ day: PacedBudget.optional(), month: PacedBudget.optional() }).default({}).describe("All requests of the tenant together."),
    user: ScopeBudgets.default({}).describe("Each `user_id`."),
    key: ScopeBudgets.default({}).describe("Each API key."),
  }).default(NO_BUDGETS),
  cache: z.strictObject({
    mode: CacheMode.default("off").describe("`deterministic`: answers that would come out the same again (temperature 0, vectors, models in the process). `all`: any finished answer."),
    ttl_s: z.int().min(1).max(30 * 86_400).default(3_600).describe("An answer is served this long."),
    semantic: SemanticCache.optional().describe("Also for questions that ask the same in other words. Absent: off. Refused without a stored evaluation (`inferctl cache evaluate --store`)."),
  }).default({ mode: "off", ttl_s: 3_600 }),
  retention: z.strictObject({
    prompts: z.enum(["hashed", "stored"]).default("hashed").describe("What the audit keeps of what was asked: its SHA-256, or the text."),
    outputs: z.enum(["stored", "hashed"]).optional().describe("What audit rows keep of answers: the text, or its SHA-256. Absent: the text. The audit stream has answers for its time in any case, since whoever asks again is given the same."),
    days: z.int().min(1).max(3_650).nullable().default(null).describe("Audit rows older than this are deleted. `null`: as INFER_AUDIT_RETENTION_DAYS says."),
  }).default({ prompts: "hashed", days: null }),
});
export type TenantSettings = z.infer<typeof TenantSettings>;
export const DEFAULT_SETTINGS: TenantSettings = TenantSettings.parse({});

/**
 * Settings as they are stored, perhaps by a newer version: what is not known here is left out, so that an upgrade shuts no tenant out of
 * the processes that are not upgraded yet. Throws a `ZodError` for anything else that is wrong.
 */
export function readSettings(stored: unknown): TenantSettings {
  const { data, error } = TenantSettings.safeParse(stored);
  if (data !== undefined) return data;
  const known = structuredClone(stored);
  for (const issue of error.issues) {
    if (issue.code !== "unrecognized_keys") continue;
    const group = issue.path.reduce<unknown>((at, step) => (at as Record<PropertyKey, unknown>)[step], known) as Record<string, unknown>;
    for (const name of issue.keys) Reflect.deleteProperty(group, name);
  }
  return TenantSettings.parse(known);
}

export const TenantStatus = z.enum(["active", "suspended"]);
export type TenantStatus = z.infer<typeof TenantStatus>;

export const Tenant = z.strictObject({
  tenant_id: TenantId,
  name: wellFormed(z.string().min(1).max(128)),
  status: TenantStatus,
  settings: TenantSettings,
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
});
export type Tenant = z.infer<typeof Tenant>;

/** What of a tenant may be changed. What is not named stays; a group of settings that is named is replaced as a whole. */
export const TenantChange = z.strictObject({
  name: Tenant.shape.name.optional(),
  status: TenantStatus.optional(),
  settings: z.strictObject({
    policy: TenantSettings.shape.policy.unwrap().optional(),
    allowed_tiers: TenantSettings.shape.allowed_tiers.unwrap().optional(),
    limits: TenantSettings.shape.limits.unwrap().optional(),
    budgets: TenantSettings.shape.budgets.unwrap().optional(),
    cache: TenantSettings.shape.cache.unwrap().optional(),
    retention: TenantSettings.shape.retention.unwrap().optional(),
  }).optional(),
});
export type TenantChange = z.infer<typeof TenantChange>;
export const NewTenant = z.strictObject({ tenant_id: TenantId, name: Tenant.shape.name.optional(), settings: TenantChange.shape.settings });
export type NewTenant = z.infer<typeof NewTenant>;
