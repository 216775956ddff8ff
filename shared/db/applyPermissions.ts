/**
 * Makes the database as `permissions.ts` says: roles, what each may become, grants, row-level security. Safe to repeat; what somebody granted to these roles
 * by hand is taken back. In the caller's transaction. Whoever runs it owns the tables and may make roles.
 */
import type { ClientBase } from "pg";

import { DATABASE_ROLES, MAY_BECOME, roleName, TABLES } from "./permissions.ts";

export async function applyPermissions(client: ClientBase): Promise<void> {
  await makeRoles(client);
  await client.query(Object.entries(TABLES).flatMap(([table, { rights }]) => grantsOf(table, rights)).join(";\n"));
  await bindRows(client);
}

const ALL_ROLES = DATABASE_ROLES.map(roleName).join(", ");
function grantsOf(table: string, rights: (typeof TABLES)[string]["rights"]): string[] {
  const granted = DATABASE_ROLES.flatMap((role) => (rights[role] === undefined ? [] : [`GRANT ${rights[role].join(", ")} ON "${table}" TO ${roleName(role)}`]));
  return [`REVOKE ALL ON "${table}" FROM PUBLIC, ${ALL_ROLES}`, ...granted];
}

/**
 * Roles belong to the whole server: another database of it may have made them, or make them now. A service does not have the rights of what it may become
 * before it has become it. An owner who is no superuser is a member of all, so that it may act as each and sees the rows that it is forced to.
 */
async function makeRoles(client: ClientBase): Promise<void> {
  const memberships = Object.entries(MAY_BECOME).flatMap(([service, taken]) => taken.map((role) => `('${roleName(role)}', 'infer_${service}')`));
  await client.query(`DO $$
    DECLARE
      wanted text;
      pair record;
      is_super boolean := (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
    BEGIN
      FOREACH wanted IN ARRAY ARRAY[${DATABASE_ROLES.map((role) => `'${roleName(role)}'`).join(", ")}] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted); END IF;
        IF NOT is_super AND NOT EXISTS (SELECT FROM pg_auth_members WHERE roleid = wanted::regrole AND member = current_user::regrole) THEN EXECUTE format('GRANT %I TO %I', wanted, current_user); END IF;
      END LOOP;
      FOR pair IN SELECT * FROM (VALUES ${memberships.join(", ")}) AS one(taken, service) LOOP
        IF NOT EXISTS (SELECT FROM pg_auth_members WHERE roleid = pair.taken::regrole AND member = pair.service::regrole) THEN EXECUTE format('GRANT %I TO %I', pair.taken, pair.service); END IF;
      END LOOP;
    END $$`);
}

interface Bound {
  readonly table: string;
  readonly is_bound: boolean;
  /** Policies by name, with their roles in order. */
  readonly policies: Readonly<Record<string, string>>;
}
const OWN = "(tenant_id = current_setting('app.tenant', true))";

/** Changes only what is not so yet: each change takes a lock that waits for all readers. */
async function bindRows(client: ClientBase): Promise<void> {
  const { rows } = await client.query<Bound>(`
    SELECT relname AS table, relrowsecurity AND relforcerowsecurity AS is_bound,
      coalesce((SELECT jsonb_object_agg(policyname, array_to_string(ARRAY(SELECT unnest(roles)::text ORDER BY 1), ', ')) FROM pg_policies WHERE schemaname = 'public' AND tablename = relname), '{}') AS policies
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY($1)`, [Object.keys(TABLES)]);
  const changes = Object.entries(TABLES).flatMap(([table, { hasTenant, rights }]) => {
    const found = rows.find((row) => row.table === table);
    if (!hasTenant || found === undefined) return [];
    const { tenant, viewer, ...others } = rights;
    const own = [...(tenant === undefined ? [] : ["infer_tenant"]), ...(viewer === undefined ? [] : ["infer_viewer"])].join(", ");
    const all = Object.keys(others).map((role) => `infer_${role}`).sort().join(", ");
    return [
      ...(found.is_bound ? [] : [`ALTER TABLE "${table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`]),
      ...(own === "" || found.policies["own_rows"] === own ? [] : [`DROP POLICY IF EXISTS own_rows ON "${table}"`, `CREATE POLICY own_rows ON "${table}" TO ${own} USING ${OWN} WITH CHECK ${OWN}`]),
      ...(found.policies["all_rows"] === all ? [] : [`DROP POLICY IF EXISTS all_rows ON "${table}"`, `CREATE POLICY all_rows ON "${table}" TO ${all} USING (true) WITH CHECK (true)`]),
    ];
  });
  if (changes.length > 0) await client.query(changes.join(";\n"));
}
