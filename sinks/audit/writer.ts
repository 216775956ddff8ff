import type { ClientBase, Pool } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import { isBadRow } from "#shared/db/pool.ts";
import { inTransaction } from "#shared/db/transaction.ts";
import { failpoint } from "#shared/runtime/failpoint.ts";

/** What became of each item of a batch, in its order: written (or there already), or the reason why it never will be. */
export type Written = readonly ({ readonly ok: true } | { readonly ok: false; readonly reason: string })[];
export interface Writer<T> {
  /** Committed when it resolves. Idempotent. Throws `database_unavailable` when nothing is known to be written. */
  write(batch: readonly T[]): Promise<Written>;
}
/** Returns the places in the batch of what is in its table now; of the rest, another row of its key was first. Must be idempotent. */
export type Insert<T> = (client: ClientBase, batch: readonly T[]) => Promise<ReadonlySet<number>>;

const DUPLICATE = { ok: false, reason: "duplicate_id: another outcome of this id is in the audit already" } as const;

/** One transaction per batch. A batch that Postgres refuses is halved until the bad item is alone. */
export function makeWriter<T>(pool: Pool, insert: Insert<T>): Writer<T> {
  const write = async (batch: readonly T[]): Promise<Written> => {
    try {
      const written = await inTransaction(pool, async (client) => {
        const places = await insert(client, batch);
        failpoint("before_commit");
        return places;
      });
      failpoint("after_commit");
      return batch.map((_item, i) => (written.has(i) ? { ok: true } : DUPLICATE));
    } catch (error) {
      if (!isBadRow(error)) throw new AppError("database_unavailable", "the audit rows cannot be written now", { cause: error });
      if (batch.length === 1) return [{ ok: false, reason: `Postgres refuses this row: ${(error as Error).message}` }];
      const half = Math.ceil(batch.length / 2);
      return [...(await write(batch.slice(0, half))), ...(await write(batch.slice(half)))];
    }
  };
  return { write };
}
