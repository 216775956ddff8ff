import type { Pool } from "pg";

import { SERVICES } from "#infra/embedded/services.ts";
import { isAtLeast, parseVersion } from "#infra/embedded/serverVersion.ts";
import { comparedMigrations } from "#shared/db/migrate.ts";
import { DATABASE_ROLES, roleName, TABLES } from "#shared/db/permissions.ts";

import type { Place } from "../../place.ts";
import { type Check, type Finding, ok, problem, warning } from "../finding.ts";

export interface PostgresLooked {
  readonly url: string;
  readonly version: string;
  readonly pendingMigrations: number;
  readonly unknownMigrations: number;
  readonly missingRoles: readonly string[];
  readonly missingTables: readonly string[];
  /** Tables with a tenant on which row-level security is not forced, or that lack the policy of tenants. */
  readonly unbound: readonly string[];
  /** Append-only tables without a trigger. */
  readonly unguarded: readonly string[];
}

export const postgres: Check<Place> = {
  title: "Postgres",
  run: async (place) => {
    const opened = await place.postgres().catch((error: unknown) => error as Error);
    if (opened instanceof Error) return [problem(opened.message, /does not exist/.test(opened.message) ? "Make the database and its tables: inferctl migrate" : "Start it (inferctl up), or correct DATABASE_URL.")];
    return judgePostgres(await look(opened.pool, opened.url));
  },
};

async function look(pool: Pool, url: string): Promise<PostgresLooked> {
  const { rows: [server] } = await pool.query<{ server_version: string }>("SHOW server_version");
  const { pending, unknown } = await comparedMigrations(pool);
  const { rows: roles } = await pool.query<{ rolname: string }>("SELECT rolname FROM pg_roles WHERE rolname = ANY($1)", [DATABASE_ROLES.map(roleName)]);
  const { rows: tables } = await pool.query<{ name: string; is_bound: boolean; has_policy: boolean; has_trigger: boolean }>(`
    SELECT relname AS name, relrowsecurity AND relforcerowsecurity AS is_bound,
      EXISTS (SELECT FROM pg_policies WHERE schemaname = 'public' AND tablename = relname AND policyname = 'own_rows') AS has_policy,
      EXISTS (SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid AND tgname = 'append_only' AND tgenabled <> 'D') AS has_trigger
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY($1)`, [Object.keys(TABLES)]);
  const ofTable = new Map(tables.map((table) => [table.name, table]));
  const there = (name: string) => ofTable.has(name);
  return {
    url, version: parseVersion(server?.server_version ?? "") ?? "unknown", pendingMigrations: pending, unknownMigrations: unknown,
    missingRoles: DATABASE_ROLES.map(roleName).filter((name) => !roles.some(({ rolname }) => rolname === name)),
    missingTables: Object.keys(TABLES).filter((name) => !there(name)),
    unbound: Object.entries(TABLES).flatMap(([name, { hasTenant, rights }]) => (hasTenant && there(name) && (ofTable.get(name)?.is_bound !== true || (rights.tenant !== undefined && ofTable.get(name)?.has_policy !== true)) ? [name] : [])),
    unguarded: Object.entries(TABLES).flatMap(([name, { isAppendOnly = false }]) => (isAppendOnly && there(name) && ofTable.get(name)?.has_trigger !== true ? [name] : [])),
  };
}

export function judgePostgres({ url, version, pendingMigrations, unknownMigrations, missingRoles, missingTables, unbound, unguarded }: PostgresLooked): Finding[] {
  const migrate = "Run as the owner of the tables: inferctl migrate";
  return [
    isAtLeast(version, SERVICES.postgres.minimumVersion) ? ok(`Postgres ${version} at ${url}`) : problem(`Postgres ${version} at ${url} is too old: ${SERVICES.postgres.minimumVersion} or newer is needed`, "Upgrade it (pg_upgrade), then: inferctl migrate"),
    ...(pendingMigrations === 0 ? [] : [problem(`${pendingMigrations} ${pendingMigrations === 1 ? "migration is" : "migrations are"} not applied`, migrate)]),
    ...(unknownMigrations === 0 ? [] : [warning(`its tables are of a later version: ${unknownMigrations} migrations that this one does not know`, "Use the inferctl, and the roles, of that version.")]),
    ...(missingTables.length === 0 || pendingMigrations > 0 ? [] : [problem(`tables are missing: ${missingTables.join(", ")}`, "Somebody has removed them: restore them from a backup.")]),
    ...(missingRoles.length === 0 ? [] : [problem(`roles are missing: ${missingRoles.join(", ")}`, `${migrate}, who may make roles`)]),
    ...(unbound.length === 0 ? [] : [problem(`row-level security does not keep tenants apart on ${unbound.join(", ")}`, migrate)]),
    ...(unguarded.length === 0 ? [] : [problem(`nothing keeps from changing what is append-only: ${unguarded.join(", ")}`, "Its trigger is gone or disabled: ALTER TABLE ... ENABLE TRIGGER ALL, or restore it from shared/db/migrations.")]),
    ...(pendingMigrations + missingTables.length + missingRoles.length + unbound.length + unguarded.length > 0 ? [] : [ok(`all ${Object.keys(TABLES).length} tables and ${DATABASE_ROLES.length} roles are there, row-level security keeps tenants apart`)]),
  ];
}
