import type { PoolClient } from "pg";
import { z } from "zod";

import { isoOf, type Rights, withRights } from "./database.ts";

/** Who changes something: a key, a person at the machine, the sender of webhooks when an endpoint says that it is gone, or audits of the semantic cache when they show that it must stop. */
export type Actor = { readonly kind: "key"; readonly keyId: string } | { readonly kind: "inferctl" | "keyless" | "webhook-sender" | "cache-audit" };

export interface AdminEntry {
  readonly tenantId: string | null;
  readonly action: "tenant.create" | "tenant.change" | "erasure.ask" | "key.create" | "key.revoke" | "nats_user.create" | "nats_user.remove" | "logins.init" | "cache.evaluate" | "webhook.create" | "webhook.rotate" | "webhook.enable" | "webhook.disable" | "webhook.remove" | "webhook.retry" | "dead_letter.retry" | "dead_letter.discard" | "model.activate" | "model.deactivate" | "model.rollback" | "breaker.reset";
  readonly object: string;
  /** Never a secret. */
  readonly change: object;
}

const nameOf = (actor: Actor): string => (actor.kind === "key" ? `key:${actor.keyId}` : actor.kind);

/** In the transaction of the change itself: neither is there without the other. */
export async function writeAdminAudit(client: PoolClient, actor: Actor, { tenantId, action, object, change }: AdminEntry): Promise<void> {
  await client.query("INSERT INTO admin_audit (actor, tenant_id, action, object, change) VALUES ($1, $2, $3, $4, $5)", [nameOf(actor), tenantId, action, object, JSON.stringify(change)]);
}

export const AdminAuditRow = z.object({ seq: z.int(), at: z.iso.datetime(), actor: z.string(), tenant_id: z.string().nullable(), action: z.string(), object: z.string(), change: z.record(z.string(), z.unknown()) });
export type AdminAuditRow = z.infer<typeof AdminAuditRow>;

/** The latest first; before `before` where there is more than a page of them. */
export const readAdminAudit = (rights: Rights, { tenantId, before, limit }: { readonly tenantId?: string | undefined; readonly before?: number | undefined; readonly limit: number }): Promise<AdminAuditRow[]> =>
  withRights(rights, async (client) => {
    const { rows } = await client.query<Omit<AdminAuditRow, "seq" | "at"> & { seq: string; at: Date }>(
      "SELECT seq, at, actor, tenant_id, action, object, change FROM admin_audit WHERE ($1::text IS NULL OR tenant_id = $1) AND ($2::bigint IS NULL OR seq < $2) ORDER BY seq DESC LIMIT $3",
      [tenantId ?? null, before ?? null, limit],
    );
    return rows.map(({ seq, at, ...rest }) => ({ seq: Number(seq), at: isoOf(at), ...rest }));
  });
