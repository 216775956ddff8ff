import { openHome } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { streamNamesOf } from "#shared/messaging/topology.ts";

import type { Command } from "../command.ts";
import { loginFor } from "../loginFor.ts";
import { serverUrl } from "../serverUrl.ts";

export const topology: Command = {
  summary: "Creates the NATS streams and consumers that are missing. Safe to repeat.",
  usage: "[--update] [--json]",
  details: ["--update  Also changes streams that exist with other settings; without it they are an error.", "--json    Prints the streams as JSON."],
  example: "NATS_URL=nats://127.0.0.1:4222 inferctl topology",
  options: { update: { type: "boolean" }, json: { type: "boolean" } },
  maxPositionals: 0,
  run: async ({ values }, { environment, progress, prepare, print }) => {
    const home = openHome(environment);
    const url = serverUrl("nats", environment, home);
    const settings = readSettings(environment, home);
    await progress.step("NATS streams and consumers", () => prepare.topology(url, settings, values["update"] === true, loginFor(environment, home)));
    if (values["json"] === true) print(JSON.stringify({ prefix: settings.prefix, streams: streamNamesOf(settings.prefix) }));
    return 0;
  },
};
