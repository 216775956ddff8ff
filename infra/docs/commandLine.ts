/** docs/cli.md's tables and reference, from the commands themselves. */
import { COMMANDS } from "#infra/cli/commands.ts";
import { EXIT_CODES } from "#infra/cli/exitCodes.ts";

export const exitCodesTable = (): string => ["| code | meaning |", "|---|---|", ...EXIT_CODES.map(({ code, meaning }) => `| ${code} | ${meaning} |`)].join("\n");

/** Each as its `--help` says it. */
export async function commandsReference(): Promise<string> {
  const all = await Promise.all([...COMMANDS].map(async ([name, read]) => ({ name, ...(await read()) })));
  return all.map(({ name, summary, usage, details, example }) => [
    `### ${name}`, "", summary, "", "```", `inferctl ${name}${usage === "" ? "" : ` ${usage}`}`, ...(details.length === 0 ? [] : ["", ...details]), "", `Example: ${example}`, "```",
  ].join("\n")).join("\n\n");
}
