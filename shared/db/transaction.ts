import type { Pool, PoolClient } from "pg";

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

/**
 * The same with the rights of one tenant: row-level security shows and takes its rows alone, whatever the SQL says. `null`: of
 * whoever runs the service, who sees all.
 */
export const inTransactionOf = <R>(pool: Pool, tenantId: string | null, run: (client: PoolClient) => Promise<R>): Promise<R> =>
  inTransaction(pool, async (client) => {
    if (tenantId !== null) {
      await client.query("SET LOCAL ROLE infer_tenant");
      await client.query("SELECT set_config('app.tenant', $1, true)", [tenantId]);
    }
    return run(client);
  });
