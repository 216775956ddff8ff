import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { drizzle } from "drizzle-orm/node-postgres";
import { migrate } from "drizzle-orm/node-postgres/migrator";
import { Client } from "pg";

/** Two at once wait for each other. Any constant will do. */
const LOCK = 7_219_445_031;

/** Applies what is missing, in order, each once. Returns how many. Throws when the database cannot be reached. */
export async function migrateDatabase(url: string): Promise<number> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000, application_name: "infer-migrate" });
  await client.connect();
  try {
    await client.query("SELECT pg_advisory_lock($1)", [LOCK]);
    const before = await appliedCount(client);
    await migrate(drizzle(client), { migrationsFolder: migrationsFolder() });
    return (await appliedCount(client)) - before;
  } finally {
    await client.end(); // releases the lock
  }
}

async function appliedCount(client: Client): Promise<number> {
  const { rows } = await client.query<{ found: string | null }>("SELECT to_regclass('drizzle.__drizzle_migrations')::text AS found");
  if (rows[0]?.found == null) return 0;
  const counted = await client.query<{ count: number }>("SELECT count(*)::int AS count FROM drizzle.__drizzle_migrations");
  return counted.rows[0]?.count ?? 0;
}

/** Beside this file in the sources; `dist/migrations` beside the bundle. */
function migrationsFolder(): string {
  const bundled = fileURLToPath(new URL("./migrations", import.meta.url));
  if (existsSync(bundled)) return bundled;
  throw new Error(`no migrations at ${bundled}: run npm run build`);
}
