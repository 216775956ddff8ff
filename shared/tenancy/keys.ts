/** API keys in Postgres. The key itself is told once, by `createKey`, and is nowhere after that. */
import type { ApiKey, CreatedKey, KeyRole, NewKey } from "#shared/contracts/apiKey.ts";
import { AppError } from "#shared/contracts/errors.ts";

import { type Actor, writeAdminAudit } from "./adminAudit.ts";
import { isoOf, isoOrNull, noSuchTenant, type Rights, withRights } from "./database.ts";
import { hmacOf, newKeyText } from "./keyText.ts";

interface KeyRow {
  readonly key_id: string;
  readonly tenant_id: string | null;
  readonly role: KeyRole;
  readonly name: string;
  readonly last_four: string;
  readonly created_at: Date;
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
}
const COLUMNS = "key_id, tenant_id, role, name, last_four, created_at, expires_at, revoked_at";
const toKey = ({ created_at, expires_at, revoked_at, ...rest }: KeyRow): ApiKey => ({ ...rest, created_at: isoOf(created_at), expires_at: isoOrNull(expires_at), revoked_at: isoOrNull(revoked_at) });

const MOST_LIVE = 2;
/** Of all names, so that a list of them is whole and one tenant cannot fill the table. */
const MOST_LIVE_OF_TENANT = 500;

/**
 * Throws `conflict` when two keys of this name live already: one can replace the other, more would be forgotten; `not_found`
 * when there is no such tenant. `tenantId` `null`: a key of whoever runs the service.
 */
export const createKey = (rights: Rights, actor: Actor, pepper: Buffer, tenantId: string | null, { role, name, expires_at }: NewKey): Promise<CreatedKey> =>
  withRights(rights, async (client) => {
    await client.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`keys of ${tenantId ?? ""}`]);
    if (tenantId !== null && (await client.query("SELECT 1 FROM tenants WHERE tenant_id = $1", [tenantId])).rowCount === 0) throw noSuchTenant(tenantId);
    const { rows: live } = await client.query<Pick<KeyRow, "key_id">>("SELECT key_id FROM api_keys WHERE tenant_id IS NOT DISTINCT FROM $1 AND name = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())", [tenantId, name]);
    if (live.length >= MOST_LIVE) throw new AppError("conflict", `two keys named ${name} are live (${live.map(({ key_id }) => key_id).join(", ")}): revoke one, or take another name`);
    const { rows: [all] } = await client.query<{ live: number }>("SELECT count(*)::int AS live FROM api_keys WHERE tenant_id IS NOT DISTINCT FROM $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())", [tenantId]);
    if ((all?.live ?? 0) >= MOST_LIVE_OF_TENANT) throw new AppError("conflict", `${MOST_LIVE_OF_TENANT} keys are live: revoke those that nobody uses`);
    const { keyId, secret, text } = newKeyText();
    const { rows: [row] } = await client.query<KeyRow>(
      `INSERT INTO api_keys (key_id, tenant_id, role, name, secret_hmac, last_four, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING ${COLUMNS}`,
      [keyId, tenantId, role, name, hmacOf(pepper, secret), secret.slice(-4), expires_at ?? null],
    );
    if (row === undefined) throw new AppError("conflict", "the key was not made: try again");
    const key = toKey(row);
    await writeAdminAudit(client, actor, { tenantId, action: "key.create", object: keyId, change: { role, name, expires_at: key.expires_at } });
    return { ...key, key: text };
  });

/** Safe to repeat. Throws `not_found` for a key that is not there or not one that these rights show. */
export const revokeKey = (rights: Rights, actor: Actor, tenantId: string | null, keyId: string): Promise<ApiKey> =>
  withRights(rights, async (client) => {
    const ofTenant = "key_id = $1 AND tenant_id IS NOT DISTINCT FROM $2";
    const { rows: [revoked] } = await client.query<KeyRow>(`UPDATE api_keys SET revoked_at = now() WHERE ${ofTenant} AND revoked_at IS NULL RETURNING ${COLUMNS}`, [keyId, tenantId]);
    if (revoked !== undefined) {
      await writeAdminAudit(client, actor, { tenantId, action: "key.revoke", object: keyId, change: {} });
      return toKey(revoked);
    }
    const { rows: [row] } = await client.query<KeyRow>(`SELECT ${COLUMNS} FROM api_keys WHERE ${ofTenant}`, [keyId, tenantId]);
    if (row === undefined) throw new AppError("not_found", `there is no key ${keyId}`);
    return toKey(row);
  });

/** The live ones first, then the latest. */
export const listKeys = (rights: Rights, tenantId: string | null): Promise<ApiKey[]> =>
  withRights(rights, async (client) => {
    const { rows } = await client.query<KeyRow>(`SELECT ${COLUMNS} FROM api_keys WHERE tenant_id IS NOT DISTINCT FROM $1 ORDER BY (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())) DESC, created_at DESC, key_id LIMIT 1000`, [tenantId]);
    return rows.map(toKey);
  });
