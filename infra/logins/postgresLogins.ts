import { Client } from "pg";

import { SetupError } from "#infra/embedded/setupError.ts";
import { roleName } from "#shared/db/permissions.ts";

import { LOGINS, scramVerifier, userOf } from "./logins.ts";

/** Makes or changes them, as the owner, who may make roles. Safe to repeat. After the migrations, which make the services' roles. Throws a `SetupError`. */
export async function makePostgresLogins(ownerUrl: string, passwordOf: (name: string) => string): Promise<void> {
  const client = new Client({ connectionString: ownerUrl, connectionTimeoutMillis: 5_000, application_name: "infer-logins" });
  client.on("error", () => undefined); // what it breaks says so
  try {
    await client.connect();
    for (const login of LOGINS.filter(({ database }) => database.length > 0)) {
      const user = userOf("postgres", login);
      const { rowCount } = await client.query("SELECT 1 FROM pg_roles WHERE rolname = $1", [user]);
      await client.query(`${rowCount === 0 ? "CREATE" : "ALTER"} ROLE ${user} LOGIN INHERIT PASSWORD '${scramVerifier(passwordOf(login.name))}'`);
      await client.query(`GRANT ${login.database.map(roleName).join(", ")} TO ${user}`);
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const next = /does not exist/.test(reason) ? "Run first: inferctl migrate" : "Run it as whoever owns the tables and may make roles: DATABASE_URL names it.";
    throw new SetupError(`logins of Postgres: ${reason}`, next, { cause: error });
  } finally {
    await client.end().catch(() => undefined);
  }
}
