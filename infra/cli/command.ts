/** What a subcommand of `inferctl` is. It only parses and prints; the work is beside what it is about. */
import type { ParseArgsConfig } from "node:util";

import type { Environment } from "#infra/embedded/homeFolder.ts";
import type { PrepareSteps } from "#infra/embedded/prepare.ts";
import type { Progress } from "#infra/embedded/progress.ts";
import { SetupError } from "#infra/embedded/setupError.ts";

import type { Screen } from "./screen.ts";

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
  /** Resolves to the exit code. */
  readonly run: (given: ParsedArguments, context: CliContext) => Promise<number>;
}

/** EX_USAGE. */
export const EXIT_USAGE = 64;
/** EX_UNAVAILABLE: where 1 says something else, what cannot be reached. */
export const EXIT_UNAVAILABLE = 69;
/** The doctor found something that does not work. */
export const EXIT_PROBLEMS = 4;
/** As `systemctl status` does when something is not running. */
export const EXIT_NOT_RUNNING = 3;

/** What was typed makes no command. */
export const wrongUse = (verb: string, message: string): SetupError => new SetupError(message, `inferctl ${verb} --help`, { exitCode: EXIT_USAGE });

/** Prints a result: with `--json` for programs, else for people. */
export const sayer = ({ values }: Pick<ParsedArguments, "values">, { print }: Pick<CliContext, "print">) =>
  (value: object, forPeople: string): void => { print(values["json"] === true ? JSON.stringify(value) : forPeople); };
