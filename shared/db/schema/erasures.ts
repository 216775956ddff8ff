/** Who was erased (ADR 0042). It holds no name: a user is known by a salted hash, which the books have in the name's place. */
import { jsonb, pgTable, primaryKey, text } from "drizzle-orm/pg-core";

import { time } from "./columns.ts";

export const erasures = pgTable(
  "erasures",
  {
    tenant_id: text().notNull(),
    /** `erased-<hash>` of one user. Empty: the whole tenant. */
    subject: text().notNull(),
    /** Of the tenant's hashes: the same in all of its rows. */
    salt: text().notNull(),
    asked_at: time().notNull(),
    /** What was accepted later is not erased: who comes back is served. */
    covers_until: time().notNull(),
    /** `null`: not all rows of Postgres are gone yet; and likewise keys of Redis. */
    rows_done_at: time(),
    keys_done_at: time(),
    /** By then the last message from before `covers_until` has aged out of every stream. */
    streams_clear_at: time().notNull(),
    /** Rows and keys that were deleted or renamed, by table and by area of Redis. */
    counts: jsonb().$type<Record<string, number>>().notNull(),
  },
  (t) => [primaryKey({ columns: [t.tenant_id, t.subject] })],
);
