/**
 * Who writes rows of events holds it shared until its transaction ends, who adds to the list of erasures alone. So a row of an erased event is written before
 * the erasure looks for rows, or not at all.
 */
import type { ClientBase } from "pg";

/** Any constant will do. */
export const ERASURE_LOCK = 7_219_445_042;

export const holdErasures = async (client: ClientBase): Promise<void> => { await client.query("SELECT pg_advisory_xact_lock_shared($1)", [ERASURE_LOCK]); };
