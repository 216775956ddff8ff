import type { Pool, PoolClient } from "pg";

import { roleName, type TakenRole } from "./permissions.ts";

/** Commits when `run` resolves, rolls back when it throws. */
export async function inTransaction<R>(pool: Pool, run: (client: PoolClient) => Promise<R>): Promise<R> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query("BEGIN");
    const result = await run(client);
    await client.query("COMMIT");
    return result;
  } catch (error) {
    broken = error as Error;
    await client.query("ROLLBACK").then(() => { broken = undefined; }, () => undefined);
    throw error;
  } finally {
    client.release(broken); // a connection that cannot roll back is not used again
  }
}

/** The same as a role that the service may become, until the transaction ends. */
export const inTransactionAs = <R>(pool: Pool, role: TakenRole, run: (client: PoolClient) => Promise<R>): Promise<R> =>
  inTransaction(pool, async (client) => {
    await client.query(`SET LOCAL ROLE ${roleName(role)}`);
    return run(client);
  });

/**
 * With the rights of one tenant: row-level security shows and takes its rows alone, whatever the SQL says. `null`: of an operator, who
 * sees all.
 */
export const inTransactionOf = <R>(pool: Pool, tenantId: string | null, run: (client: PoolClient) => Promise<R>): Promise<R> =>
  inTransactionAs(pool, tenantId === null ? "operator" : "tenant", async (client) => {
    if (tenantId !== null) await client.query("SELECT set_config('app.tenant', $1, true)", [tenantId]);
    return run(client);
  });

/** To look and not to change: one tenant's rows, or all of them with the service's own rights (`null`). */
export const inTransactionOfViewer = <R>(pool: Pool, tenantId: string | null, run: (client: PoolClient) => Promise<R>): Promise<R> =>
  tenantId === null ? inTransaction(pool, run) : inTransactionAs(pool, "viewer", async (client) => {
    await client.query("SELECT set_config('app.tenant', $1, true)", [tenantId]);
    return run(client);
  });
