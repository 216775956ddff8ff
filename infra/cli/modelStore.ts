import { type Environment, openHome } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { type ExperimentStore, makeExperimentStore, UnreadableExperiment } from "#shared/messaging/experimentStore.ts";
import { isLostRace, ModelNotStored, type ModelStore, openModelStore, UnreadableModel } from "#shared/messaging/modelStore.ts";
import { readTierFile } from "#shared/runtime/loadConfig.ts";
import { tierProblem } from "#shared/runtime/tierProblem.ts";

import { loginFor } from "./loginFor.ts";
import { serverUrl } from "./serverUrl.ts";

/** Of the server that the environment names or that `inferctl up` started. */
export const withModelStore = <T>(environment: Environment, use: (store: ModelStore) => Promise<T>): Promise<T> => withBuckets(environment, ({ models }) => use(models));

/** The same with the experiments, which lie in the same bucket. */
export async function withBuckets<T>(environment: Environment, use: (stores: { readonly models: ModelStore; readonly experiments: ExperimentStore }) => Promise<T>): Promise<T> {
  const home = openHome(environment);
  const nats = await connectNats({ url: serverUrl("nats", environment, home), name: "inferctl", ...loginFor(environment, home) }).catch((error: unknown) => { throw new SetupError(`NATS cannot be reached: ${String(error)}`, "Is it up? See: inferctl status; or correct NATS_URL.", { cause: error }); });
  try {
    const { prefix } = readSettings(environment, home);
    const models = await openModelStore(nats, prefix).catch((error: unknown) => {
      throw new SetupError(`the bucket of models cannot be opened: ${String(error)}`, "Create it with: inferctl topology", { cause: error });
    });
    return await use({ models, experiments: makeExperimentStore(nats, prefix) });
  } catch (error) {
    throw explained(error);
  } finally {
    await nats.close();
  }
}

/** What a person can do about it, where there is something. */
function explained(error: unknown): unknown {
  if (error instanceof UnreadableModel) return new SetupError(error.message, "Put the version there again (inferctl models import <file>), also an edited one under the version that names its content; or activate another (inferctl models list) or none (inferctl models deactivate).", { cause: error });
  if (error instanceof ModelNotStored) return new SetupError(error.message, error.remedy, { cause: error });
  if (error instanceof UnreadableExperiment) return new SetupError(error.message, "Another version may have written it: use the inferctl of that one; or take the key out of the bucket of models.", { cause: error });
  if (isLostRace(error)) return new SetupError("somebody else has changed which model is active meanwhile", "See what is active now: inferctl models list", { cause: error });
  return error;
}

/** As routers read it. Throws a `SetupError`. */
export function tierFileOf(environment: Environment): TierFile {
  const tierFile = readTierFile({ tiersFile: environment["INFER_TIERS_FILE"] ?? "infra/config/tiers.yaml", pricesFile: environment["INFER_PRICES_FILE"] ?? "infra/config/prices.yaml" }, { acceptsOver: true });
  if ("problems" in tierFile) throw new SetupError(`the tier file cannot be read: ${tierFile.problems.join("; ")}`, "Correct it, or set INFER_TIERS_FILE.");
  return tierFile.file;
}

/** Throws a `SetupError` for a model that does not fit the environment's tier file. It has no version yet before it is made. */
export function requireFit({ version, ...model }: Pick<RoutingModelFile, "tiers" | "baseline_tier"> & { readonly version?: string }, environment: Environment): void {
  const problem = tierProblem(model, tierFileOf(environment));
  if (problem !== null) throw new SetupError(`${version === undefined ? "the model" : `model ${version}`} does not fit: ${problem}`, "Train one for these tiers: inferctl train --map <tier>=<model> ... --publish; or correct the tier file, which INFER_TIERS_FILE names.");
}

/** Whether any policy's floor was shown to hold. Without one, routers decide as without the model. */
export const hasFloor = ({ operating }: Pick<RoutingModelFile, "operating">): boolean => Object.values(operating).some((place) => place !== null);
