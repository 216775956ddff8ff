import { openHome } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";

import type { Command } from "../command.ts";

export const localModels: Command = {
  summary: "Trains the local classifiers, unless they are there already.",
  usage: "",
  details: [],
  example: "INFER_LOCAL_MODELS_DIR=/srv/models inferctl local-models",
  options: {},
  maxPositionals: 0,
  run: async (_given, { environment, progress, prepare }) => {
    const { localModelsDir } = readSettings(environment, openHome(environment));
    const train = () => prepare.localModels(localModelsDir, progress.note);
    await progress.step("local models", train, ({ models, wasCached }) => `${models.join(", ")} in ${localModelsDir}${wasCached ? " (trained before)" : ""}`);
    return 0;
  },
};
