import type { PoolClient } from "pg";

/** Who changes something: a key, or a person at the machine. */
export type Actor = { readonly kind: "key"; readonly keyId: string } | { readonly kind: "inferctl" | "keyless" };

export interface AdminEntry {
  readonly tenantId: string | null;
  readonly action: "tenant.create" | "tenant.change" | "key.create" | "key.revoke" | "nats_user.create" | "nats_user.remove";
  readonly object: string;
  /** Never a secret. */
  readonly change: object;
}

const nameOf = (actor: Actor): string => (actor.kind === "key" ? `key:${actor.keyId}` : actor.kind);

/** In the transaction of the change itself: neither is there without the other. */
export async function writeAdminAudit(client: PoolClient, actor: Actor, { tenantId, action, object, change }: AdminEntry): Promise<void> {
  await client.query("INSERT INTO admin_audit (actor, tenant_id, action, object, change) VALUES ($1, $2, $3, $4, $5)", [nameOf(actor), tenantId, action, object, JSON.stringify(change)]);
}
