import { makePool } from "#shared/db/pool.ts";
import { type AdminEntry, writeAdminAudit } from "#shared/tenancy/adminAudit.ts";
import { withRights } from "#shared/tenancy/database.ts";

import { noteAudited, type UserFiles } from "./natsUsers.ts";
import { readUsers, type UserChange } from "./userList.ts";

/**
 * Writes into the admin audit what it does not have yet. A change of users does not wait for Postgres: in an outage a seed
 * must be revocable, so it stays in the list until it is audited. A crash in between audits it twice. `null`: nothing is left; otherwise why not.
 */
export async function auditUsers(files: UserFiles, databaseUrl: string): Promise<string | null> {
  const { unaudited } = readUsers(files.list);
  if (unaudited.length === 0) return null;
  const pool = makePool(databaseUrl, "inferctl", () => undefined);
  try {
    await withRights({ pool, tenantId: null }, async (client) => {
      for (const change of unaudited) await writeAdminAudit(client, { kind: "inferctl" }, entryOf(change));
    });
    noteAudited(files, unaudited);
    return null;
  } catch (error) {
    return reasonOf(error);
  } finally {
    await pool.end();
  }
}

function entryOf({ action, user, at }: UserChange): AdminEntry {
  const change = user.kind === "role" ? { role: user.role, at } : { name: user.name, at };
  return { tenantId: user.kind === "tenant" ? user.tenant_id : null, action, object: user.public_key, change };
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}
