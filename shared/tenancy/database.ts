import type { Pool, PoolClient } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import { isBadRow } from "#shared/db/pool.ts";
import { inTransaction, inTransactionOf, inTransactionOfViewer } from "#shared/db/transaction.ts";

/** Whose rights a change or a look has: a tenant's, an operator's (`null`), or the service's own, where nobody asked for it. */
export interface Rights {
  readonly pool: Pool;
  readonly tenantId: string | null;
  readonly isServiceItself?: boolean;
  /** It only looks: with the rights of a viewer, or for `null` the service's own. */
  readonly isViewer?: boolean;
}

/** One transaction. Throws what `run` throws; what is of the database, but for a row that it refuses, is an outage: `database_unavailable`. */
export async function withRights<R>({ pool, tenantId, isServiceItself = false, isViewer = false }: Rights, run: (client: PoolClient) => Promise<R>): Promise<R> {
  try {
    if (isViewer) return await inTransactionOfViewer(pool, tenantId, run);
    return await (isServiceItself ? inTransaction(pool, run) : inTransactionOf(pool, tenantId, run));
  } catch (cause) {
    if (!isOfDatabase(cause) || isBadRow(cause)) throw cause;
    throw new AppError("database_unavailable", "tenants and keys cannot be read or changed now", { cause });
  }
}

/** Errors of Postgres and of the network have a code, those of its client are plain. */
const isOfDatabase = (error: unknown): boolean =>
  error instanceof Error && !(error instanceof AppError) && !(error instanceof TypeError) && ("code" in error || error.constructor === Error);

export const isoOf = (time: string | Date): string => new Date(time).toISOString();
export const isoOrNull = (time: string | Date | null): string | null => (time === null ? null : isoOf(time));

export const noSuchTenant = (tenantId: string): AppError => new AppError("not_found", `there is no tenant ${tenantId}`);
