import { readFileSync } from "node:fs";

/** Memory of a process that is in use now (`VmRSS` of proc(5)), in bytes. 0: it does not run, or this is no Linux. */
export function residentBytes(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1_024;
  } catch {
    return 0;
  }
}
