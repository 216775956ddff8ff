/**
 * Who a process is: its pid and when it started. A pid alone is reused, so a stale note of it could name an innocent
 * process; nothing is ever signalled whose start time is not the noted one.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

import { z } from "zod";

import { waitUntil } from "./waitUntil.ts";

export const ProcessIdentity = z.strictObject({
  pid: z.int().positive(),
  /** Linux: clock ticks since boot, with the boot's id, since ticks begin again at each boot. Elsewhere: `ps -o lstart=`. */
  startTime: z.string().min(1),
});
export type ProcessIdentity = z.infer<typeof ProcessIdentity>;

/** Undefined when there is no such process, or only a zombie that its parent has not collected yet. */
function startTimeOf(pid: number): string | undefined {
  return process.platform === "linux" ? startTimeOnLinux(pid) : startTimeByPs(pid);
}

/** Undefined when it has ended already. */
export function identify(pid: number): ProcessIdentity | undefined {
  const startTime = startTimeOf(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

/** False for an ended process and for another one that has its pid now. */
export const isRunning = ({ pid, startTime }: ProcessIdentity): boolean => startTimeOf(pid) === startTime;

/** Safe to repeat. False when that process is gone (a recycled pid counts as gone). */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isRunning(identity)) return false;
  try {
    return process.kill(identity.pid, signal);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw err;
  }
}

/** Sends `signal`, then SIGKILL after `graceMs`. Resolves when the process is gone; says which of the two it took. */
export async function endProcess(identity: ProcessIdentity, signal: NodeJS.Signals, graceMs = 10_000): Promise<"gone" | "ended" | "killed"> {
  if (!signalProcess(identity, signal)) return "gone";
  const gone = (deadlineMs: number) =>
    waitUntil(() => Promise.resolve(isRunning(identity) ? undefined : true), { deadlineMs, describe: () => `process ${identity.pid} does not end` });
  try {
    await gone(graceMs);
    return "ended";
  } catch {
    signalProcess(identity, "SIGKILL");
    await gone(10_000);
    return "killed";
  }
}

function startTimeOnLinux(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the name in brackets and may hold spaces and brackets itself: read from the last bracket on.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state, ticks] = [fields[0], fields[19]];
    return state === "Z" || state === "X" || ticks === undefined ? undefined : `${ticks}@${bootId()}`;
  } catch {
    return undefined;
  }
}

function startTimeByPs(pid: number): string | undefined {
  try {
    const printed = execFileSync("ps", ["-o", "stat=,lstart=", "-p", String(pid)], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    return printed === "" || printed.startsWith("Z") ? undefined : printed.replace(/^\S+\s+/, "");
  } catch {
    return undefined;
  }
}

const bootId = (): string => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8);
