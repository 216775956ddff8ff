import { makePool } from "#shared/db/pool.ts";
import { ERASE_ANSWER_MS, eraseRows } from "#shared/erasure/eraseRows.ts";
import { keepErased } from "#shared/erasure/keepErased.ts";
import type { RoleContext } from "#shared/runtime/runRole.ts";

/** Rows of those who were erased, until the signal, beside the writing of rows and with a connection of its own. Routers do the keys (router/eraseKeysAsked.ts). */
export function eraseAsked({ databaseUrl }: { readonly databaseUrl: string }, { log, signal, onClose }: Pick<RoleContext, "log" | "signal" | "onClose">): void {
  const pool = makePool(databaseUrl, "audit-sink-erasure", (error) => { log.warn({ err: error }, "a Postgres connection broke"); }, { service: "audit_sink", connections: 1, answerTimeoutMs: ERASE_ANSWER_MS });
  onClose("postgres of erasures", () => pool.end());
  keepErased({ pool, what: "rows", erase: (erasure) => eraseRows(pool, erasure, { signal }), log, signal });
}
