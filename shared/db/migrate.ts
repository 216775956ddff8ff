import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { drizzle } from "drizzle-orm/node-postgres";
import { readMigrationFiles } from "drizzle-orm/migrator";
import { migrate } from "drizzle-orm/node-postgres/migrator";
import { Client, type ClientBase, type Pool } from "pg";

import { applyPermissions } from "./applyPermissions.ts";

/** Two at once wait for each other. Any constant will do. */
const LOCK = 7_219_445_031;

/** Applies what is missing, in order, each once, and then who may do what. Returns how many. Throws when the database cannot be reached. */
export async function migrateDatabase(url: string): Promise<number> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000, application_name: "infer-migrate" });
  await client.connect();
  try {
    await client.query("SELECT pg_advisory_lock($1)", [LOCK]);
    const before = await appliedCount(client);
    await migrate(drizzle(client), { migrationsFolder: migrationsFolder() });
    await permit(client);
    return (await appliedCount(client)) - before;
  } finally {
    await client.end(); // releases the lock
  }
}

const TRIES = 20;
/** Roles are of the whole server, and whoever migrates another of its databases may change the same one at this moment: then Postgres refuses one of the two. */
async function permit(client: Client): Promise<void> {
  for (let triesLeft = TRIES; ; triesLeft -= 1) {
    try {
      await client.query("BEGIN");
      await applyPermissions(client);
      await client.query("COMMIT");
      return;
    } catch (error) {
      await client.query("ROLLBACK");
      if (triesLeft === 0 || !isOfAnother(error)) throw error;
      await sleep(20 + 30 * Math.random());
    }
  }
}
/** Already there by now, or just being changed ("tuple concurrently updated", which has no code of its own). */
const isOfAnother = (error: unknown): boolean =>
  error instanceof Error && "code" in error && (["23505", "42710", "40001", "40P01"].includes(String(error.code)) || /concurrently (?:updated|deleted)/.test(error.message));

/** Migrations of this version that a database lacks, and those that it has of a later one. Throws what Postgres says. */
export async function comparedMigrations(pool: Pick<Pool, "query">): Promise<{ readonly pending: number; readonly unknown: number }> {
  const [known, applied] = [readMigrationFiles({ migrationsFolder: migrationsFolder() }).length, await appliedCount(pool)];
  return { pending: Math.max(0, known - applied), unknown: Math.max(0, applied - known) };
}

async function appliedCount(client: Pick<ClientBase, "query">): Promise<number> {
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
