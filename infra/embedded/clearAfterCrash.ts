/**
 * What a Postgres that was killed leaves behind and what then keeps the next one from starting: a pid file whose pid may
 * belong to another process by now, and children that go on with a long query before they notice. A server that runs on
 * the data is never touched: Postgres itself refuses to be a second one.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import { endProcess, identify } from "./processIdentity.ts";

/** Safe to repeat. Without /proc (macOS) it only judges the pid file by whether its process exists. */
export async function clearAfterCrash(dataDir: string): Promise<void> {
  const pidFile = join(dataDir, "postmaster.pid");
  if (existsSync(pidFile)) {
    const pid = Number(readFileSync(pidFile, "utf8").split("\n")[0]);
    if (Number.isInteger(pid) && pid > 0 && worksOn(dataDir, pid)) return;
    rmSync(pidFile, { force: true });
  }
  const orphans = pids().filter((pid) => worksOn(dataDir, pid)).flatMap((pid) => identify(pid) ?? []);
  await Promise.all(orphans.map((orphan) => endProcess(orphan, "SIGKILL")));
}

/** Postgres shows it in the title of each of its processes, which every user may read; working folders they may not. */
export const clusterNameOf = (dataDir: string): string => `infer-${createHash("sha256").update(dataDir).digest("hex").slice(0, 10)}`;

function worksOn(dataDir: string, pid: number): boolean {
  if (identify(pid) === undefined) return false;
  if (process.platform !== "linux") return true;
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "postgres" && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(clusterNameOf(dataDir));
  } catch {
    return false; // gone meanwhile
  }
}

const pids = (): number[] => (process.platform === "linux" ? readdirSync("/proc").map(Number).filter((pid) => pid > 0) : []);
