/** The running experiment with the routing models of its arms, followed while the router runs. */
import type { Experiment } from "#shared/contracts/experiment.ts";
import type { AssignedArm } from "#shared/contracts/experimentArm.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { followExperiment, type Followed } from "#shared/messaging/followExperiment.ts";
import { type ModelStore, openModelStore, UnreadableModel } from "#shared/messaging/modelStore.ts";
import type { Lifecycle } from "#shared/runtime/lifecycle.ts";
import { tierProblem } from "#shared/runtime/tierProblem.ts";

import type { Known } from "./decide.ts";

export interface RunningExperiment {
  /** `null`: none runs that this router can take part in. */
  readonly running: () => Experiment | null;
  /** What decides for an arm. `null`: the active model does, as the arm says, or as the experiment is over and its model not at hand any more. */
  readonly modelOf: (arm: AssignedArm | undefined) => Pick<Known, "model" | "floorSteps"> | null;
}
export const NO_EXPERIMENT: RunningExperiment = { running: () => null, modelOf: () => null };

/** Resolves after the first look. What it gives never waits and never throws. */
export async function followArms({ nats, prefix, tierFile, log }: Omit<Followed, "problemOf" | "tierFile"> & { readonly tierFile: Followed["tierFile"] & { readonly baseline_tier: string } }, lifecycle: Lifecycle): Promise<RunningExperiment> {
  let opened: ModelStore | null = null;
  let models: ReadonlyMap<string, RoutingModelFile> = new Map();
  const problemOf = async ({ arms }: Experiment): Promise<string | null> => {
    const store = (opened ??= await openModelStore(nats, prefix));
    const found = new Map<string, RoutingModelFile>();
    for (const { model_version: version } of arms) {
      if (version == null) continue;
      const model = await store.get(version).catch((error: unknown) => {
        if (error instanceof UnreadableModel) return error;
        throw error;
      });
      const problem = model === null ? "there is no such version" : model instanceof UnreadableModel ? model.message : tierProblem(model, tierFile);
      if (model === null || model instanceof UnreadableModel || problem !== null) return `model ${version}: ${problem ?? ""}`;
      found.set(version, model);
    }
    models = found;
    return null;
  };
  const running = await followExperiment({ nats, prefix, tierFile, log, problemOf }, lifecycle);
  return {
    running,
    modelOf(arm) {
      const version = arm?.model_version;
      if (version === undefined) return null;
      const model = version === null ? null : models.get(version);
      return model === undefined ? null : { model, floorSteps: 0 }; // the guard of the floor watches the active model alone; this one is watched against the control
    },
  };
}
