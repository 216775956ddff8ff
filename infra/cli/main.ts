#!/usr/bin/env node
/** The command line `inferctl`. */
import { prepareSteps } from "#infra/embedded/prepareSteps.ts";

import { dispatch } from "./dispatch.ts";
import { terminalProgress } from "./terminalProgress.ts";

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const printError = (line: string): void => void process.stderr.write(`${line}\n`);

process.stdout.on("error", () => process.exit(0)); // `inferctl logs | head`
process.exitCode = await dispatch(process.argv.slice(2), { environment: process.env, print, progress: terminalProgress(process.stderr), prepare: prepareSteps }, printError);
