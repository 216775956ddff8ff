/** What a subcommand of `inferctl` is. It only parses and prints; the work is beside what it is about. */
import type { ParseArgsConfig } from "node:util";

import type { Environment } from "#infra/embedded/homeFolder.ts";
import type { PrepareSteps } from "#infra/embedded/prepare.ts";
import type { Progress } from "#infra/embedded/progress.ts";
import { SetupError } from "#infra/embedded/setupError.ts";

import { EXIT_USAGE } from "./exitCodes.ts";
import type { Screen } from "./screen.ts";

export { EXIT_DATA, EXIT_INCOMPLETE, EXIT_NO_INPUT, EXIT_NOT_RUNNING, EXIT_PROBLEMS, EXIT_UNAVAILABLE, EXIT_USAGE } from "./exitCodes.ts";

export interface CliContext {
  readonly environment: Environment;
  /** Results, for people or as JSON. Progress and errors go elsewhere. */
  readonly print: (line: string) => void;
  readonly screen: Screen;
  readonly progress: Progress;
  readonly prepare: PrepareSteps;
}

export interface ParsedArguments {
  readonly values: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;
  readonly positionals: readonly string[];
}

export interface Command {
  readonly summary: string;
  /** After `inferctl <verb>`. */
  readonly usage: string;
  /** What each option and argument does. */
  readonly details: readonly string[];
  readonly example: string;
  readonly options: NonNullable<ParseArgsConfig["options"]>;
  readonly maxPositionals: number;
  /** What the first argument may be, where it says what to do. */
  readonly verbs?: readonly string[];
  /** Resolves to the exit code. */
  readonly run: (given: ParsedArguments, context: CliContext) => Promise<number>;
}

/** What was typed makes no command. */
export const wrongUse = (verb: string, message: string): SetupError => new SetupError(message, `inferctl ${verb} --help`, { exitCode: EXIT_USAGE });

/** Prints a result: with `--json` for programs, else for people. */
export const sayer = ({ values }: Pick<ParsedArguments, "values">, { print }: Pick<CliContext, "print">) =>
  (value: object, forPeople: string): void => { print(values["json"] === true ? JSON.stringify(value) : forPeople); };
