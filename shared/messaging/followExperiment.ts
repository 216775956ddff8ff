/** Which experiment runs, for whoever gives requests to its arms or must know that they are given. */
import type { NatsConnection } from "@nats-io/transport-node";
import type { Logger } from "pino";

import type { Experiment } from "#shared/contracts/experiment.ts";
import { policyNames, type TierFile } from "#shared/contracts/tiers.ts";
import { every, type Lifecycle } from "#shared/runtime/lifecycle.ts";

import { makeExperimentStore, UnreadableExperiment } from "./experimentStore.ts";

export interface Followed {
  readonly nats: NatsConnection;
  readonly prefix: string;
  readonly tierFile: Pick<TierFile, "tiers">;
  readonly log: Logger;
  /** What stands in the way of taking part, in words; `null`: nothing. Asked once of each. Throws an outage. */
  readonly problemOf?: (experiment: Experiment) => Promise<string | null>;
}
/** As often as the active model is looked for. */
const POLL_MS = 1_000;

/**
 * Resolves after the first look. The returned function never waits and never throws: `null` while none runs. An experiment that
 * cannot be used is none: its requests go where they went before it.
 */
export async function followExperiment({ nats, prefix, tierFile, log, problemOf = () => Promise.resolve(null) }: Followed, { signal }: Pick<Lifecycle, "signal">): Promise<() => Experiment | null> {
  let running: Experiment | null = null;
  const store = makeExperimentStore(nats, prefix);
  let told = "";
  const refused = new Set<string>();
  const tell = (facts: object, message: string) => {
    const text = JSON.stringify([facts, message]);
    if (told !== text) log.error(facts, message);
    told = text;
  };
  const look = async (): Promise<void> => {
    const latest = await store.latest().catch((error: unknown) => {
      if (!(error instanceof UnreadableExperiment)) throw error; // an outage: what was known goes on
      tell({ problem: error.message }, "cannot read the running experiment: none runs");
      return null;
    });
    const found = latest?.status === "running" ? latest : null;
    if (found?.experiment_id !== running?.experiment_id) {
      if (running !== null) log.info({ experiment_id: running.experiment_id, status: latest?.status }, "the experiment has ended: all requests go as their tenants and the tier file say");
      running = null;
      if (found !== null && !refused.has(found.experiment_id)) {
        const problem = unknownPolicy(found, tierFile) ?? (await problemOf(found));
        if (problem === null) log.info({ experiment_id: found.experiment_id, arms: found.arms }, "an experiment is running");
        else {
          refused.add(found.experiment_id);
          tell({ experiment_id: found.experiment_id, problem }, "cannot take part in the running experiment: its requests go as without it");
        }
        running = problem === null ? found : null;
      }
    }
  };
  const tick = () => look().catch((error: unknown) => { log.debug({ err: error }, "cannot look for the running experiment"); });
  await tick();
  every(POLL_MS, signal, tick);
  return () => running;
}

function unknownPolicy({ arms }: Experiment, { tiers }: Pick<TierFile, "tiers">): string | null {
  const names = policyNames(tiers);
  const unknown = arms.find(({ policy }) => !names.includes(policy));
  return unknown === undefined ? null : `there is no policy ${unknown.policy}; there are ${names.join(", ")}`;
}
