/** Starts a process that outlives this one, with its output in a file. */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from "node:fs";
import { dirname } from "node:path";

import type { RunAs } from "./homeFolder.ts";
import { identify, type ProcessIdentity } from "./processIdentity.ts";
import { lastLines } from "./runProgram.ts";

export interface DetachedProgram {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Appended to. Moved to `<name>.1` first when it has grown large. */
  readonly logFile: string;
  readonly user?: RunAs | undefined;
}

const LARGE_LOG_BYTES = 16 * 2 ** 20;

/** Undefined when it could not be started or ended at once; the reason is in the log, or it is missing. */
export function spawnDetached({ program, args, env, cwd, logFile, user }: DetachedProgram): ProcessIdentity | undefined {
  const log = openLog(logFile);
  try {
    const child = spawn(program, args, { detached: true, stdio: ["ignore", log, log], cwd, env, ...user });
    child.on("error", () => undefined); // seen by the missing pid
    child.unref();
    return child.pid === undefined ? undefined : identify(child.pid);
  } finally {
    closeSync(log);
  }
}

/** For an error message: the last lines, indented. */
export function endOfLog(logFile: string, count = 12): string {
  const log = existsSync(logFile) ? lastLines(readFileSync(logFile, "utf8"), count) : "";
  return log === "" ? "Its log is empty." : `The end of its log:\n  ${log.replaceAll("\n", "\n  ")}`;
}

function openLog(logFile: string): number {
  mkdirSync(dirname(logFile), { recursive: true });
  if (existsSync(logFile) && statSync(logFile).size > LARGE_LOG_BYTES) renameSync(logFile, `${logFile}.1`);
  return openSync(logFile, "a");
}
