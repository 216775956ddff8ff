#!/usr/bin/env node
/** The command line `inferctl`. */
import type { PrepareSteps } from "#infra/embedded/prepare.ts";
import { exitWith } from "#shared/runtime/loadConfig.ts";
import { withSecretFiles } from "#shared/runtime/secretFiles.ts";

import { dispatch } from "./dispatch.ts";
import { screenOf } from "./screen.ts";
import { terminalProgress } from "./terminalProgress.ts";

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const printError = (line: string): void => void process.stderr.write(`${line}\n`);

/** Read when a step is taken, since they bring the schema and the training with them. */
const steps = async (): Promise<PrepareSteps> => (await import("#infra/embedded/prepareSteps.ts")).prepareSteps;
const prepare: PrepareSteps = {
  topology: async (...given) => (await steps()).topology(...given),
  migrations: async (...given) => (await steps()).migrations(...given),
  localModels: async (...given) => (await steps()).localModels(...given),
};

process.stdout.on("error", () => process.exit(0)); // `inferctl logs | head`
const { environment, problems } = withSecretFiles(process.env, process.cwd());
if (problems.length > 0) exitWith("the environment", problems);
process.exitCode = await dispatch(process.argv.slice(2), { environment, screen: screenOf(process.stdout, process.stdin, environment), print, progress: terminalProgress(process.stderr), prepare }, printError);
