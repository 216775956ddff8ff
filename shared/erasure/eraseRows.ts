/**
 * What Postgres holds of an erased tenant or user: deleted in chunks, each a transaction of its own, so that it may be interrupted and repeated at any time.
 * Books must add up: their lines stay, with the user's hash in place of the name. The rights for it are `infer_eraser`'s, and nobody else's (permissions.ts).
 */
import type { Pool } from "pg";

import { inTransactionAs } from "#shared/db/transaction.ts";

import { type Erasure, WHOLE_TENANT } from "./erasures.ts";

/** Small enough for other writers. */
const CHUNK = 5_000;
/** Of a chunk: of a tenant with many rows the first look goes through them. */
const CHUNK_TIMEOUT_MS = 60_000;
/** For the pools of those who erase. */
export const ERASE_ANSWER_MS = CHUNK_TIMEOUT_MS + 5_000;

/** `$1` tenant, `$2` whether all of it, `$3` up to when, `$4` the user's hash, `$5` the salt, `$6` ids of users that have that hash: one, or none that is left. */
const ERASED_NAME = "'erased-' || left(encode(sha256(convert_to($5 || E'\\n' || tenant_id || E'\\n' || user_id, 'UTF8')), 'hex'), 32)";
const IS_NAME = "user_id ~ '^erased-[0-9a-f]{32}$'";
const IS_THEIRS = `(($2 AND user_id IS NOT NULL AND NOT ${IS_NAME}) OR user_id = ANY($6))`;
/** Of their requests, which the books know by the hash from the first step on. */
const THEIR_REQUESTS = `
  SELECT request_id FROM ledger_requests WHERE tenant_id = $1 AND at <= $3 AND ($2 OR user_id = $4 OR user_id = ANY($6))
  UNION ALL SELECT request_id FROM requests WHERE tenant_id = $1 AND accepted_at <= $3 AND ($2 OR user_id = ANY($6))`;
const ofTheirRequests = (time: string): string => `tenant_id = $1 AND (($2 AND ${time} <= $3) OR request_id IN (${THEIR_REQUESTS}))`;
/** One that runs ends first: who runs it counts its lines. The next time it is gone. */
const THEIR_BATCHES = "SELECT batch_id FROM batches WHERE tenant_id = $1 AND created_at <= $3 AND ($2 OR (status <> 'running' AND defaults ->> 'user_id' = ANY($6)))";

interface Step {
  readonly table: string;
  /** Which of its rows are theirs. */
  readonly where: string;
  /** Those go only once this holds. */
  readonly when?: string;
  /** By which a chunk is found again. Absent: by place; whoever may not read all columns may not read that. */
  readonly key?: string;
  /** Absent: they are deleted. */
  readonly set?: string;
  /** Deleted with them. */
  readonly also?: (chunk: string) => string;
}
/** In this order: what is found by something else goes before it. */
const STEPS: readonly Step[] = [
  { table: "ledger_requests", where: `tenant_id = $1 AND at <= $3 AND ${IS_THEIRS}`, set: `user_id = ${ERASED_NAME}` },
  { table: "ledger", where: `tenant_id = $1 AND at <= $3 AND ${IS_THEIRS}`, set: `user_id = ${ERASED_NAME}` },
  { table: "feedback", where: ofTheirRequests("at") },
  { table: "shadows", where: ofTheirRequests("at") },
  { table: "shadow_tiers", where: ofTheirRequests("at") },
  { table: "cache_audits", where: ofTheirRequests("at") },
  { table: "webhook_deliveries", where: `tenant_id = $1 AND (($2 AND created_at <= $3) OR payload::jsonb #>> '{data,request_id}' IN (${THEIR_REQUESTS}))` },
  { table: "webhook_endpoints", key: "endpoint_id", where: "$2 AND tenant_id = $1 AND created_at <= $3", when: "NOT EXISTS (SELECT FROM webhook_deliveries AS sent WHERE sent.endpoint_id = webhook_endpoints.endpoint_id)" },
  {
    table: "batch_items",
    where: `tenant_id = $1 AND (batch_id IN (${THEIR_BATCHES}) OR (NOT $2 AND (request ->> 'user_id' = ANY($6) OR result ->> 'request_id' IN (${THEIR_REQUESTS}))
      AND batch_id IN (SELECT batch_id FROM batches WHERE tenant_id = $1 AND status <> 'running')))`,
  },
  { table: "batches", where: `tenant_id = $1 AND batch_id IN (${THEIR_BATCHES})`, when: "NOT EXISTS (SELECT FROM batch_items AS item WHERE item.tenant_id = batches.tenant_id AND item.batch_id = batches.batch_id)" },
  { table: "api_keys", key: "key_id", where: "$2 AND tenant_id = $1 AND created_at <= $3" },
  { table: "admin_audit", where: "$2 AND tenant_id = $1 AND at <= $3 AND change <> '{}'", set: "change = '{}'" },
  { table: "reconcile_differences", where: "tenant_id = $1 AND found_at <= $3" },
  { table: "tenants", where: "$2 AND tenant_id = $1 AND updated_at <= $3 AND (name <> tenant_id OR settings <> '{}')", set: "name = tenant_id, settings = '{}'" },
  { table: "requests", where: "tenant_id = $1 AND accepted_at <= $3 AND ($2 OR user_id = ANY($6))", also: (chunk) => `DELETE FROM attempts WHERE (tenant_id, request_id) IN (SELECT tenant_id, request_id FROM ${chunk})` },
];
export const ERASED_TABLES: readonly string[] = [...STEPS.map(({ table }) => table), "attempts"];

/** All parameters are of some type in any statement, also those that it does not use. */
const GIVEN = "WITH given AS (SELECT $1::text, $2::boolean, $3::timestamptz, $4::text, $5::text, $6::text[])";
function sqlOf({ table, where, when = "true", key = "ctid", set, also }: Step): string {
  const places = `${key} = ANY (ARRAY(SELECT ${key} FROM ${table} WHERE ${where} AND ${when} LIMIT ${CHUNK}))`;
  const change = set === undefined ? `DELETE FROM ${table} WHERE ${places}` : `UPDATE ${table} SET ${set} WHERE ${places}`;
  if (also === undefined) return `${GIVEN} ${change}`;
  return `${GIVEN}, chunk AS (${change} RETURNING tenant_id, request_id), besides AS (${also("chunk")}) SELECT 1 FROM chunk`;
}
/** What is left of it, as `STEPS` finds it. */
const COUNTS = `${GIVEN} ${STEPS.map(({ table, where }) => `SELECT '${table}' AS what, count(*)::int AS count FROM ${table} WHERE ${where}`).join(" UNION ALL ")}`;

type Values = readonly [string, boolean, Date, string, string, readonly string[]];
const valuesOf = ({ tenantId, subject, salt, coversUntilMs }: Erasure, names: readonly string[]): Values => [tenantId, subject === WHOLE_TENANT, new Date(coversUntilMs), subject, salt, names];

const NAMES = `
  SELECT user_id FROM (
    SELECT user_id FROM ledger_requests WHERE tenant_id = $1 UNION SELECT user_id FROM ledger WHERE tenant_id = $1 UNION SELECT user_id FROM requests WHERE tenant_id = $1
    UNION SELECT defaults ->> 'user_id' FROM batches WHERE tenant_id = $1 UNION SELECT request ->> 'user_id' FROM batch_items WHERE tenant_id = $1
  ) AS known(user_id), (VALUES ($1::text)) AS of(tenant_id) WHERE ${ERASED_NAME.replaceAll("$5", () => "$2::text")} = $3`;

const asEraser = <R>(pool: Pool, run: Parameters<typeof inTransactionAs<R>>[2]): Promise<R> => inTransactionAs(pool, "eraser", async (client) => {
  await client.query(`SET LOCAL statement_timeout = ${CHUNK_TIMEOUT_MS}`);
  return run(client);
});

/** The id that the hash was made of, for as long as any row has it. */
async function namesOf(pool: Pool, { tenantId, subject, salt }: Erasure): Promise<string[]> {
  if (subject === WHOLE_TENANT) return [];
  const { rows } = await asEraser(pool, (client) => client.query<{ user_id: string }>(NAMES, [tenantId, salt, subject]));
  return rows.map(({ user_id }) => user_id);
}

export interface EraseOptions {
  readonly signal: AbortSignal;
  /** After each chunk. */
  readonly onProgress?: (table: string, rows: number) => void;
}
/** By table, where there was something; rows of attempts go with their requests and are not counted. Ends early at the signal. Throws what Postgres says. */
export async function eraseRows(pool: Pool, erasure: Erasure, { signal, onProgress }: EraseOptions): Promise<Record<string, number>> {
  const values = valuesOf(erasure, await namesOf(pool, erasure));
  const counts: Record<string, number> = {};
  for (const step of STEPS) {
    const sql = sqlOf(step);
    for (let changed = CHUNK; changed === CHUNK && !signal.aborted;) {
      changed = await asEraser(pool, async (client) => {
        await client.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`erase ${erasure.tenantId}`]); // two at once would wait for each other crosswise
        return (await client.query(sql, [...values])).rowCount ?? 0;
      });
      if (changed === 0) continue;
      counts[step.table] = (counts[step.table] ?? 0) + changed;
      onProgress?.(step.table, counts[step.table] ?? 0);
    }
  }
  return counts;
}

/** Rows that are there to be erased, by table: before, what it will take; after, what proves that it was done. `userId`: where the hash may be of nobody yet. */
export async function countRows(pool: Pool, erasure: Erasure, userId: string | null = null): Promise<Record<string, number>> {
  const names = [...new Set([...(await namesOf(pool, erasure)), ...(userId === null ? [] : [userId])])];
  const { rows } = await asEraser(pool, (client) => client.query<{ what: string; count: number }>(COUNTS, [...valuesOf(erasure, names)]));
  return Object.fromEntries(rows.filter(({ count }) => count > 0).map(({ what, count }) => [what, count]));
}

/** Adds what was done to the list, and says that all of it is. With the rights that the service has. */
export async function noteDone(pool: Pool, { tenantId, subject, coversUntilMs }: Erasure, what: "rows" | "keys", counts: Readonly<Record<string, number>>): Promise<void> {
  await pool.query(
    `UPDATE erasures SET ${what}_done_at = COALESCE(${what}_done_at, now()),
       counts = counts || COALESCE((SELECT jsonb_object_agg(key, value::bigint + COALESCE((counts ->> key)::bigint, 0)) FROM jsonb_each_text($4::jsonb)), '{}')
     WHERE tenant_id = $1 AND subject = $2 AND covers_until = $3`,
    [tenantId, subject, new Date(coversUntilMs), JSON.stringify(counts)]);
}
