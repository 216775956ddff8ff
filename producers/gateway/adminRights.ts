import type { Pool } from "pg";

import type { Principal } from "#shared/contracts/apiKey.ts";
import type { Tenant } from "#shared/contracts/tenant.ts";
import type { Actor } from "#shared/tenancy/adminAudit.ts";
import { noSuchTenant, type Rights } from "#shared/tenancy/database.ts";
import { readTenant } from "#shared/tenancy/tenants.ts";

export const actorOf = ({ key_id }: Principal): Actor => (key_id === null ? { kind: "keyless" } : { kind: "key", keyId: key_id });
export const rightsIn = (pool: Pool) => ({ tenant_id }: Principal): Rights => ({ pool, tenantId: tenant_id });

/** Before what it may do: of another tenant nobody hears even that it is there. */
export async function requireTenant(pool: Pool, principal: Principal, tenantId: string): Promise<Tenant> {
  const isOwn = principal.tenant_id === null || principal.tenant_id === tenantId;
  const tenant = isOwn ? await readTenant(rightsIn(pool)(principal), tenantId) : null;
  if (tenant === null) throw noSuchTenant(tenantId);
  return tenant;
}
