import { Client, type Pool, type QueryResult, type QueryResultRow } from "pg";

import { migrateDatabase } from "#shared/db/migrate.ts";
import { inTransaction } from "#shared/db/transaction.ts";

/**
 * A migrated database of its own for a test file, beside the shared one. `drop` waits (the server does, 5 s) for connections that are about to end, as
 * those of a pool are when its `end` resolves, and fails while somebody is still connected. `dropAtOnce` cuts them off.
 */
export async function makeTestDatabase(adminUrl: string, name: string): Promise<{ url: string; drop: () => Promise<void>; dropAtOnce: () => Promise<void> }> {
  const database = `test_${name}_${process.pid}`;
  const asAdmin = async (sql: string) => {
    const admin = new Client({ connectionString: adminUrl });
    await admin.connect();
    await admin.query(sql).finally(() => admin.end());
  };
  await asAdmin(`CREATE DATABASE "${database}"`);
  const url = new URL(adminUrl);
  url.pathname = `/${database}`;
  await migrateDatabase(url.href);
  const drop = `DROP DATABASE "${database}"`;
  return { url: url.href, drop: () => asAdmin(drop), dropAtOnce: () => asAdmin(`${drop} WITH (FORCE)`) };
}

/** Past the triggers that keep tables append-only, as a superuser may: to empty tables between tests, and to falsify what a test is to find. */
export const pastTriggers = <R extends QueryResultRow>(pool: Pool, sql: string, values?: unknown[]): Promise<QueryResult<R>> =>
  inTransaction(pool, async (client) => {
    await client.query("SET LOCAL session_replication_role = replica");
    return client.query<R>(sql, values);
  });
