/** Events on their way to endpoints, one row for each endpoint. What was given up on stays as `dead`: the dead letters of webhooks. */
import type { ClientBase } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import type { DeliveryStatus, WebhookDelivery, WebhookType } from "#shared/contracts/webhook.ts";
import { type Actor, writeAdminAudit } from "#shared/tenancy/adminAudit.ts";
import { isoOf, isoOrNull, type Rights, withRights } from "#shared/tenancy/database.ts";

/** What happened, before it is known who is told. */
export interface WebhookEvent {
  readonly tenant_id: string;
  readonly type: WebhookType;
  /** Tells events of one type and tenant apart. The same event must have the same one whenever it is read. */
  readonly occurrence: string;
  /** The body, as it will be sent. */
  readonly payload: string;
}

const INSERT = {
  name: "insert_webhook_deliveries",
  text: `
    INSERT INTO webhook_deliveries (webhook_id, tenant_id, endpoint_id, type, payload, status, tries, next_at)
    SELECT 'msg_' || left(encode(sha256(convert_to(concat_ws(E'\\n', tenant_id, type, occurrence, endpoint_id), 'UTF8')), 'hex'), 32), tenant_id, endpoint_id, type, payload, 'pending', 0, now()
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS event(tenant_id, type, occurrence, payload) JOIN webhook_endpoints USING (tenant_id)
    WHERE webhook_endpoints.status = 'active'
    ON CONFLICT DO NOTHING`,
};
/** For each active endpoint of its tenant, in the transaction that records what happened. Idempotent. */
export async function insertDeliveries(client: ClientBase, events: readonly WebhookEvent[]): Promise<void> {
  if (events.length === 0) return;
  const values = (["tenant_id", "type", "occurrence", "payload"] as const).map((column) => events.map((event) => event[column]));
  await client.query({ ...INSERT, values });
}

interface DeliveryRow extends Omit<WebhookDelivery, "next_at" | "created_at" | "delivered_at"> {
  readonly next_at: Date;
  readonly created_at: Date;
  readonly delivered_at: Date | null;
}
const COLUMNS = "webhook_id, tenant_id, endpoint_id, type, status, tries, next_at, last_status, last_error, created_at, delivered_at";
const toDelivery = ({ next_at, created_at, delivered_at, ...rest }: DeliveryRow): WebhookDelivery => ({ ...rest, next_at: rest.status === "pending" ? isoOf(next_at) : null, created_at: isoOf(created_at), delivered_at: isoOrNull(delivered_at) });

/** The latest first. */
export const listDeliveries = (rights: Rights, tenantId: string, { status, limit }: { readonly status?: DeliveryStatus | undefined; readonly limit: number }): Promise<WebhookDelivery[]> =>
  withRights(rights, async (client) => {
    const { rows } = await client.query<DeliveryRow>(`SELECT ${COLUMNS} FROM webhook_deliveries WHERE tenant_id = $1 AND ($2::text IS NULL OR status = $2) ORDER BY created_at DESC, webhook_id LIMIT $3`, [tenantId, status ?? null, limit]);
    return rows.map(toDelivery);
  });

/** From the first try on, at once. Throws `not_found`; `conflict` when it is not among the dead, or nothing is sent to its endpoint. */
export const retryDelivery = (rights: Rights, actor: Actor, tenantId: string, webhookId: string): Promise<WebhookDelivery> =>
  withRights(rights, async (client) => {
    const { rows: [before] } = await client.query<{ status: DeliveryStatus; endpoint: string; endpoint_id: string }>(
      `SELECT webhook_deliveries.status, webhook_endpoints.status AS endpoint, endpoint_id FROM webhook_deliveries JOIN webhook_endpoints USING (endpoint_id)
       WHERE webhook_deliveries.tenant_id = $1 AND webhook_id = $2 FOR UPDATE OF webhook_deliveries`, [tenantId, webhookId]);
    if (before === undefined) throw new AppError("not_found", `there is no webhook ${webhookId}`);
    if (before.status !== "dead") throw new AppError("conflict", `${webhookId} is ${before.status}`);
    if (before.endpoint !== "active") throw new AppError("conflict", `its endpoint ${before.endpoint_id} is ${before.endpoint}`);
    const { rows: [row] } = await client.query<DeliveryRow>(`UPDATE webhook_deliveries SET status = 'pending', tries = 0, next_at = now() WHERE webhook_id = $1 RETURNING ${COLUMNS}`, [webhookId]);
    if (row === undefined) throw new AppError("not_found", `there is no webhook ${webhookId}`);
    await writeAdminAudit(client, actor, { tenantId, action: "webhook.retry", object: webhookId, change: {} });
    return toDelivery(row);
  });
