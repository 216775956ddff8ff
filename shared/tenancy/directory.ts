/**
 * Who a key belongs to and what holds for a tenant, for whoever handles requests: read from Postgres once and then from memory,
 * so that Postgres is on no request's way and its outage shuts nobody out. A revoked key is refused within 30 s; while
 * Postgres does not answer, within 10 minutes.
 */
import type { Pool } from "pg";
import type { Logger } from "pino";

import type { KeyRole, Principal } from "#shared/contracts/apiKey.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { DEFAULT_SETTINGS, readSettings, type TenantSettings, type TenantStatus } from "#shared/contracts/tenant.ts";

import { noSuchTenant } from "./database.ts";
import { isSecretOf, readKeyText } from "./keyText.ts";
import { makeStaleCache } from "./staleCache.ts";

/** What holds for a tenant's requests. */
export interface Standing {
  readonly status: TenantStatus;
  readonly settings: TenantSettings;
  /** They could not be read, and nothing limits it (see `followStandings`). */
  readonly isAssumed?: true;
}
export interface Directory {
  /** Who holds this key; `null`: it is none, or no longer one. Throws `database_unavailable` when that cannot be known. */
  holderOf(keyText: string): Promise<Principal | null>;
  /** `null`: nobody has made this tenant. Throws `database_unavailable`; `internal` for a row that no one here can read. */
  standingOf(tenantId: string): Promise<Standing | null>;
}
/** Of a tenant that nobody has made, where no keys are asked for. */
const UNKNOWN_TENANT: Standing = { status: "active", settings: DEFAULT_SETTINGS };

/**
 * For whoever serves a tenant. Without keys anybody's name is a tenant, and where its settings cannot be read nothing limits it (but for budgets
 * that the ledger knows of): all callers are this machine's owner. With keys both are errors: `not_found`, `database_unavailable`.
 */
export const followStandings = (directory: Pick<Directory, "standingOf">, { isKeyless, log }: { isKeyless: boolean; log: Logger }) => async (tenantId: string): Promise<Standing> => {
  try {
    const standing = await directory.standingOf(tenantId);
    if (standing !== null) return standing;
  } catch (error) {
    if (!isKeyless) throw error;
    log.debug({ err: error }, "what holds for a tenant is not known; nothing limits it");
    return { ...UNKNOWN_TENANT, isAssumed: true };
  }
  if (isKeyless) return UNKNOWN_TENANT;
  throw noSuchTenant(tenantId);
};

interface StoredKey {
  readonly tenant_id: string | null;
  readonly role: KeyRole;
  readonly secret_hmac: string;
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
}

/** Kept as what it is: the database answered, so it is no outage, and concerns this tenant alone. */
interface UnreadableRow {
  readonly problem: unknown;
}
function standingIn({ status, settings }: { readonly status: TenantStatus; readonly settings: unknown }): Standing | UnreadableRow {
  try {
    return { status, settings: readSettings(settings) };
  } catch (problem) {
    return { problem };
  }
}

/** How long what was read is believed while Postgres does not answer. */
export const PATIENCE_MS = 600_000;
const TIMES = { freshMs: 10_000, dueMs: 25_000, patienceMs: 250, mostMs: PATIENCE_MS, maxEntries: 10_000 };
/** A tenant's own, and with `admin` no model may be asked: such a key is for people and their tools. */
const ROLES_OF: Readonly<Record<KeyRole, readonly KeyRole[]>> = { infer: ["infer", "read"], read: ["read"], admin: ["admin", "read"] };

export interface DirectoryDeps {
  readonly pool: Pool;
  /** `null`: no secret is set, so no key can be checked. */
  readonly pepper: Buffer | null;
  /** Epoch milliseconds. */
  readonly now: () => number;
}
export function makeDirectory({ pool, pepper, now }: DirectoryDeps): Directory {
  const query = async <R extends object>(sql: string, value: string): Promise<R | null> => {
    try {
      return (await pool.query<R>(sql, [value])).rows[0] ?? null;
    } catch (cause) {
      throw new AppError("database_unavailable", "tenants and keys cannot be read now", { cause });
    }
  };
  const times = { ...TIMES, now: () => performance.now() };
  const keys = makeStaleCache<StoredKey>({ ...times, load: (keyId) => query("SELECT tenant_id, role, secret_hmac, expires_at, revoked_at FROM api_keys WHERE key_id = $1", keyId) });
  const tenants = makeStaleCache<Standing | UnreadableRow>({
    ...times,
    async load(tenantId) {
      const row = await query<{ status: TenantStatus; settings: unknown }>("SELECT status, settings FROM tenants WHERE tenant_id = $1", tenantId);
      return row === null ? null : standingIn(row);
    },
  });
  return {
    async holderOf(keyText) {
      const read = readKeyText(keyText);
      if (read === null || pepper === null) return null;
      const { keyId, secret } = read;
      const stored = await keys.get(keyId);
      if (!isSecretOf(stored?.secret_hmac ?? null, pepper, secret) || stored === null) return null;
      if (stored.revoked_at !== null || (stored.expires_at !== null && stored.expires_at.getTime() <= now())) return null;
      return { tenant_id: stored.tenant_id, key_id: keyId, roles: new Set(ROLES_OF[stored.role]) };
    },
    async standingOf(tenantId) {
      const found = await tenants.get(tenantId);
      if (found !== null && "problem" in found) throw new AppError("internal", `the settings of tenant ${tenantId} cannot be read`, { cause: found.problem });
      return found;
    },
  };
}
