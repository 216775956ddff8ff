/** Runs a short-lived program to its end. */
import { execFile } from "node:child_process";

import type { RunAs } from "./homeFolder.ts";

export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: RunAs | undefined;
  readonly timeoutMs?: number;
  /** What it reads. */
  readonly input?: string;
}

/** Resolves to what it printed on both channels. Throws with the last lines of that when it fails or takes too long. */
export function runProgram(program: string, args: readonly string[], options: ProgramOptions = {}): Promise<string> {
  const { cwd = "/", env = {}, user = {}, timeoutMs = 10_000, input } = options;
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, { cwd, env: { ...env, LC_ALL: "C" }, ...user, timeout: timeoutMs, maxBuffer: 8 << 20 }, (err, stdout, stderr) => {
      const printed = `${stdout}${stderr}`.trim();
      if (err === null) resolve(printed);
      else reject(new Error(err.killed === true ? `took longer than ${timeoutMs / 1_000} s` : lastLines(printed, 4) || err.message, { cause: err }));
    });
    child.stdin?.on("error", () => undefined); // it ended before it had read all: what it says counts
    if (input !== undefined) child.stdin?.end(input);
  });
}

export const lastLines = (text: string, count: number): string => text.trim().split("\n").slice(-count).join("\n");
