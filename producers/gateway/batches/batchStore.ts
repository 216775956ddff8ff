/** Batches in Postgres, with the rights of their tenant: made, filled, started, cancelled, read. */
import { isDeepStrictEqual } from "node:util";

import type { PoolClient } from "pg";

import { type BatchDefaults, type BatchLine, type BatchReply, type BatchResult, MOST_LINES } from "#shared/contracts/batch.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { fingerprintOf } from "#shared/messaging/readRequest.ts";
import { type Rights, withRights } from "#shared/tenancy/database.ts";

import { type BatchRow, type EndedRow, tellOfEnd, toReply } from "./batchRow.ts";

export interface BatchKey {
  readonly tenant_id: string;
  readonly batch_id: string;
}
export interface StoredBatch {
  readonly reply: BatchReply;
  readonly defaults: BatchDefaults;
  readonly key_id: string | null;
  /** Who fills it as one upload, and whether that has said something lately; `null`: nobody does. */
  readonly upload: { readonly id: string; readonly isLive: boolean } | null;
}
/** Of the rights of the tenant itself. */
export type TenantRights = Rights & { readonly tenantId: string };

interface LeasedRow extends BatchRow {
  readonly is_leased: boolean;
}
const COLUMNS = "*, coalesce(lease_until > now(), false) AS is_leased";
const toStored = ({ is_leased, ...row }: LeasedRow): StoredBatch =>
  ({ reply: toReply(row), defaults: row.defaults, key_id: row.key_id, upload: row.status === "open" && row.leased_by !== null ? { id: row.leased_by, isLive: is_leased } : null });
const noSuchBatch = (batchId: string) => new AppError("not_found", `there is no batch ${batchId}`);

export interface OpenedBatch {
  readonly reply: BatchReply;
  readonly isNew: boolean;
}
/** Makes it, or gives the one that is there: the same id is the same batch. Throws `idempotency_mismatch` when its defaults are others. */
export const openBatch = (rights: TenantRights, { batch_id, name, defaults, key_id }: { batch_id: string; name: string | null; defaults: BatchDefaults; key_id: string | null }): Promise<OpenedBatch> =>
  withRights(rights, async (client) => {
    const { rowCount } = await client.query("INSERT INTO batches (tenant_id, batch_id, name, status, defaults, key_id) VALUES ($1, $2, $3, 'open', $4, $5) ON CONFLICT DO NOTHING", [rights.tenantId, batch_id, name, JSON.stringify(defaults), key_id]);
    const { reply, defaults: stored } = await readLocked(client, { tenant_id: rights.tenantId, batch_id });
    if (!isDeepStrictEqual(stored, JSON.parse(JSON.stringify(defaults)))) throw new AppError("idempotency_mismatch", `batch ${batch_id} has other defaults: take a new batch_id`);
    return { reply, isNew: rowCount === 1 };
  });

/** An upload of a whole batch that says nothing for this long keeps parts from the batch no longer. A slow one goes on, unless one came. */
const UPLOAD_LEASE = "make_interval(secs => 60)";
/**
 * Begins to fill a batch in one upload, from its first line on; what an earlier upload has left goes. The latest upload has the
 * batch: an earlier one that still sends is refused its next lines. A batch that was started stays as it is.
 */
export const beginUpload = (rights: TenantRights, batch_id: string, uploadId: string): Promise<StoredBatch> =>
  withRights(rights, async (client) => {
    const key = { tenant_id: rights.tenantId, batch_id };
    const stored = await readLocked(client, key);
    if (stored.reply.status !== "open") return stored;
    await client.query("DELETE FROM batch_items WHERE tenant_id = $1 AND batch_id = $2", [key.tenant_id, batch_id]);
    await client.query(`UPDATE batches SET line_count = 0, leased_by = $3, lease_until = now() + ${UPLOAD_LEASE} WHERE tenant_id = $1 AND batch_id = $2`, [key.tenant_id, batch_id, uploadId]);
    return readLocked(client, key);
  });

/** Takes away what an upload has stored that broke off, if no other has the batch by now. */
export const endUpload = (rights: TenantRights, batch_id: string, uploadId: string): Promise<void> =>
  withRights(rights, async (client) => {
    const { rowCount } = await client.query("UPDATE batches SET line_count = 0, leased_by = NULL, lease_until = NULL WHERE tenant_id = $1 AND batch_id = $2 AND status = 'open' AND leased_by = $3", [rights.tenantId, batch_id, uploadId]);
    if (rowCount === 1) await client.query("DELETE FROM batch_items WHERE tenant_id = $1 AND batch_id = $2", [rights.tenantId, batch_id]);
  });

/** `uploadId`: of an upload of the whole batch; `null`: of a part. */
function assertOwn({ reply: { batch_id, status }, upload }: StoredBatch, uploadId: string | null): void {
  if (status !== "open" || (uploadId === null ? upload?.isLive !== true : upload?.id === uploadId)) return;
  throw new AppError("conflict", uploadId === null ? `batch ${batch_id} is being filled by an upload of all its lines: wait for its end` : `another upload of batch ${batch_id} has begun, and this one has ended`);
}

/**
 * Adds lines from `firstLine` on, which must be the next one, or one that is there already: a part that is sent again changes
 * nothing. Throws `conflict` where lines are missing before it, for a batch that takes none any more, and where another upload
 * fills it; `idempotency_mismatch` where a line that is there says something else.
 */
export const addLines = (rights: TenantRights, batch_id: string, firstLine: number, lines: readonly BatchLine[], uploadId: string | null): Promise<StoredBatch> =>
  withRights(rights, async (client) => {
    const key = { tenant_id: rights.tenantId, batch_id };
    const stored = await readLocked(client, key);
    assertOwn(stored, uploadId);
    const { reply } = stored;
    const last = firstLine + lines.length - 1;
    if (reply.status !== "open" && last > reply.lines) throw new AppError("conflict", `batch ${batch_id} is ${reply.status} and takes no more lines`);
    if (firstLine > reply.lines + 1) throw new AppError("conflict", `batch ${batch_id} has ${reply.lines} lines: send from line ${reply.lines + 1} on`);
    if (last > MOST_LINES) throw new AppError("invalid_request", `a batch has at most ${MOST_LINES} lines`);
    const known = lines.slice(0, Math.max(0, reply.lines + 1 - firstLine));
    await assertSame(client, key, firstLine, known);
    const fresh = lines.slice(known.length);
    if (fresh.length === 0) return readLocked(client, key);
    const numbers = fresh.map((_line, i) => last - fresh.length + 1 + i);
    await client.query({
      name: "add_batch_lines",
      text: "INSERT INTO batch_items (tenant_id, batch_id, line, custom_id, fingerprint, request) SELECT $1, $2, * FROM unnest($3::int[], $4::text[], $5::text[], $6::jsonb[])",
      values: [key.tenant_id, batch_id, numbers, fresh.map(({ custom_id }) => custom_id), fresh.map(({ request }) => fingerprintOf(request)), fresh.map(({ request }) => JSON.stringify(request))],
    });
    await client.query(`UPDATE batches SET line_count = $3, leased_by = $4, lease_until = CASE WHEN $4::text IS NOT NULL THEN now() + ${UPLOAD_LEASE} END WHERE tenant_id = $1 AND batch_id = $2`, [key.tenant_id, batch_id, last, uploadId]);
    return readLocked(client, key);
  });

/** All lines are there. Safe to repeat. Throws `conflict` for one without lines, or that was cancelled. */
export const startBatch = (rights: TenantRights, batch_id: string, uploadId: string | null): Promise<StoredBatch> =>
  withRights(rights, async (client) => {
    const key = { tenant_id: rights.tenantId, batch_id };
    const stored = await readLocked(client, key);
    assertOwn(stored, uploadId);
    const { reply } = stored;
    if (reply.status === "cancelled") throw new AppError("conflict", `batch ${batch_id} was cancelled`);
    if (reply.lines === 0) throw new AppError("conflict", `batch ${batch_id} has no lines`);
    await client.query("UPDATE batches SET status = 'running', started_at = now(), leased_by = NULL, lease_until = NULL WHERE tenant_id = $1 AND batch_id = $2 AND status = 'open'", [key.tenant_id, batch_id]);
    return readLocked(client, key);
  });

/** What runs ends, nothing more is begun. Safe to repeat; a batch that has ended stays as it is. */
export const cancelBatch = (rights: TenantRights, batch_id: string): Promise<StoredBatch> =>
  withRights(rights, async (client) => {
    const key = { tenant_id: rights.tenantId, batch_id };
    await readLocked(client, key);
    const { rows: [cancelled] } = await client.query<EndedRow>("UPDATE batches SET status = 'cancelled', finished_at = now() WHERE tenant_id = $1 AND batch_id = $2 AND status IN ('open', 'running') RETURNING *", [key.tenant_id, batch_id]);
    const stored = await readLocked(client, key);
    if (cancelled === undefined) return stored;
    await client.query("RESET ROLE");
    await tellOfEnd(client, cancelled);
    return stored;
  });

export const readBatch = (rights: TenantRights, batch_id: string): Promise<StoredBatch> =>
  withRights(rights, async (client) => {
    const { rows: [row] } = await client.query<LeasedRow>(`SELECT ${COLUMNS} FROM batches WHERE tenant_id = $1 AND batch_id = $2`, [rights.tenantId, batch_id]);
    if (row === undefined) throw noSuchBatch(batch_id);
    return toStored(row);
  });

/** The latest first. */
export const listBatches = (rights: TenantRights, limit: number): Promise<BatchReply[]> =>
  withRights(rights, async (client) => {
    const { rows } = await client.query<LeasedRow>(`SELECT ${COLUMNS} FROM batches WHERE tenant_id = $1 ORDER BY created_at DESC, batch_id LIMIT $2`, [rights.tenantId, limit]);
    return rows.map((row) => toStored(row).reply);
  });

/** Results of lines after `afterLine`, in their order, `limit` at most; those that have not ended are left out. */
export const readResults = (rights: TenantRights, batch_id: string, afterLine: number, limit: number): Promise<BatchResult[]> =>
  withRights(rights, async (client) => {
    const { rows } = await client.query<{ line: number; custom_id: string | null; result: Omit<BatchResult, "line" | "custom_id"> }>(
      "SELECT line, custom_id, result FROM batch_items WHERE tenant_id = $1 AND batch_id = $2 AND line > $3 AND result IS NOT NULL ORDER BY line LIMIT $4", [rights.tenantId, batch_id, afterLine, limit]);
    return rows.map(({ line, custom_id, result }) => ({ line, custom_id, ...result }));
  });

async function assertSame(client: PoolClient, { tenant_id, batch_id }: BatchKey, firstLine: number, lines: readonly BatchLine[]): Promise<void> {
  if (lines.length === 0) return;
  const { rows: [other] } = await client.query<{ line: number }>(
    `SELECT item.line FROM batch_items AS item JOIN unnest($3::int[], $4::text[], $5::text[]) AS sent(line, custom_id, fingerprint) USING (line)
     WHERE item.tenant_id = $1 AND item.batch_id = $2 AND (item.fingerprint <> sent.fingerprint OR item.custom_id IS DISTINCT FROM sent.custom_id) ORDER BY item.line LIMIT 1`,
    [tenant_id, batch_id, lines.map((_line, i) => firstLine + i), lines.map(({ custom_id }) => custom_id), lines.map(({ request }) => fingerprintOf(request))],
  );
  if (other !== undefined) throw new AppError("idempotency_mismatch", `line ${other.line} of batch ${batch_id} was another one: take a new batch_id`);
}

async function readLocked(client: PoolClient, { tenant_id, batch_id }: BatchKey): Promise<StoredBatch> {
  const { rows: [row] } = await client.query<LeasedRow>(`SELECT ${COLUMNS} FROM batches WHERE tenant_id = $1 AND batch_id = $2 FOR UPDATE`, [tenant_id, batch_id]);
  if (row === undefined) throw noSuchBatch(batch_id);
  return toStored(row);
}
