/** Tenants in Postgres: made, changed and read. Each change has its line in the admin audit, in the same transaction. */
import type { PoolClient } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import { DEFAULT_SETTINGS, type NewTenant, readSettings, type Tenant, type TenantChange, TenantSettings, type TenantStatus } from "#shared/contracts/tenant.ts";

import { type Actor, writeAdminAudit } from "./adminAudit.ts";
import { isoOf, noSuchTenant, type Rights, withRights } from "./database.ts";
import { approved } from "./semanticCache.ts";

interface TenantRow {
  readonly tenant_id: string;
  readonly name: string;
  readonly status: TenantStatus;
  readonly settings: unknown;
  readonly created_at: Date;
  readonly updated_at: Date;
}
const COLUMNS = "tenant_id, name, status, settings, created_at, updated_at";
const toTenant = ({ settings, created_at, updated_at, ...rest }: TenantRow): Tenant => ({ ...rest, settings: readSettings(settings), created_at: isoOf(created_at), updated_at: isoOf(updated_at) });

/** Throws `conflict` when it is there already, or is to have a semantic cache that was not evaluated. */
export const createTenant = (rights: Rights, actor: Actor, { tenant_id, name = tenant_id, settings = {} }: NewTenant): Promise<Tenant> =>
  withRights(rights, async (client) => {
    const whole = await allowed(client, tenant_id, DEFAULT_SETTINGS, settings);
    const { rows: [row] } = await client.query<TenantRow>(`INSERT INTO tenants (tenant_id, name, status, settings) VALUES ($1, $2, 'active', $3) ON CONFLICT DO NOTHING RETURNING ${COLUMNS}`, [tenant_id, name, JSON.stringify(whole)]);
    if (row === undefined) throw new AppError("conflict", `there is a tenant ${tenant_id} already`);
    await writeAdminAudit(client, actor, { tenantId: tenant_id, action: "tenant.create", object: tenant_id, change: { name, settings: whole } });
    return toTenant(row);
  });

/**
 * What is not named stays. `changeOf` is told what there is, which nobody changes meanwhile, so of two changes none is lost. Throws what it
 * throws, `not_found`, and `conflict` when the semantic cache may not be switched on.
 */
export const changeTenant = (rights: Rights, actor: Actor, tenantId: string, changeOf: (before: Tenant) => TenantChange): Promise<Tenant> =>
  withRights(rights, async (client) => {
    const before = await lockTenant(client, tenantId);
    const change = changeOf(before);
    const { name = before.name, status = before.status, settings = {} } = change;
    const whole = await allowed(client, tenantId, before.settings, settings);
    const { rows: [row] } = await client.query<TenantRow>(`UPDATE tenants SET name = $2, status = $3, settings = $4, updated_at = now() WHERE tenant_id = $1 RETURNING ${COLUMNS}`, [tenantId, name, status, JSON.stringify(whole)]);
    if (row === undefined) throw noSuchTenant(tenantId);
    await writeAdminAudit(client, actor, { tenantId, action: "tenant.change", object: tenantId, change });
    return toTenant(row);
  });

/** `null` when there is none, or it is not one that these rights show. */
export const readTenant = (rights: Rights, tenantId: string): Promise<Tenant | null> =>
  withRights(rights, async (client) => {
    const { rows: [row] } = await client.query<TenantRow>(`SELECT ${COLUMNS} FROM tenants WHERE tenant_id = $1`, [tenantId]);
    return row === undefined ? null : toTenant(row);
  });

export interface Page {
  /** Ids after this one. */
  readonly after?: string | undefined;
  readonly limit: number;
}
/** In the order of their ids. */
export const listTenants = (rights: Rights, { after = "", limit }: Page): Promise<Tenant[]> =>
  withRights(rights, async (client) => {
    const { rows } = await client.query<TenantRow>(`SELECT ${COLUMNS} FROM tenants WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2`, [after, limit]);
    return rows.map(toTenant);
  });

/** Keeps others from changing it, or its keys, until the transaction has ended. Throws `not_found`. */
async function lockTenant(client: PoolClient, tenantId: string): Promise<Tenant> {
  const { rows: [row] } = await client.query<TenantRow>(`SELECT ${COLUMNS} FROM tenants WHERE tenant_id = $1 FOR UPDATE`, [tenantId]);
  if (row === undefined) throw noSuchTenant(tenantId);
  return toTenant(row);
}

/**
 * The settings after a change. Who switches the semantic cache on, or changes what was approved, is told whether it may be on; what is sent
 * back as it was read stays as it is, so that a tenant whose approval is outdated may change all else.
 */
async function allowed(client: PoolClient, tenantId: string, before: TenantSettings, change: NonNullable<TenantChange["settings"]>): Promise<TenantSettings> {
  const whole = TenantSettings.parse(changed(before, change));
  const { mode, semantic } = whole.cache;
  if (change.cache === undefined || semantic === undefined) return whole;
  const had = before.cache.semantic;
  const isNamed = semantic.guard_version > 0; // a version that is not named is none that was read
  const isAsItWas = before.cache.mode !== "off" && isNamed && had?.guard_version === semantic.guard_version && had.max_false_hit_rate === semantic.max_false_hit_rate;
  const stored = mode === "off" || isAsItWas ? { ...semantic, guard_version: had?.guard_version ?? 0 } : await approved(client, tenantId, semantic);
  return { ...whole, cache: { ...whole.cache, semantic: stored } };
}

function changed(before: TenantSettings, change: NonNullable<TenantChange["settings"]>): TenantSettings {
  const named = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
  return { ...before, ...named };
}
