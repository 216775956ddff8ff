import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { openHome } from "#infra/embedded/homeFolder.ts";
import { lastLines } from "#infra/embedded/runProgram.ts";
import { SetupError } from "#infra/embedded/setupError.ts";

import { type Command, EXIT_USAGE, wrongUse } from "../command.ts";

const LINES = 40;

export const logs: Command = {
  summary: "Shows the end of the logs, of all processes or of one.",
  usage: "[name] [--follow | --json]",
  details: ["name      As in `inferctl status`: nats, gateway, worker-small, ...", "--follow  Goes on with what is added, until Ctrl-C.", "--json    Prints { logs: [{ name, file, lines }] }; the roles' own lines are JSON too."],
  example: "inferctl logs gateway --follow",
  options: { follow: { type: "boolean", short: "f" }, json: { type: "boolean" } },
  maxPositionals: 1,
  run: ({ values, positionals: [name] }, { environment, print }) => {
    const folder = openHome(environment).logs;
    const names = chosen(namesIn(folder), name);
    if (values["follow"] === true && values["json"] === true) throw wrongUse("logs", "--follow and --json exclude each other");
    if (values["follow"] === true) return follow(names.map((one) => join(folder, `${one}.log`)));
    const ends = names.map((one) => ({ name: one, file: join(folder, `${one}.log`) })).map((one) => ({ ...one, text: lastLines(readFileSync(one.file, "utf8"), LINES) }));
    if (values["json"] === true) {
      print(JSON.stringify({ logs: ends.map(({ name: of, file, text }) => ({ name: of, file, lines: text.split("\n").filter((line) => line !== "") })) }));
      return Promise.resolve(0);
    }
    for (const { name: of, text } of ends) print(`==> ${of} <==\n${text}\n`);
    if (names.length === 0) print("There are no logs yet. Start everything with: npx inferctl up");
    return Promise.resolve(0);
  },
};

const namesIn = (folder: string): string[] => readdirSync(folder).filter((file) => file.endsWith(".log")).map((file) => file.slice(0, -".log".length)).sort();

function chosen(names: readonly string[], name: string | undefined): readonly string[] {
  if (name === undefined) return names;
  if (!names.includes(name)) throw new SetupError(`there is no log of "${name}"`, names.length === 0 ? "Start everything with: npx inferctl up" : `Name one of: ${names.join(", ")}`, { exitCode: EXIT_USAGE });
  return [name];
}

/** `tail` copes with files that are moved away and made anew. */
function follow(files: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const tail = spawn("tail", ["-n", String(LINES), "-F", ...files], { stdio: ["ignore", "inherit", "inherit"] });
    tail.once("error", reject);
    tail.once("exit", (code) => resolve(code ?? 0));
  });
}
