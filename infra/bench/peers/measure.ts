/** Load on one target, and what it took: requests per second, latency as callers see it, CPU and memory of all its processes. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

import { projectFolder } from "#infra/embedded/homeFolder.ts";
import { residentBytes } from "#infra/residentBytes.ts";

import { cpuTimeUs } from "../cpuTime.ts";
import type { Load, Seen } from "./loadProcess.ts";
import { BODY, type Target } from "./targets.ts";

export interface Figures extends Seen {
  readonly requests_per_s: number;
  /** Of each process, in µs per request. */
  readonly cpu_us: Readonly<Record<string, number>>;
  readonly cpu_us_all: number;
  /** Of all processes together, in MiB; what they share is counted in each. */
  readonly memory_mib: number;
}

export type Loop = Pick<Load, "seconds" | "connections" | "per_s">;

export async function measure({ url, headers, processes }: Target, loop: Loop): Promise<Figures> {
  const usage = () => processes.map(({ pid }) => cpuTimeUs(pid));
  const before = usage();
  const seen = await ask({ url, headers, body: BODY, ...loop });
  if (seen.requests === 0) throw new Error(`${url} answered nothing: ${seen.first_error ?? ""}`);
  const after = usage();
  const cpu_us: Record<string, number> = {};
  for (const [i, { name }] of processes.entries()) cpu_us[name] = ((after[i] ?? 0) - (before[i] ?? 0)) / seen.requests;
  return {
    ...seen, requests_per_s: seen.requests / seen.seconds, cpu_us, cpu_us_all: Object.values(cpu_us).reduce((sum, us) => sum + us, 0),
    memory_mib: processes.reduce((sum, { pid }) => sum + residentBytes(pid), 0) / 2 ** 20,
  };
}

/** In a process of its own, so that what the bench does meanwhile is not in its latencies. */
async function ask(load: Load): Promise<Seen> {
  const child = spawn(process.execPath, ["--import", "tsx", join(projectFolder(), "infra/bench/peers/loadProcess.ts"), JSON.stringify(load)], { cwd: projectFolder(), stdio: ["ignore", "pipe", "inherit"] });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => void chunks.push(chunk));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`the load ended with ${String(code)}`);
  return JSON.parse(Buffer.concat(chunks).toString()) as Seen;
}
