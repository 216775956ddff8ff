/** Processes of the bench that print their port, and end with it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { projectFolder } from "#infra/embedded/homeFolder.ts";

export interface ChildServer {
  readonly pid: number;
  readonly port: number;
  readonly end: () => Promise<void>;
}

const START_TIMEOUT_MS = 30_000;

/** A program of this folder in a process of its own. Rejects when it prints no port in time. */
export async function startChildServer(file: string, args: readonly string[]): Promise<ChildServer> {
  const child = spawn(process.execPath, ["--import", "tsx", join(projectFolder(), "infra/bench/peers", file), ...args], { cwd: projectFolder(), stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(createInterface({ input: child.stdout }), "line", { signal: AbortSignal.timeout(START_TIMEOUT_MS) }).catch((error: unknown) => {
    child.kill("SIGKILL");
    throw new Error(`${file} printed no port`, { cause: error });
  })) as [string];
  return { pid: pidOf(child), port: Number(line), end: () => endProcess(child) };
}

export function pidOf({ pid }: ChildProcess): number {
  if (pid === undefined) throw new Error("the process did not start");
  return pid;
}
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const force = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await ended;
  clearTimeout(force);
}
