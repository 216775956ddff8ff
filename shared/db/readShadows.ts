import type { Pool } from "pg";
import { z } from "zod";

import { AppError } from "#shared/contracts/errors.ts";
import { Probability } from "#shared/contracts/probability.ts";
import { Shadow } from "#shared/contracts/shadow.ts";

/** A sampled request with how each tier did on it, and what was said about its kept answer, by source. */
const ShadowWithFeedback = z.object({
  ...Shadow.pick({ tenant_id: true, request_id: true, task: true, query: true, tiers: true }).shape,
  /** ISO 8601. */
  at: z.string(),
  reference_tier: z.string(),
  feedback: z.record(z.string(), Probability),
});
export type ShadowWithFeedback = z.infer<typeof ShadowWithFeedback>;

export interface ShadowsWanted {
  /** ISO 8601; `null`: from the beginning. */
  readonly since: string | null;
  /** `null`: of all tenants. */
  readonly tenantId: string | null;
  /** The latest so many. */
  readonly maxRows: number;
}

/** Few enough for the pool's statement timeout. */
const PAGE_ROWS = 500;
const QUERY = `
  SELECT tenant_id, request_id, task, query, reference_tier,
    tiers || coalesce((SELECT jsonb_agg(to_jsonb(asked) || '{"is_kept": false, "is_shadow": true}' ORDER BY asked.at, tier) FROM shadow_tiers AS asked WHERE asked.request_id = shadows.request_id AND asked.tenant_id = shadows.tenant_id), '[]') AS tiers,
    to_char(shadows.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at, shadows.at::text AS cursor_at,
    coalesce((SELECT jsonb_object_agg(source, score) FROM feedback WHERE feedback.request_id = shadows.request_id AND feedback.tenant_id = shadows.tenant_id), '{}') AS feedback
  FROM shadows
  WHERE ($1::timestamptz IS NULL OR shadows.at >= $1) AND ($2::text IS NULL OR tenant_id = $2)
    AND ($3::timestamptz IS NULL OR (shadows.at, tenant_id, request_id) < ($3, $4, $5))
  ORDER BY shadows.at DESC, tenant_id DESC, request_id DESC LIMIT $6`;

/** The latest first, page by page. Throws `database_unavailable`. */
export async function* readShadows(pool: Pool, { since, tenantId, maxRows }: ShadowsWanted): AsyncGenerator<ShadowWithFeedback> {
  let after: readonly [at: string, tenant: string, request: string] | null = null;
  for (let left = maxRows; left > 0; left -= PAGE_ROWS) {
    const limit = Math.min(PAGE_ROWS, left);
    const page: Record<string, unknown>[] = await read(pool, [since, tenantId, ...(after ?? [null, null, null]), limit]);
    const rows = page.map((row) => ShadowWithFeedback.parse(row));
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < limit) return;
    after = [String(page.at(-1)?.["cursor_at"]), last.tenant_id, last.request_id];
  }
}

async function read(pool: Pool, values: unknown[]): Promise<Record<string, unknown>[]> {
  try {
    return (await pool.query<Record<string, unknown>>(QUERY, values)).rows;
  } catch (cause) {
    throw new AppError("database_unavailable", `the table shadows cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
