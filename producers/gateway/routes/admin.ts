/**
 * Tenants, keys and what was changed of them. Whoever runs the service (a key of no tenant) does all of it; a tenant's `admin` key sees
 * its own tenant and manages its keys. Another tenant's things are as if they were not there: 404.
 */
import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import type { Pool } from "pg";
import { z } from "zod";

import { ApiKey, CreatedKey, KeyId, NewKey } from "#shared/contracts/apiKey.ts";
import { TenantId } from "#shared/contracts/ids.ts";
import { NewTenant, Tenant, TenantChange } from "#shared/contracts/tenant.ts";
import { AdminAuditRow, readAdminAudit } from "#shared/tenancy/adminAudit.ts";
import { createKey, listKeys, revokeKey } from "#shared/tenancy/keys.ts";
import { changeTenant, createTenant, listTenants } from "#shared/tenancy/tenants.ts";

import { actorOf, config, errors, ofTenant, requireOperator, requireTenant, rightsIn, secretOrThrow } from "../adminRights.ts";

export interface AdminDeps {
  readonly pool: Pool;
  /** `null`: INFER_SECRET is not set, so no key can be made. */
  readonly pepper: Buffer | null;
}

const ofKey = z.object({ key_id: KeyId });
const page = { limit: z.coerce.number().int().min(1).max(1_000).default(100) };

export const adminRoutes = ({ pool, pepper }: AdminDeps): FastifyPluginCallbackZod => (app, _options, done) => {
  const tags = ["admin"];
  const rightsOf = rightsIn(pool);
  const pepperOrThrow = () => secretOrThrow(pepper, "keys cannot be made");

  app.get("/tenants", { schema: { summary: "Tenants, in the order of their ids", tags, querystring: z.strictObject({ after: TenantId.optional(), ...page }), response: { 200: z.object({ tenants: z.array(Tenant) }), ...errors } }, config },
    async ({ principal, query }) => ({ tenants: await listTenants(rightsOf(principal), query) }));
  app.post("/tenants", { schema: { summary: "Make a tenant", description: "For whoever runs the service.", tags, body: NewTenant, response: { 201: Tenant, ...errors } }, config },
    async ({ principal, body }, reply) => {
      requireOperator(principal);
      return reply.code(201).send(await createTenant(rightsOf(principal), actorOf(principal), body));
    });
  app.get("/tenants/:tenant_id", { schema: { summary: "One of them", tags, params: ofTenant, response: { 200: Tenant, ...errors } }, config },
    async ({ principal, params }) => requireTenant(pool, principal, params.tenant_id));
  app.patch("/tenants/:tenant_id", { schema: { summary: "Change a tenant", description: "What is not named stays; a group of settings that is named is replaced as a whole. For whoever runs the service: limits are what a tenant is held to.", tags, params: ofTenant, body: TenantChange, response: { 200: Tenant, ...errors } }, config },
    async ({ principal, params, body }) => {
      await requireTenant(pool, principal, params.tenant_id);
      requireOperator(principal);
      return changeTenant(rightsOf(principal), actorOf(principal), params.tenant_id, () => body);
    });

  app.get("/tenants/:tenant_id/keys", { schema: { summary: "Keys of a tenant, without their secrets", tags, params: ofTenant, response: { 200: z.object({ keys: z.array(ApiKey) }), ...errors } }, config },
    async ({ principal, params }) => {
      await requireTenant(pool, principal, params.tenant_id);
      return { keys: await listKeys(rightsOf(principal), params.tenant_id) };
    });
  app.post("/tenants/:tenant_id/keys", { schema: { summary: "Make a key of a tenant", description: "`key` is told this once. Two keys of a name may live at a time, so that one can replace the other.", tags, params: ofTenant, body: NewKey, response: { 201: CreatedKey, ...errors } }, config },
    async ({ principal, params, body }, reply) => {
      await requireTenant(pool, principal, params.tenant_id);
      return reply.code(201).send(await createKey(rightsOf(principal), actorOf(principal), pepperOrThrow(), params.tenant_id, body));
    });
  app.delete("/tenants/:tenant_id/keys/:key_id", { schema: { summary: "Revoke a key", description: "Safe to repeat. It is refused within 30 s, everywhere.", tags, params: ofTenant.extend(ofKey.shape), response: { 200: ApiKey, ...errors } }, config },
    async ({ principal, params }) => {
      await requireTenant(pool, principal, params.tenant_id);
      return revokeKey(rightsOf(principal), actorOf(principal), params.tenant_id, params.key_id);
    });

  app.get("/keys", { schema: { summary: "Keys of whoever runs the service", tags, response: { 200: z.object({ keys: z.array(ApiKey) }), ...errors } }, config },
    async ({ principal }) => {
      requireOperator(principal);
      return { keys: await listKeys(rightsOf(principal), null) };
    });
  app.post("/keys", { schema: { summary: "Make a key of whoever runs the service", tags, body: NewKey, response: { 201: CreatedKey, ...errors } }, config },
    async ({ principal, body }, reply) => {
      requireOperator(principal);
      return reply.code(201).send(await createKey(rightsOf(principal), actorOf(principal), pepperOrThrow(), null, body));
    });
  app.delete("/keys/:key_id", { schema: { summary: "Revoke one of them", tags, params: ofKey, response: { 200: ApiKey, ...errors } }, config },
    async ({ principal, params }) => {
      requireOperator(principal);
      return revokeKey(rightsOf(principal), actorOf(principal), null, params.key_id);
    });

  app.get("/audit", { schema: { summary: "Who changed what of tenants and keys, the latest first", tags, querystring: z.strictObject({ tenant_id: TenantId.optional(), before: z.coerce.number().int().positive().optional(), ...page }), response: { 200: z.object({ changes: z.array(AdminAuditRow) }), ...errors } }, config },
    async ({ principal, query: { tenant_id, ...rest } }) => {
      if (tenant_id !== undefined) await requireTenant(pool, principal, tenant_id);
      return { changes: await readAdminAudit(rightsOf(principal), { tenantId: tenant_id, ...rest }) };
    });
  done();
};
