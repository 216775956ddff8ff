import { getTableColumns, getTableName, type InferInsertModel } from "drizzle-orm";
import type { PgTable } from "drizzle-orm/pg-core";
import type { ClientBase } from "pg";

import { storable } from "#shared/contracts/text.ts";

/**
 * Appends rows with one `INSERT ... SELECT FROM unnest(...)`: one array per column, so the SQL text is the same for any
 * batch size and is prepared once: 10 µs of CPU per row against 40-150 for `db.insert().values()`. A row that is
 * already there is skipped, so a redelivered message is harmless. Returns how many rows were new. Text that Postgres
 * cannot hold is made storable, also inside JSON: an audit row with U+FFFD in it is worth more than none.
 */
export function makeBatchInsert<T extends PgTable>(table: T) {
  const { name, names, from, run } = batchOf(table);
  return run({ name: `batch_${name}`, text: `INSERT INTO "${name}" (${names}) SELECT * FROM ${from} ON CONFLICT DO NOTHING` });
}

/**
 * As `makeBatchInsert`, for rows that replace each other: of one key, in the table or in the batch, the row with the
 * highest `version` stays, in whatever order they come. Returns how many rows were new or changed.
 */
export function makeBatchReplace<T extends PgTable>(table: T, { key, version }: { readonly key: readonly ColumnOf<T>[]; readonly version: ColumnOf<T> }) {
  const { name, names, columnNames, from, run } = batchOf(table);
  const keys = key.map((column) => `"${column}"`).join(", ");
  const changes = columnNames.filter((column) => !(key as readonly string[]).includes(column)).map((column) => `"${column}" = EXCLUDED."${column}"`).join(", ");
  const latest = `SELECT DISTINCT ON (${keys}) * FROM ${from} AS batch(${names}) ORDER BY ${keys}, "${version}" DESC`;
  return run({ name: `replace_${name}`, text: `INSERT INTO "${name}" AS kept (${names}) ${latest} ON CONFLICT (${keys}) DO UPDATE SET ${changes} WHERE kept."${version}" < EXCLUDED."${version}"` });
}
type ColumnOf<T extends PgTable> = keyof InferInsertModel<T> & string;

function batchOf<T extends PgTable>(table: T) {
  const columns = Object.entries(getTableColumns(table));
  const columnNames = columns.map(([, column]) => column.name);
  const arrays = columns.map(([, column], i) => `$${i + 1}::${column.getSQLType()}[]`).join(", ");
  const run = (query: { name: string; text: string }) => async (client: ClientBase, rows: readonly InferInsertModel<T>[]): Promise<number> => {
    const values = columns.map(([property, column]) => rows.map((row) => cell((row as Record<string, unknown>)[property], column.getSQLType() === "jsonb")));
    const { rowCount } = await client.query({ ...query, values });
    return rowCount ?? 0;
  };
  return { name: getTableName(table), columnNames, names: columnNames.map((column) => `"${column}"`).join(", "), from: `unnest(${arrays})`, run };
}

/** A text in a column of JSON is JSON too, with quotes around it. */
function cell(value: unknown, isJson: boolean): unknown {
  if (value === null || value === undefined) return null;
  if (isJson || typeof value === "object") return storableJson(value);
  return typeof value === "string" ? storable(value) : value;
}

/** `JSON.stringify` escapes NUL and lone surrogates. A backslash in the text may look like it: then the walk changes nothing. */
const MAY_BE_UNSTORABLE = /\\u(?:0000|d[89a-f])/;
function storableJson(value: unknown): string {
  const json = JSON.stringify(value);
  return MAY_BE_UNSTORABLE.test(json) ? JSON.stringify(storableTree(value)) : json;
}

function storableTree(value: unknown): unknown {
  if (typeof value === "string") return storable(value);
  if (Array.isArray(value)) return value.map(storableTree);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [storable(key), storableTree(inner)]));
}
