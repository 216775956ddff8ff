/** What the audit says of the arms of an experiment. */
import { type Rights, withRights } from "#shared/tenancy/database.ts";

export interface ArmFigures {
  readonly arm: string;
  readonly requests: number;
  readonly failed: number;
  /** In nano-dollars per request. */
  readonly cost_mean: number;
  readonly cost_variance: number;
  /** `null`: none was answered. */
  readonly p95_ms: number | null;
}

/** Without requests that were refused: those say nothing of an arm. Throws `database_unavailable`. */
export const readArms = (rights: Rights, experimentId: string, timeoutMs: number): Promise<ArmFigures[]> => withRights(rights, async (client) => {
  await client.query("SELECT set_config('statement_timeout', $1, true)", [String(timeoutMs)]);
  const { rows } = await client.query<ArmFigures>(
    `SELECT experiment ->> 'arm' AS arm, count(*)::int AS requests, (count(*) FILTER (WHERE outcome = 'failed'))::int AS failed,
       avg(cost_nano_usd)::float8 AS cost_mean, COALESCE(var_samp(cost_nano_usd), 0)::float8 AS cost_variance,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE outcome <> 'failed') AS p95_ms
     FROM requests WHERE experiment ->> 'experiment_id' = $1 AND experiment IS NOT NULL AND outcome <> 'rejected' GROUP BY 1 ORDER BY 1`, [experimentId]);
  return rows;
});
