/** The package onnxruntime-node, which is not among this project's: for tests, from npm, once. */
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import type { Environment, Home } from "#infra/embedded/homeFolder.ts";
import { runProgram } from "#infra/embedded/runProgram.ts";

/** As in package.json its types, `onnxruntime-common`. */
const NAME = "onnxruntime-node@1.30.0";
/** 90 MB are fetched: 8 s here, minutes on a slow line. */
const TIMEOUT_MS = 300_000;

/** Loads it, and says so when it has to be fetched. */
export async function fetchOnnxRuntime(home: Home, environment: Environment, onProgress: (line: string) => void): Promise<unknown> {
  const folder = join(home.servers, NAME);
  if (!existsSync(folder)) {
    onProgress(`fetching ${NAME} with npm into ${folder}`);
    const made = `${folder}.${process.pid}`; // replaces the folder at the end, so that nobody finds half of it
    await mkdir(made, { recursive: true });
    const env = Object.fromEntries(Object.entries<string | undefined>({ npm_config_cache: join(home.root, "npm-cache"), ...environment }).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])));
    await runProgram("npm", ["install", "--prefix", made, "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", NAME], { cwd: made, env, timeoutMs: TIMEOUT_MS });
    await rename(made, folder).catch(async (error: unknown) => {
      await rm(made, { recursive: true, force: true });
      if (!existsSync(folder)) throw error; // another process was faster
    });
  }
  return import(pathToFileURL(join(folder, "node_modules", "onnxruntime-node", "dist", "index.js")).href);
}
