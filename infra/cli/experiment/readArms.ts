/** What the audit says of the arms of an experiment. */
import { guardReadings, type GuardReading } from "#router/outcomeStep.ts";
import { IS_LATE, LATENCY_LIMIT, noOutcomes, OF_EXPERIMENT, readOutcomes } from "#router/readOutcomes.ts";
import type { Experiment } from "#shared/contracts/experiment.ts";
import { type Rights, withRights } from "#shared/tenancy/database.ts";

export interface ArmFigures {
  readonly arm: string;
  readonly requests: number;
  readonly failed: number;
  /** With a limit of latency. */
  readonly limited: number;
  readonly late: number;
  /** In nano-dollars per request. */
  readonly cost_mean: number;
  readonly cost_variance: number;
  /** `null`: none was answered. */
  readonly p95_ms: number | null;
}

/** Its guards as a router sees them, and its arms, without requests that were refused: those say nothing of an arm. Throws `database_unavailable`. */
export const readArms = (rights: Rights, experiment: Experiment, timeoutMs: number): Promise<{ readonly figures: readonly ArmFigures[]; readonly guards: readonly GuardReading[] }> => withRights(rights, async (client) => {
  await client.query("SELECT set_config('statement_timeout', $1, true)", [String(timeoutMs)]);
  const { rows } = await client.query<ArmFigures>(
    `SELECT experiment ->> 'arm' AS arm, count(*)::int AS requests, (count(*) FILTER (WHERE outcome = 'failed'))::int AS failed,
       count(${LATENCY_LIMIT})::int AS limited, (count(*) FILTER (WHERE ${LATENCY_LIMIT} IS NOT NULL AND ${IS_LATE}))::int AS late,
       avg(cost_nano_usd)::float8 AS cost_mean, COALESCE(var_samp(cost_nano_usd), 0)::float8 AS cost_variance,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE outcome <> 'failed') AS p95_ms
     FROM requests WHERE ${OF_EXPERIMENT} GROUP BY 1 ORDER BY 1`, [experiment.experiment_id, experiment.metric.late_after_ms]);
  return { figures: rows, guards: guardReadings(experiment, (await readOutcomes(client, experiment, noOutcomes(experiment))).state) };
});
