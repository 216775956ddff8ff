import type { Pool, PoolClient } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import { inTransactionOf } from "#shared/db/transaction.ts";

/** Whose rights a change or a look has: a tenant's, or of whoever runs the service (`null`). */
export interface Rights {
  readonly pool: Pool;
  readonly tenantId: string | null;
}

/** One transaction. What is not an answer of ours is an outage. */
export async function withRights<R>({ pool, tenantId }: Rights, run: (client: PoolClient) => Promise<R>): Promise<R> {
  try {
    return await inTransactionOf(pool, tenantId, run);
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw new AppError("database_unavailable", "tenants and keys cannot be read or changed now", { cause });
  }
}

export const isoOf = (time: string | Date): string => new Date(time).toISOString();
export const isoOrNull = (time: string | Date | null): string | null => (time === null ? null : isoOf(time));
