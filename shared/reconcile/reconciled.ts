/** What the last runs came to, in Postgres: marks and open differences, for whoever runs the next one. Throws `database_unavailable`. */
import type { Pool, PoolClient } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import { Difference, type DifferenceKind } from "#shared/contracts/difference.ts";
import { storableJson } from "#shared/contracts/text.ts";
import { inTransaction } from "#shared/db/transaction.ts";

import { keyOf } from "./difference.ts";
import { type Mark, MOST_OPEN, type PartRun } from "./parts.ts";

export interface Before {
  readonly mark: Mark | null;
  /** Epoch milliseconds; `null`: never. */
  readonly finishedAtMs: number | null;
  readonly open: readonly Difference[];
}

const unavailable = (cause: unknown) => new AppError("database_unavailable", "what was reconciled cannot be read or written", { cause });

export async function readBefore(pool: Pool, part: string): Promise<Before> {
  try {
    const { rows: [mark] } = await pool.query<{ created: string; seq: number; finished: Date }>("SELECT stream_created AS created, seq::float8 AS seq, finished_at AS finished FROM reconcile_marks WHERE part = $1", [part]);
    const { rows } = await pool.query<{ difference: unknown }>("SELECT difference FROM reconcile_differences WHERE part = $1 ORDER BY seen_at LIMIT $2", [part, 2 * MOST_OPEN]);
    const open = rows.flatMap(({ difference }) => Difference.safeParse(difference).data ?? []); // of another version: it is found again, or gone
    return mark === undefined ? { mark: null, finishedAtMs: null, open } : { mark: { created: mark.created, seq: mark.seq }, finishedAtMs: mark.finished.getTime(), open };
  } catch (cause) {
    throw unavailable(cause);
  }
}

/** What is open replaces what was. Returns what is new. */
export async function writeRun(pool: Pool, part: string, { mark, behind, checked, open }: PartRun): Promise<readonly Difference[]> {
  try {
    return await inTransaction(pool, async (client) => {
      const added = await replaceOpen(client, part, open);
      await client.query(
        `INSERT INTO reconcile_marks (part, stream_created, seq, behind, checked, finished_at) VALUES ($1, $2, $3, $4, $5, now())
         ON CONFLICT (part) DO UPDATE SET stream_created = EXCLUDED.stream_created, seq = EXCLUDED.seq, behind = EXCLUDED.behind, checked = reconcile_marks.checked + EXCLUDED.checked, finished_at = EXCLUDED.finished_at`,
        [part, mark.created, mark.seq, behind, checked]);
      return added;
    });
  } catch (cause) {
    throw unavailable(cause);
  }
}

async function replaceOpen(client: PoolClient, part: string, open: readonly Difference[]): Promise<readonly Difference[]> {
  const stored = open.map((one) => storableJson(one) as Difference);
  const keys = stored.map(keyOf);
  await client.query("DELETE FROM reconcile_differences WHERE part = $1 AND key <> ALL($2::text[])", [part, keys]);
  const { rows } = await client.query<{ key: string; is_new: boolean }>(
    `INSERT INTO reconcile_differences AS kept (key, part, kind, tenant_id, request_id, difference)
     SELECT key, $1, difference ->> 'kind', difference ->> 'tenant_id', difference ->> 'request_id', difference FROM unnest($2::text[], $3::jsonb[]) AS one(key, difference)
     ON CONFLICT (key) DO UPDATE SET difference = EXCLUDED.difference, seen_at = now() RETURNING key, xmax = 0 AS is_new`,
    [part, keys, stored.map((one) => JSON.stringify(one))]);
  const added = new Set(rows.filter(({ is_new }) => is_new).map(({ key }) => key));
  return stored.filter((one) => added.has(keyOf(one)));
}

export interface Standing {
  readonly open: ReadonlyMap<DifferenceKind, number>;
  readonly behind: ReadonlyMap<string, number>;
  /** Of the part that finished longest ago: epoch seconds; 0 before all have. */
  readonly finishedAtS: number;
}
export async function readStanding(pool: Pool, parts: readonly string[]): Promise<Standing> {
  try {
    const { rows: open } = await pool.query<{ kind: DifferenceKind; count: number }>("SELECT kind, count(*)::int AS count FROM reconcile_differences WHERE part = ANY($1) GROUP BY kind", [parts]);
    const { rows: marks } = await pool.query<{ part: string; behind: number; finished: number }>("SELECT part, behind::float8 AS behind, extract(epoch FROM finished_at)::float8 AS finished FROM reconcile_marks WHERE part = ANY($1)", [parts]);
    return {
      open: new Map(open.map(({ kind, count }) => [kind, count])),
      behind: new Map(marks.map(({ part, behind }) => [part, behind])),
      finishedAtS: marks.length < parts.length ? 0 : Math.min(...marks.map(({ finished }) => finished)),
    };
  } catch (cause) {
    throw unavailable(cause);
  }
}
