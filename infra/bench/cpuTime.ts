import { readdirSync, readFileSync } from "node:fs";

/** Linux counts process time in ticks of 10 ms, so measure for seconds. */
const US_PER_TICK = 10_000;

/** CPU time in microseconds that a process and its children have used, user and system. 0 when it is gone. */
export function cpuTimeUs(pid: number): number {
  const children = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).filter((name) => statOf(Number(name))?.parent === pid);
  return [pid, ...children.map(Number)].reduce((sum, one) => sum + (statOf(one)?.ticks ?? 0) * US_PER_TICK, 0);
}

/** `ticks`: its own and those of children that have ended (proc(5), fields 14 to 17). */
function statOf(pid: number): { parent: number; ticks: number } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
    const [parent = 0] = fields.slice(1);
    return { parent, ticks: fields.slice(11, 15).reduce((sum, ticks) => sum + ticks, 0) };
  } catch {
    return null;
  }
}
