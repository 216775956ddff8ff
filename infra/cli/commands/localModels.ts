import { openHome } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";

import type { Command } from "../command.ts";

export const localModels: Command = {
  summary: "Trains the local classifiers, unless they are there already.",
  usage: "[--json]",
  details: ["--json  Prints which models are where as JSON."],
  example: "INFER_LOCAL_MODELS_DIR=/srv/models inferctl local-models",
  options: { json: { type: "boolean" } },
  maxPositionals: 0,
  run: async ({ values }, { environment, progress, prepare, print }) => {
    const { localModelsDir } = readSettings(environment, openHome(environment));
    const train = () => prepare.localModels(localModelsDir, progress.note);
    const { models, wasCached } = await progress.step("local models", train, (trained) => `${trained.models.join(", ")} in ${localModelsDir}${trained.wasCached ? " (trained before)" : ""}`);
    if (values["json"] === true) print(JSON.stringify({ models, dir: localModelsDir, was_cached: wasCached }));
    return 0;
  },
};
