import { openHome } from "#infra/embedded/homeFolder.ts";
import { createDatabase } from "#infra/embedded/startPostgres.ts";

import type { Command } from "../command.ts";
import { serverUrl } from "../serverUrl.ts";

export const migrate: Command = {
  summary: "Brings the tables of the database up to date, and makes the database when it is missing. Safe to repeat.",
  usage: "[--json]",
  details: ["--json  Prints how many migrations were applied as JSON."],
  example: "DATABASE_URL=postgresql://me@127.0.0.1:5432/infer inferctl migrate",
  options: { json: { type: "boolean" } },
  maxPositionals: 0,
  run: async ({ values }, { environment, progress, prepare, print }) => {
    const url = serverUrl("postgres", environment, openHome(environment));
    const run = async (): Promise<number> => {
      await createDatabase(url);
      return prepare.migrations(url);
    };
    const applied = await progress.step("database migrations", run, (count) => (count === 0 ? "none to apply" : `${count} applied`));
    if (values["json"] === true) print(JSON.stringify({ applied }));
    return 0;
  },
};
