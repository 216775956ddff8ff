import { openHome } from "#infra/embedded/homeFolder.ts";
import { createDatabase } from "#infra/embedded/startPostgres.ts";

import type { Command } from "../command.ts";
import { serverUrl } from "../serverUrl.ts";

export const migrate: Command = {
  summary: "Brings the tables of the database up to date, and makes the database when it is missing. Safe to repeat.",
  usage: "",
  details: [],
  example: "DATABASE_URL=postgresql://me@127.0.0.1:5432/infer inferctl migrate",
  options: {},
  maxPositionals: 0,
  run: async (_given, { environment, progress, prepare }) => {
    const url = serverUrl("postgres", environment, openHome(environment));
    const run = async (): Promise<number> => {
      await createDatabase(url);
      return prepare.migrations(url);
    };
    await progress.step("database migrations", run, (applied) => (applied === 0 ? "none to apply" : `${applied} applied`));
    return 0;
  },
};
