/** The audit events of many requests, page by page. */
import { and, asc, count, eq, gte, inArray, lt, lte, type SQL, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import type { Pool } from "pg";

import { AppError } from "#shared/contracts/errors.ts";

import { type AttemptRow, eventOf } from "./readAudit.ts";
import { attempts, requests } from "./schema/audit.ts";
import { inTransactionOf } from "./transaction.ts";

export interface AuditWanted {
  /** `null`: of all, with the rights of an operator. */
  readonly tenantId: string | null;
  /** When the request ended, epoch milliseconds: not before, and before. */
  readonly sinceMs: number | null;
  readonly untilMs: number;
  /** In COMPLETIONS, both included. With one of them pages are in the order of sequences, else in that of time. */
  readonly fromSeq: number | null;
  readonly toSeq: number | null;
}
/** Of a row: its time (as Postgres writes it) or its sequence, and its request. */
export type AuditKey = readonly [place: string, tenantId: string, requestId: string];
export interface AuditRow {
  readonly key: AuditKey;
  readonly seq: number;
  /** For its schema to read. */
  readonly event: object;
}

/** The next rows after a key, or the first. Throws `database_unavailable`. */
export const readAuditPage = (pool: Pool, wanted: AuditWanted, after: AuditKey | null, most: number): Promise<AuditRow[]> =>
  reading(() => inTransactionOf(pool, wanted.tenantId, async (client) => {
    const db = drizzle(client);
    const isBySeq = wanted.fromSeq !== null || wanted.toSeq !== null;
    const place = isBySeq ? requests.stream_seq : requests.completed_at;
    const from = after === null ? undefined : afterKey(place, isBySeq ? sql`::bigint` : sql`::timestamptz`, after);
    const rows = await db.select().from(requests).where(and(conditions(wanted), from)).orderBy(asc(place), asc(requests.tenant_id), asc(requests.request_id)).limit(most);
    const ofRows = rows.length === 0 ? [] : await db.select().from(attempts).where(inArray(attempts.request_id, rows.map(({ request_id }) => request_id))).orderBy(asc(attempts.attempt));
    const byRequest = new Map<string, AttemptRow[]>(rows.map((row) => [keyOf(row), []]));
    for (const attempt of ofRows) byRequest.get(keyOf(attempt))?.push(attempt);
    return rows.map((row): AuditRow => ({ key: [isBySeq ? String(row.stream_seq) : row.completed_at, row.tenant_id, row.request_id], seq: row.stream_seq, event: eventOf(row, byRequest.get(keyOf(row)) ?? []) }));
  }));

export const countAudit = (pool: Pool, wanted: AuditWanted): Promise<number> =>
  reading(() => inTransactionOf(pool, wanted.tenantId, async (client) => {
    const [row] = await drizzle(client).select({ events: count() }).from(requests).where(conditions(wanted));
    return row?.events ?? 0;
  }));

const keyOf = ({ tenant_id, request_id }: { readonly tenant_id: string; readonly request_id: string }): string => `${tenant_id}.${request_id}`;

function conditions({ tenantId, sinceMs, untilMs, fromSeq, toSeq }: AuditWanted): SQL | undefined {
  return and(
    tenantId === null ? undefined : eq(requests.tenant_id, tenantId),
    sinceMs === null ? undefined : gte(requests.completed_at, new Date(sinceMs).toISOString()),
    lt(requests.completed_at, new Date(untilMs).toISOString()),
    fromSeq === null ? undefined : gte(requests.stream_seq, fromSeq),
    toSeq === null ? undefined : lte(requests.stream_seq, toSeq),
  );
}

/** The first condition is for the index, which has the place alone. */
function afterKey(place: typeof requests.stream_seq | typeof requests.completed_at, cast: SQL, [at, tenantId, requestId]: AuditKey): SQL {
  return sql`${place} >= ${at}${cast} AND (${place}, ${requests.tenant_id}, ${requests.request_id}) > (${at}${cast}, ${tenantId}, ${requestId})`;
}

async function reading<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    throw new AppError("database_unavailable", `the audit cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
