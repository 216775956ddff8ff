/** From arguments to an exit code: finds the command, parses strictly, explains what was wrong. */
import { parseArgs } from "node:util";

import { SetupError } from "#infra/embedded/setupError.ts";

import { type CliContext, type Command, EXIT_USAGE, type ParsedArguments } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { EXIT_CODES } from "./exitCodes.ts";
import { wrapped } from "./paint.ts";

/** Never throws. `printError` gets whole lines. */
export async function dispatch(args: readonly string[], context: CliContext, printError: (line: string) => void): Promise<number> {
  const [verb, ...rest] = args;
  if (verb === undefined || verb === "help" || verb === "--help" || verb === "-h") return printHelp(rest[0], context, printError);
  const command = await COMMANDS.get(verb)?.();
  if (command === undefined) return usageError(`there is no command "${verb}"; there are ${[...COMMANDS.keys()].join(", ")}`, "inferctl help", printError);
  let given: ParsedArguments;
  try {
    given = parse(command, rest);
  } catch (err) {
    return usageError(err instanceof Error ? (err.message.split(". ")[0] ?? "") : String(err), `inferctl ${verb} --help`, printError);
  }
  if (given.values["help"] === true) return printHelp(verb, context, printError);
  return runCommand(command, given, context, printError);
}

async function runCommand(command: Command, given: ParsedArguments, context: CliContext, printError: (line: string) => void): Promise<number> {
  try {
    return await command.run(given, context);
  } catch (err) {
    if (!(err instanceof SetupError)) {
      printError(`inferctl: ${err instanceof Error ? (err.stack ?? err.message) : String(err)}`);
      return 1;
    }
    printError(`\ninferctl: ${err.message}\n\nNext: ${asTyped(err.nextStep)}`);
    return err.exitCode;
  }
}

function parse(command: Command, args: readonly string[]): ParsedArguments {
  const options = { ...command.options, help: { type: "boolean", short: "h" } } as const;
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  const extra = positionals[command.maxPositionals];
  if (extra !== undefined) throw new Error(`unexpected argument "${extra}"`);
  return { values, positionals };
}

/** The program is in no folder of PATH: in a clone `npx` finds it. Hints say it where they are printed, not one by one. */
const asTyped = (hint: string): string => hint.replaceAll(/(?<!npx )\binferctl (?=[a-z<])/g, "npx inferctl ");

function usageError(message: string, helpCommand: string, printError: (line: string) => void): number {
  printError(`inferctl: ${message}\nSee: ${asTyped(helpCommand)}`);
  return EXIT_USAGE;
}

const HELP_INDENT = 18;
async function printHelp(verb: string | undefined, { print, screen }: CliContext, printError: (line: string) => void): Promise<number> {
  if (verb === undefined || verb.startsWith("-")) {
    print("inferctl: runs the Cost-Aware ML Inference Optimizer on this machine, without Docker.\n\nUsage: npx inferctl <command> [options]\n");
    for (const [name, command] of COMMANDS) print(`  ${name.padEnd(16)}${(await command()).summary}`);
    print("\nExit codes:");
    for (const { code, meaning } of EXIT_CODES) for (const [i, line] of wrapped(meaning, screen.columns() - HELP_INDENT).entries()) print(`  ${(i === 0 ? code : "").padEnd(HELP_INDENT - 2)}${line}`);
    print("\nnpx inferctl <command> --help says more. Variables are in docs/configuration.md.");
    return 0;
  }
  const command = await COMMANDS.get(verb)?.();
  if (command === undefined) return usageError(`there is no command "${verb}"`, "inferctl help", printError);
  print(`${command.summary}\n\nUsage: npx inferctl ${verb}${command.usage === "" ? "" : ` ${command.usage}`}\n`);
  for (const line of command.details) print(`  ${line}`);
  print(`${command.details.length === 0 ? "" : "\n"}Example: ${asTyped(command.example)}`);
  return 0;
}
