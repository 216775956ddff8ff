import type { Pool, PoolClient } from "pg";

import { ZodError } from "zod";

import { AppError } from "#shared/contracts/errors.ts";
import { isBadRow } from "#shared/db/pool.ts";
import { inTransactionOf } from "#shared/db/transaction.ts";

/** Whose rights a change or a look has: a tenant's, or of whoever runs the service (`null`). */
export interface Rights {
  readonly pool: Pool;
  readonly tenantId: string | null;
}

/** One transaction. What is neither an answer of ours, nor a bug, nor a row that Postgres refuses is an outage: `database_unavailable`. */
export async function withRights<R>({ pool, tenantId }: Rights, run: (client: PoolClient) => Promise<R>): Promise<R> {
  try {
    return await inTransactionOf(pool, tenantId, run);
  } catch (cause) {
    if (cause instanceof AppError || cause instanceof TypeError || cause instanceof ZodError || isBadRow(cause)) throw cause;
    throw new AppError("database_unavailable", "tenants and keys cannot be read or changed now", { cause });
  }
}

export const isoOf = (time: string | Date): string => new Date(time).toISOString();
export const isoOrNull = (time: string | Date | null): string | null => (time === null ? null : isoOf(time));
