/** An erasure is asked for once, in the list; sinks, routers and `inferctl` then do it (`eraseRows.ts`, `eraseKeys.ts`), as often as it takes. */
import { randomBytes } from "node:crypto";

import type { PoolClient } from "pg";

import type { ErasureReply } from "#shared/contracts/erasure.ts";
import { type Actor, writeAdminAudit } from "#shared/tenancy/adminAudit.ts";
import { isoOf, isoOrNull, type Rights, withRights } from "#shared/tenancy/database.ts";

import { ERASURE_LOCK } from "./eraseLock.ts";
import { erasedName, type Erasure, WHOLE_TENANT } from "./erasures.ts";

export interface ErasureAsked {
  readonly tenantId: string;
  /** `null`: the whole tenant. */
  readonly userId: string | null;
  /** Of the stream that keeps its messages for the longest, see `longestMaxAgeMs`. */
  readonly streamsMaxAgeMs: number;
}
interface Row {
  readonly tenant_id: string; readonly subject: string; readonly salt: string; readonly asked_at: Date; readonly covers_until: Date;
  readonly rows_done_at: Date | null; readonly keys_done_at: Date | null; readonly streams_clear_at: Date; readonly counts: Record<string, number>;
}
const SHOWN = "tenant_id, subject, salt, asked_at, covers_until, rows_done_at, keys_done_at, streams_clear_at, counts";
const toReply = ({ subject, salt: _salt, asked_at, covers_until, rows_done_at, keys_done_at, streams_clear_at, ...rest }: Row): ErasureReply => ({
  ...rest, subject: subject === WHOLE_TENANT ? null : subject, asked_at: isoOf(asked_at), covers_until: isoOf(covers_until),
  rows_done_at: isoOrNull(rows_done_at), keys_done_at: isoOrNull(keys_done_at), streams_clear_at: isoOf(streams_clear_at),
});
export interface AskedErasure {
  readonly reply: ErasureReply;
  readonly erasure: Erasure;
}
const toAsked = (row: Row): AskedErasure => ({ reply: toReply(row), erasure: { tenantId: row.tenant_id, subject: row.subject, salt: row.salt, coversUntilMs: row.covers_until.getTime() } });

/** Gateways believe for so long, and a little, that a tenant is not suspended. What they accept meanwhile is erased too. */
const FOLLOWED_WITHIN_S = 60;
/** A request may end so long after it was accepted, and what is about it (labels, audits) comes later still. */
const MOST_AFTER_MS = 3_600_000;

/** Safe to repeat: one that is asked for again is done again, up to now. Suspends a whole tenant. A tenant that nobody has made may be erased too: without keys any name is one. */
export const askErasure = (rights: Rights, actor: Actor, { tenantId, userId, streamsMaxAgeMs }: ErasureAsked): Promise<AskedErasure> =>
  withRights(rights, async (client) => {
    await client.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`erasures of ${tenantId}`]); // one salt for all of a tenant
    const salt = await saltOf(client, tenantId);
    const subject = userId === null ? WHOLE_TENANT : erasedName(salt, tenantId, userId);
    if (userId === null) await client.query("UPDATE tenants SET status = 'suspended', updated_at = now() WHERE tenant_id = $1 AND status <> 'suspended'", [tenantId]);
    await writeAdminAudit(client, actor, { tenantId, action: "erasure.ask", object: subject === WHOLE_TENANT ? tenantId : subject, change: {} });
    // Whoever writes rows of events now has not seen the list as it will be: they end first, and who comes after sees it.
    await client.query("SELECT pg_advisory_xact_lock($1)", [ERASURE_LOCK]);
    const { rows: [row] } = await client.query<Row>(
      `INSERT INTO erasures AS known (tenant_id, subject, salt, asked_at, covers_until, streams_clear_at, counts)
       SELECT $1, $2, $3, asked_at, asked_at + make_interval(secs => $4), asked_at + make_interval(secs => $4 + $5), '{}' FROM (SELECT date_trunc('milliseconds', clock_timestamp())) AS now(asked_at)
       ON CONFLICT (tenant_id, subject) DO UPDATE SET asked_at = EXCLUDED.asked_at, covers_until = EXCLUDED.covers_until, streams_clear_at = EXCLUDED.streams_clear_at, rows_done_at = NULL, keys_done_at = NULL
       RETURNING ${SHOWN}`,
      [tenantId, subject, salt, userId === null ? FOLLOWED_WITHIN_S : 0, Math.ceil((streamsMaxAgeMs + MOST_AFTER_MS) / 1_000)]);
    if (row === undefined) throw new Error("the erasure was not written"); // an INSERT that returns nothing
    return toAsked(row);
  });

/** What would be asked for, without asking. */
export const plannedErasure = (rights: Rights, tenantId: string, userId: string | null): Promise<Erasure> =>
  withRights(rights, async (client) => {
    const salt = await saltOf(client, tenantId);
    return { tenantId, subject: userId === null ? WHOLE_TENANT : erasedName(salt, tenantId, userId), salt, coversUntilMs: Date.now() };
  });

async function saltOf(client: PoolClient, tenantId: string): Promise<string> {
  const { rows: [known] } = await client.query<Pick<Row, "salt">>("SELECT salt FROM erasures WHERE tenant_id = $1 LIMIT 1", [tenantId]);
  return known?.salt ?? randomBytes(16).toString("hex");
}

/** The latest first. */
export const listErasures = (rights: Rights, tenantId: string | null = null): Promise<AskedErasure[]> =>
  withRights(rights, async (client) => {
    const { rows } = await client.query<Row>(`SELECT ${SHOWN} FROM erasures WHERE $1::text IS NULL OR tenant_id = $1 ORDER BY asked_at DESC, tenant_id, subject LIMIT 1000`, [tenantId]);
    return rows.map(toAsked);
  });
