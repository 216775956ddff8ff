/** Where tenants are told what happened, and what is sent to them. */
import { sql } from "drizzle-orm";
import { index, pgTable, smallint, text } from "drizzle-orm/pg-core";

import type { DeliveryStatus, EndpointStatus, WebhookType } from "#shared/contracts/webhook.ts";

import { time } from "./columns.ts";
import { tenants } from "./tenancy.ts";

/** Where a tenant is told what happened. */
export const webhookEndpoints = pgTable(
  "webhook_endpoints",
  {
    endpoint_id: text().primaryKey(),
    tenant_id: text().notNull().references(() => tenants.tenant_id),
    url: text().notNull(),
    status: text().$type<EndpointStatus | "removed">().notNull(),
    /** Encrypted under INFER_SECRET; empty once it was removed. */
    secret_sealed: text().notNull(),
    /** The one before it, which still signs until then. */
    former_sealed: text(),
    former_until: time(),
    created_at: time().notNull().defaultNow(),
    updated_at: time().notNull().defaultNow(),
  },
  (t) => [index("webhook_endpoints_by_tenant").on(t.tenant_id, t.created_at)],
);

/** One event to one endpoint. `dead`: the dead letters. */
export const webhookDeliveries = pgTable(
  "webhook_deliveries",
  {
    webhook_id: text().primaryKey(),
    tenant_id: text().notNull(),
    endpoint_id: text().notNull().references(() => webhookEndpoints.endpoint_id),
    type: text().$type<WebhookType>().notNull(),
    /** As it is sent, byte by byte. */
    payload: text().notNull(),
    status: text().$type<DeliveryStatus>().notNull(),
    /** Begun ones. Whoever begins one adds to it, so that a sender which lost its lease cannot note over another. */
    tries: smallint().notNull(),
    /** While one is under way: when its lease ends. */
    next_at: time().notNull(),
    last_status: smallint(),
    last_error: text(),
    created_at: time().notNull().defaultNow(),
    delivered_at: time(),
  },
  (t) => [
    index("webhook_deliveries_due").on(t.endpoint_id, t.next_at).where(sql`status = 'pending'`),
    index("webhook_deliveries_by_tenant").on(t.tenant_id, t.created_at),
    index("webhook_deliveries_by_age").on(t.created_at),
  ],
);
