/** What is known of requests beside their audit events: what was said of their answers, and their shadows. */
import type { Pool } from "pg";
import { z } from "zod";

import { AppError } from "#shared/contracts/errors.ts";
import { Probability } from "#shared/contracts/probability.ts";
import { Shadow } from "#shared/contracts/shadow.ts";

const Row = z.object({
  ...Shadow.pick({ tenant_id: true, request_id: true }).shape,
  query: Shadow.shape.query,
  tiers: Shadow.shape.tiers.nullable(),
  feedback: z.record(z.string(), Probability),
});
export interface Judged {
  /** `null`: it was not shadowed. */
  readonly shadow: Pick<Shadow, "tiers" | "query"> | null;
  /** Scores in [0, 1] of the kept answer, by source. */
  readonly feedback: Readonly<Record<string, number>>;
}
interface Id { readonly tenant_id: string; readonly request_id: string }
export const judgedKey = ({ tenant_id, request_id }: Id): string => `${tenant_id}.${request_id}`;

const QUERY = `
  SELECT asked.tenant_id, asked.request_id, shadows.query,
    shadows.tiers || coalesce((SELECT jsonb_agg(to_jsonb(also) || '{"is_kept": false, "is_shadow": true}' ORDER BY also.at, tier) FROM shadow_tiers AS also WHERE also.request_id = asked.request_id AND also.tenant_id = asked.tenant_id), '[]') AS tiers,
    coalesce((SELECT jsonb_object_agg(source, score) FROM feedback WHERE feedback.request_id = asked.request_id AND feedback.tenant_id = asked.tenant_id), '{}') AS feedback
  FROM unnest($1::text[], $2::text[]) AS asked (tenant_id, request_id)
  LEFT JOIN shadows ON shadows.request_id = asked.request_id AND shadows.tenant_id = asked.tenant_id`;

/** By `judgedKey`. For one batch of events: it takes one query. Throws `database_unavailable`. */
export async function readJudged(pool: Pool, ids: readonly Id[]): Promise<Map<string, Judged>> {
  const rows = await pool.query<Record<string, unknown>>(QUERY, [ids.map(({ tenant_id }) => tenant_id), ids.map(({ request_id }) => request_id)]).catch((cause: unknown) => {
    throw new AppError("database_unavailable", `feedback and shadows cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  });
  return new Map(rows.rows.map((row) => {
    const { tiers, query, feedback, ...id } = Row.parse(row);
    return [judgedKey(id), { shadow: tiers === null ? null : { tiers, query }, feedback }];
  }));
}
