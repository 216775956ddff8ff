/** Endpoints of webhooks in Postgres: made, changed, read. Each change has its line in the admin audit, in the same transaction. */
import { randomBytes } from "node:crypto";

import type { PoolClient } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import type { EndpointStatus, EndpointWithSecret, WebhookEndpoint } from "#shared/contracts/webhook.ts";
import { type Actor, writeAdminAudit } from "#shared/tenancy/adminAudit.ts";
import { isoOf, isoOrNull, noSuchTenant, type Rights, withRights } from "#shared/tenancy/database.ts";

import { newSecret, seal } from "./secrets.ts";

interface EndpointRow {
  readonly endpoint_id: string;
  readonly tenant_id: string;
  readonly url: string;
  readonly status: EndpointStatus;
  readonly rotating_until: Date | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}
const COLUMNS = "endpoint_id, tenant_id, url, status, CASE WHEN former_until > now() THEN former_until END AS rotating_until, created_at, updated_at";
const toEndpoint = ({ rotating_until, created_at, updated_at, ...rest }: EndpointRow): WebhookEndpoint => ({ ...rest, rotating_until: isoOrNull(rotating_until), created_at: isoOf(created_at), updated_at: isoOf(updated_at) });

/** An event becomes one row for each, in the transaction that records the request. */
const MOST_ENDPOINTS = 10;
const ROTATION_HOURS = 24;
/** One that was removed keeps its row, without its secrets: its deliveries name it. */
const THIS_ONE = "tenant_id = $1 AND endpoint_id = $2 AND status <> 'removed'";

/** `url` must have been judged (`problemOfTarget`). Throws `conflict` when the tenant has ten already or one with this URL; `not_found` when there is no such tenant. */
export const createEndpoint = (rights: Rights, actor: Actor, key: Buffer, tenantId: string, url: string): Promise<EndpointWithSecret> =>
  withRights(rights, async (client) => {
    await client.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`webhooks of ${tenantId}`]);
    if ((await client.query("SELECT 1 FROM tenants WHERE tenant_id = $1", [tenantId])).rowCount === 0) throw noSuchTenant(tenantId);
    const { rows: others } = await client.query<Pick<EndpointRow, "endpoint_id" | "url">>("SELECT endpoint_id, url FROM webhook_endpoints WHERE tenant_id = $1 AND status <> 'removed'", [tenantId]);
    const same = others.find((other) => other.url === url);
    if (same !== undefined) throw new AppError("conflict", `${same.endpoint_id} has this URL already`);
    if (others.length >= MOST_ENDPOINTS) throw new AppError("conflict", `a tenant has at most ${MOST_ENDPOINTS} endpoints: remove one`);
    const endpointId = `we_${randomBytes(10).toString("hex")}`;
    const secret = newSecret();
    const { rows: [row] } = await client.query<EndpointRow>(
      `INSERT INTO webhook_endpoints (endpoint_id, tenant_id, url, status, secret_sealed) VALUES ($1, $2, $3, 'active', $4) RETURNING ${COLUMNS}`,
      [endpointId, tenantId, url, seal(key, endpointId, secret)],
    );
    await writeAdminAudit(client, actor, { tenantId, action: "webhook.create", object: endpointId, change: { url } });
    return { ...toEndpoint(found(row, endpointId)), secret };
  });

/** A new secret. Events are signed with both for a day, so that the receiver can change over. Throws `not_found`. */
export const rotateEndpoint = (rights: Rights, actor: Actor, key: Buffer, tenantId: string, endpointId: string): Promise<EndpointWithSecret> =>
  withRights(rights, async (client) => {
    const secret = newSecret();
    const { rows: [row] } = await client.query<EndpointRow>(
      `UPDATE webhook_endpoints SET former_sealed = secret_sealed, former_until = now() + interval '${ROTATION_HOURS} hours', secret_sealed = $3, updated_at = now() WHERE ${THIS_ONE} RETURNING ${COLUMNS}`,
      [tenantId, endpointId, seal(key, endpointId, secret)],
    );
    const endpoint = toEndpoint(found(row, endpointId));
    await writeAdminAudit(client, actor, { tenantId, action: "webhook.rotate", object: endpointId, change: { former_until: endpoint.rotating_until } });
    return { ...endpoint, secret };
  });

/** Safe to repeat. Throws `not_found`. */
export const setEndpointStatus = (rights: Rights, actor: Actor, tenantId: string, endpointId: string, status: EndpointStatus): Promise<WebhookEndpoint> =>
  withRights(rights, async (client) => toEndpoint(found(await changeStatus(client, actor, { tenantId, endpointId, status }), endpointId)));

/** In the transaction of whoever calls. */
export async function changeStatus(client: PoolClient, actor: Actor, { tenantId, endpointId, status }: { readonly tenantId: string; readonly endpointId: string; readonly status: EndpointStatus }): Promise<EndpointRow | undefined> {
  const { rows: [changed] } = await client.query<EndpointRow>(`UPDATE webhook_endpoints SET status = $3, updated_at = now() WHERE ${THIS_ONE} AND status <> $3 RETURNING ${COLUMNS}`, [tenantId, endpointId, status]);
  if (changed !== undefined) {
    await writeAdminAudit(client, actor, { tenantId, action: status === "active" ? "webhook.enable" : "webhook.disable", object: endpointId, change: {} });
    return changed;
  }
  return (await client.query<EndpointRow>(`SELECT ${COLUMNS} FROM webhook_endpoints WHERE ${THIS_ONE}`, [tenantId, endpointId])).rows[0];
}

/** What is still to be sent to it goes to the dead letters. Throws `not_found`, also when it was removed before. */
export const removeEndpoint = (rights: Rights, actor: Actor, tenantId: string, endpointId: string): Promise<void> =>
  withRights(rights, async (client) => {
    const { rowCount } = await client.query(`UPDATE webhook_endpoints SET status = 'removed', secret_sealed = '', former_sealed = NULL, former_until = NULL, updated_at = now() WHERE ${THIS_ONE}`, [tenantId, endpointId]);
    if (rowCount === 0) throw noSuchEndpoint(endpointId);
    await writeAdminAudit(client, actor, { tenantId, action: "webhook.remove", object: endpointId, change: {} });
  });

/** In the order in which they were made. */
export const listEndpoints = (rights: Rights, tenantId: string): Promise<WebhookEndpoint[]> =>
  withRights(rights, async (client) => {
    const { rows } = await client.query<EndpointRow>(`SELECT ${COLUMNS} FROM webhook_endpoints WHERE tenant_id = $1 AND status <> 'removed' ORDER BY created_at, endpoint_id`, [tenantId]);
    return rows.map(toEndpoint);
  });

const noSuchEndpoint = (endpointId: string) => new AppError("not_found", `there is no endpoint ${endpointId}`);
function found(row: EndpointRow | undefined, endpointId: string): EndpointRow {
  if (row === undefined) throw noSuchEndpoint(endpointId);
  return row;
}
