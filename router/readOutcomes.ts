/** Outcomes of an experiment's requests in the audit, in the order in which they were stored. */
import type { Pool } from "pg";

import type { Experiment } from "#shared/contracts/experiment.ts";

import { type ArmOutcome, afterOutcome, type OutcomeState, outcomeState } from "./outcomeStep.ts";

/** Of the columns of `requests`. Of an id, as `$1`. A request that was refused says nothing of its arm. */
export const OF_EXPERIMENT = "experiment ->> 'experiment_id' = $1 AND experiment IS NOT NULL AND outcome <> 'rejected'";
/** The limit of latency in milliseconds; of requests that name none `$2`, which may be null. */
export const LATENCY_LIMIT = "COALESCE(latency_slo_ms, $2::int)";
/** Whether it was missed. Null: there is none. */
export const IS_LATE = `(outcome = 'failed' OR latency_ms > ${LATENCY_LIMIT})`;

/** What was read so far, up to a place in COMPLETIONS. */
export interface OutcomesRead {
  readonly experiment_id: string;
  readonly lastSeq: number;
  readonly state: OutcomeState;
}
export const noOutcomes = ({ experiment_id }: Pick<Experiment, "experiment_id">): OutcomesRead => ({ experiment_id, lastSeq: 0, state: outcomeState() });

/** Computed between two looks at what else there is to do: some ten milliseconds. */
const PAGE = 1_000;

/** With all that came since. Of a user the first request alone, where users are the unit: those after it are not drawn anew. */
export async function readOutcomes(db: Pick<Pool, "query">, experiment: Experiment, before: OutcomesRead): Promise<OutcomesRead> {
  const { experiment_id, unit, metric: { late_after_ms } } = experiment;
  const first = unit === "request" ? "" : "DISTINCT ON (tenant_id, user_id)";
  const order = unit === "request" ? "" : "ORDER BY tenant_id, user_id, stream_seq";
  let { lastSeq, state } = before;
  for (;;) {
    const { rows } = await db.query<ArmOutcome & { stream_seq: number }>(
      `SELECT * FROM (SELECT ${first} stream_seq::float8 AS stream_seq, experiment ->> 'arm' AS arm, outcome = 'failed' AS is_failed, CASE WHEN ${LATENCY_LIMIT} IS NOT NULL THEN ${IS_LATE} END AS is_late, cost_nano_usd::float8 AS cost_nano_usd
         FROM requests WHERE ${OF_EXPERIMENT} ${order}) AS one
       WHERE stream_seq > $3 ORDER BY stream_seq LIMIT ${PAGE}`, [experiment_id, late_after_ms, lastSeq]);
    for (const row of rows) state = afterOutcome(state, row, experiment);
    lastSeq = rows.at(-1)?.stream_seq ?? lastSeq;
    if (rows.length < PAGE) return { experiment_id, lastSeq, state };
  }
}
