/**
 * The users as nats-server reads them: a file that its own configuration includes. JSON, which its format takes as it is. Pure.
 * Two kinds of accounts: one that holds the streams and the roles, and one per tenant, which sees of the first what is
 * imported for it (ADR 0016).
 */
import { type PermissionOptions, type Permissions, rolePermissions, type RoleUser, tenantCrossing, tenantPermissions } from "#shared/messaging/permissions.ts";

import type { NatsUser } from "./userList.ts";

/** Also of the folder that the server keeps the streams in. */
export const SERVICES_ACCOUNT = "INFER";

/**
 * Of one tenant's account, per server: what its callers need many times over, and less than what would take the server from others. Publishes may have
 * the server's own most, of which a request's text is 240 KiB. It has no JetStream of its own, so it stores nothing but what services let it publish.
 */
export const TENANT_LIMITS = { max_connections: 64, max_subscriptions: 256, max_payload: 2 ** 20 } as const;

/** Throws when there is nobody: a server without users would let everybody in. */
export function serverUsers(users: readonly NatsUser[], options: PermissionOptions): string {
  if (!users.some(({ kind }) => kind === "role")) throw new Error("there are no users of roles: the server would be open to all");
  const roles = users.flatMap((user) => (user.kind === "role" && isServed(user.role, options) ? [user] : []));
  const tenants = new Map<string, NatsUser[]>();
  for (const user of users) if (user.kind === "tenant") tenants.set(user.tenant_id, [...(tenants.get(user.tenant_id) ?? []), user]);
  const accounts = {
    [SERVICES_ACCOUNT]: servicesAccount(roles, options),
    ...Object.fromEntries([...tenants].map(([tenantId, own]) => [`tenant-${tenantId}`, tenantAccount(tenantId, own, options.prefix)])),
  };
  return `# Made by: inferctl nats-users. Changes are lost; make them there.\naccounts: ${JSON.stringify(accounts, null, 2)}\n`;
}

/** A worker's user stays in the list when its tier is gone, and may do nothing. */
const isServed = (role: string, { tiers }: PermissionOptions): role is RoleUser => !role.startsWith("worker-") || tiers.includes(role.slice("worker-".length));

function servicesAccount(roles: readonly { readonly role: string; readonly public_key: string }[], options: PermissionOptions): object {
  const { services, streams } = tenantCrossing(options.prefix, "*");
  return {
    jetstream: "enabled",
    users: roles.map(({ role, public_key }) => userWith(public_key, rolePermissions(role as RoleUser, options))),
    exports: [...services.map((service) => ({ service })), ...streams.map((stream) => ({ stream }))],
  };
}

function tenantAccount(tenantId: string, own: readonly NatsUser[], prefix: string): object {
  const { services, streams } = tenantCrossing(prefix, tenantId);
  const from = (subject: string) => ({ account: SERVICES_ACCOUNT, subject });
  return {
    limits: TENANT_LIMITS,
    users: own.map(({ public_key }) => userWith(public_key, tenantPermissions(prefix, tenantId))),
    imports: [...services.map((subject) => ({ service: from(subject) })), ...streams.map((subject) => ({ stream: from(subject) }))],
  };
}

const userWith = (nkey: string, { publish, subscribe }: Permissions): object => ({ nkey, permissions: { publish: { allow: publish }, subscribe: { allow: subscribe } } });
