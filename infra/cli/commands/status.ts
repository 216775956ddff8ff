import { openHome } from "#infra/embedded/homeFolder.ts";
import { linesOf } from "#infra/embedded/readStatus.ts";
import { readState } from "#infra/embedded/stateFile.ts";

import { type Command, EXIT_NOT_RUNNING } from "../command.ts";
import { paintFor } from "../paint.ts";
import { textTable } from "../textTable.ts";

export const status: Command = {
  summary: "Shows servers and roles, and whether each can do its work. Exit code 3 when one cannot, or nothing runs.",
  usage: "[--json]",
  details: ["--json  Prints the table as JSON."],
  example: "inferctl status --json | jq '.lines[] | select(.state != \"ready\")'",
  options: { json: { type: "boolean" } },
  maxPositionals: 0,
  run: async ({ values }, { environment, screen, print }) => {
    const lines = await linesOf(readState(openHome(environment).stateFile), environment);
    const paint = paintFor(screen);
    const rows = lines.map(({ name, url, pid, what, state }) => [name, url, String(pid ?? "-"), what, paint(state === "ready" ? "green" : "red", state)]);
    if (values["json"] === true) print(JSON.stringify({ lines }, null, 2));
    else print(lines.length === 0 ? "Nothing was started here. Start it with: npx inferctl up" : textTable(["NAME", "ADDRESS", "PID", "PROVIDER AND VERSION", "STATE"], rows));
    return lines.length > 0 && lines.every(({ state }) => state === "ready") ? 0 : EXIT_NOT_RUNNING;
  },
};
