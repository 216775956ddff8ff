/** Which dead letters somebody has seen to. The line of `admin_audit` is the record: what was done and that it was done cannot differ. */
import { type Actor, writeAdminAudit } from "#shared/tenancy/adminAudit.ts";
import { type Rights, withRights } from "#shared/tenancy/database.ts";

import { type KeptLetter, markOf } from "./deadLetters.ts";

const ACTIONS = ["dead_letter.retry", "dead_letter.discard"] as const;
/** A day longer than DEAD_LETTERS keeps them. */
const KEPT_DAYS = 31;

export interface Handling {
  readonly action: (typeof ACTIONS)[number];
  /** Id under which its request was sent again. */
  readonly retriedAs?: string | undefined;
  /** Why it was discarded, in a person's words. */
  readonly note?: string | undefined;
}

export const markHandled = (rights: Rights, actor: Actor, kept: KeptLetter, { action, retriedAs, note }: Handling): Promise<void> =>
  withRights(rights, async (client) => {
    const { stream, stream_seq, reason, tenant_id, request_id } = kept.letter;
    await writeAdminAudit(client, actor, {
      tenantId: tenant_id, action, object: markOf(kept),
      change: { stream, stream_seq, request_id, reason, ...(retriedAs === undefined ? {} : { retried_as: retriedAs }), ...(note === undefined ? {} : { note }) },
    });
  });

/** As `markOf` names them. Throws `database_unavailable`. */
export const readHandled = (rights: Rights): Promise<ReadonlySet<string>> =>
  withRights(rights, async (client) => {
    const { rows } = await client.query<{ object: string }>("SELECT DISTINCT object FROM admin_audit WHERE action = ANY($1) AND at > now() - make_interval(days => $2)", [ACTIONS, KEPT_DAYS]);
    return new Set(rows.map(({ object }) => object));
  });
