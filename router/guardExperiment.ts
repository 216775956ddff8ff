/** Ends the running experiment when its time is over, it has had its requests, or an arm fails more, is late more often or costs more than is tolerated (ADR 0041). */
import type { Pool } from "pg";

import { isRunning } from "#shared/contracts/experiment.ts";
import { every } from "#shared/runtime/lifecycle.ts";

import { excessFound, type GuardReading, guardReadings } from "./outcomeStep.ts";
import { noOutcomes, OF_EXPERIMENT, type OutcomesRead, readOutcomes } from "./readOutcomes.ts";
import { type ExperimentDeps, type ExperimentMetrics, rollBack } from "./watchExperiment.ts";

const GUARD_EVERY_MS = 10_000;

interface Guarded extends Pick<ExperimentDeps, "store" | "running" | "log" | "observeRollback"> {
  readonly pool: Pool;
  readonly now: () => number;
}
/**
 * One look, at what came since the one before. How the guards stand then; none while nothing runs. Safe to repeat; routers do it side by side,
 * each from the audit alone, so that none depends on another.
 */
export function makeExperimentGuard({ store, pool, running, log, observeRollback, now }: Guarded): () => Promise<readonly GuardReading[]> {
  let read: OutcomesRead | null = null;
  return async () => {
    const experiment = running();
    if (experiment === null) return [];
    const { experiment_id, max_requests } = experiment;
    const stop = async (why: string): Promise<void> => {
      if ((await store.end(experiment_id, "stopped", why)) !== null) log.info({ experiment_id, why }, "an experiment has ended");
    };
    if (!isRunning(experiment, now())) {
      await stop("its time is over");
      return [];
    }
    read = await readOutcomes(pool, experiment, read?.experiment_id === experiment_id ? read : noOutcomes(experiment));
    const why = excessFound(experiment, read.state);
    if (why !== null) await rollBack({ store, log, observeRollback }, experiment, why);
    else if ((await requestsOf(pool, experiment_id)) >= max_requests) await stop(`it has had its ${max_requests} requests`);
    return guardReadings(experiment, read.state);
  };
}

async function requestsOf(pool: Pool, experimentId: string): Promise<number> {
  const { rows } = await pool.query<{ requests: number }>(`SELECT count(*)::int AS requests FROM requests WHERE ${OF_EXPERIMENT}`, [experimentId]);
  return rows[0]?.requests ?? 0;
}

/** Until the signal. What cannot be read now is read the next time. */
export function runExperimentGuard({ metrics, signal, ...guarded }: Guarded & { readonly metrics: ExperimentMetrics; readonly signal: AbortSignal }): void {
  const guard = makeExperimentGuard(guarded);
  every(GUARD_EVERY_MS, signal, async () => {
    try {
      await metrics.show(guarded.running(), guarded.store, await guard());
    } catch (error) {
      guarded.log.warn({ err: error }, "cannot look after the running experiment now");
    }
  });
}
