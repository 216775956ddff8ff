/** A command of ours as it is typed, in a process of its own whose memory and CPU time are looked at from outside. Linux alone. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

import { type Environment, projectFolder } from "#infra/embedded/homeFolder.ts";
import { residentBytes } from "#infra/residentBytes.ts";

import { cpuTimeUs } from "./cpuTime.ts";

export interface Sample {
  /** Since the command began. */
  readonly ms: number;
  readonly rssMb: number;
}
export interface WatchedRun {
  readonly code: number | null;
  /** Standard output. */
  readonly printed: string;
  readonly ms: number;
  /** User and system, all threads. */
  readonly cpuMs: number;
  readonly samples: readonly Sample[];
  /** When a line of standard error that has the text was there first. */
  readonly saidAtMs: (text: string) => number | undefined;
}

const EVERY_MS = 250;

/** `onSaid`: told of what it writes to standard error. */
export async function watchCommand(args: readonly string[], environment: Environment, onSaid: (text: string) => void): Promise<WatchedRun> {
  const child = spawn(process.execPath, [join(projectFolder(), "dist/inferctl.js"), ...args], { cwd: projectFolder(), env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "pipe"] });
  const startedMs = performance.now();
  const since = () => performance.now() - startedMs;
  const samples: Sample[] = [], said: { readonly ms: number; readonly text: string }[] = [];
  let printed = "", cpuMs = 0;
  child.stdout.setEncoding("utf8").on("data", (text: string) => { printed += text; });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said.push({ ms: since(), text });
    onSaid(text);
  });
  const pid = child.pid ?? 0;
  const looking = setInterval(() => {
    const bytes = residentBytes(pid);
    if (bytes === 0) return; // it is gone
    samples.push({ ms: since(), rssMb: bytes / 2 ** 20 });
    cpuMs = Math.max(cpuMs, cpuTimeUs(pid) / 1_000);
  }, EVERY_MS);
  try {
    const [code] = (await once(child, "close")) as [number | null];
    return { code, printed, ms: since(), cpuMs, samples, saidAtMs: (wanted) => said.find(({ text }) => text.includes(wanted))?.ms };
  } finally {
    clearInterval(looking);
  }
}
