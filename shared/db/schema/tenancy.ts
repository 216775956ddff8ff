/** Tenants, their API keys, and who changed what of them. Row-level security and the role `infer_tenant` that it binds are in the migration: see `transaction.ts`. */
import { bigint, index, jsonb, pgTable, text } from "drizzle-orm/pg-core";

import type { KeyRole } from "#shared/contracts/apiKey.ts";
import type { TenantSettings, TenantStatus } from "#shared/contracts/tenant.ts";

import { time } from "./columns.ts";

export const tenants = pgTable("tenants", {
  tenant_id: text().primaryKey(),
  name: text().notNull(),
  status: text().$type<TenantStatus>().notNull(),
  settings: jsonb().$type<TenantSettings>().notNull(),
  created_at: time().notNull().defaultNow(),
  updated_at: time().notNull().defaultNow(),
});

export const apiKeys = pgTable(
  "api_keys",
  {
    key_id: text().primaryKey(),
    /** `null`: of whoever runs the service. */
    tenant_id: text().references(() => tenants.tenant_id),
    role: text().$type<KeyRole>().notNull(),
    name: text().notNull(),
    /** HMAC-SHA256 of the secret, in base64url. */
    secret_hmac: text().notNull(),
    last_four: text().notNull(),
    created_at: time().notNull().defaultNow(),
    expires_at: time(),
    revoked_at: time(),
  },
  (t) => [index("api_keys_by_tenant").on(t.tenant_id, t.name)],
);

/** Who changed what of tenants and keys. Append-only: the migration's triggers refuse all else. */
export const adminAudit = pgTable(
  "admin_audit",
  {
    seq: bigint({ mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
    at: time().notNull().defaultNow(),
    /** `key:<key id>`, `inferctl`, `keyless`, `webhook-sender` or `cache-audit`. */
    actor: text().notNull(),
    tenant_id: text(),
    action: text().notNull(),
    /** Id of what was changed. */
    object: text().notNull(),
    /** Never a secret. */
    change: jsonb().$type<Record<string, unknown>>().notNull(),
  },
  (t) => [index("admin_audit_by_tenant").on(t.tenant_id, t.seq)],
);
