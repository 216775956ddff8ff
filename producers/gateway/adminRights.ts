import type { Pool } from "pg";
import { z } from "zod";

import type { Principal } from "#shared/contracts/apiKey.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { TenantId } from "#shared/contracts/ids.ts";
import { ErrorReply } from "#shared/contracts/reply.ts";
import type { Tenant } from "#shared/contracts/tenant.ts";
import type { Actor } from "#shared/tenancy/adminAudit.ts";
import { noSuchTenant, type Rights } from "#shared/tenancy/database.ts";
import { readTenant } from "#shared/tenancy/tenants.ts";

/** What the routes of `/admin` have in common: their answers when refused, the path of a tenant, the role that they need. */
export const errors = { "4xx": ErrorReply, "5xx": ErrorReply };
export const ofTenant = z.object({ tenant_id: TenantId });
export const config = { role: "admin" as const };

export const actorOf = ({ key_id }: Principal): Actor => (key_id === null ? { kind: "keyless" } : { kind: "key", keyId: key_id });
export const rightsIn = (pool: Pool) => ({ tenant_id }: Principal): Rights => ({ pool, tenantId: tenant_id });

/** Before what it may do: of another tenant nobody hears even that it is there. */
export async function requireTenant(pool: Pool, principal: Principal, tenantId: string): Promise<Tenant> {
  const isOwn = principal.tenant_id === null || principal.tenant_id === tenantId;
  const tenant = isOwn ? await readTenant(rightsIn(pool)(principal), tenantId) : null;
  if (tenant === null) throw noSuchTenant(tenantId);
  return tenant;
}

/** `key`: made from INFER_SECRET; `null` where that is not set. `problem`: what cannot be done without. */
export function secretOrThrow(key: Buffer | null, problem: string): Buffer {
  if (key === null) throw new AppError("conflict", `${problem}: INFER_SECRET is not set`);
  return key;
}

export function requireOperator({ tenant_id }: Principal): void {
  if (tenant_id !== null) throw new AppError("forbidden", "this is for whoever runs the service: a tenant's key cannot do it");
}
