import { type Home, openHome } from "#infra/embedded/homeFolder.ts";
import { readState } from "#infra/embedded/stateFile.ts";
import { takeDown } from "#infra/embedded/takeDown.ts";

import type { Command } from "../command.ts";

export const down: Command = {
  summary: "Ends what `up` has started, and nothing else. Data stay.",
  usage: "[--json]",
  details: ["--json  Prints what was ended as JSON."],
  example: "inferctl down",
  options: { json: { type: "boolean" } },
  maxPositionals: 0,
  run: async ({ values }, { environment, progress, print }) => {
    const home = openHome(environment);
    const folders = dataFolders(home);
    const ended = await takeDown({ home, environment, progress });
    if (values["json"] === true) {
      print(JSON.stringify({ ended }, null, 2));
      return 0;
    }
    for (const { name, pid, outcome } of ended) {
      if (outcome === "killed") print(`${name} (pid ${pid}) did not end in time and was killed`);
      if (outcome === "gone") print(`${name} (pid ${pid}) had ended before`);
    }
    print(ended.length === 0 ? "Nothing was running." : `Down. Data are kept in ${folders.join(", ")}.`);
    return 0;
  },
};

/** Postgres' data may lie elsewhere, see homeFolder. */
const dataFolders = ({ root, stateFile }: Home): string[] => {
  const elsewhere = readState(stateFile).servers.flatMap(({ dataDir }) => (dataDir === undefined || dataDir.startsWith(root) ? [] : [dataDir]));
  return [root, ...elsewhere];
};
