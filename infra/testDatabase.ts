import { Client } from "pg";

import { migrateDatabase } from "#shared/db/migrate.ts";

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
