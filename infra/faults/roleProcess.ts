/** One process of the system under fault: started, signalled, watched. It ends with us. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";

import { endOfLog } from "#infra/embedded/spawnDetached.ts";
import { readinessOf } from "#infra/embedded/startRoles.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { residentBytes } from "#infra/residentBytes.ts";

export interface RolePlan {
  readonly name: string;
  /** File of the bundle. */
  readonly program: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Of its own HTTP server. */
  readonly url: string;
  readonly logFile: string;
}
export interface Exit {
  readonly name: string;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}
export interface RoleProcess {
  readonly plan: RolePlan;
  readonly isRunning: () => boolean;
  /** Does nothing to one that runs. `more`: added to its environment, until it ends. */
  readonly start: (more?: Readonly<Record<string, string>>) => void;
  /** Does nothing to one that does not run. */
  readonly signal: (signal: NodeJS.Signals) => void;
  readonly ended: (deadlineMs?: number) => Promise<void>;
  readonly ready: (deadlineMs?: number) => Promise<void>;
  /** `null`: it does not run. */
  readonly pid: () => number | null;
  /** Bytes of memory in use now; 0 when it does not run. */
  readonly rssBytes: () => number;
}

const END_MS = 30_000;
const READY_MS = 180_000;

export function makeRoleProcess(plan: RolePlan, onExit: (exit: Exit) => void): RoleProcess {
  let child: ChildProcess | null = null;
  const isRunning = () => child !== null;
  return {
    plan, isRunning,
    pid: () => child?.pid ?? null,
    start(more = {}) {
      if (child !== null) return;
      const log = openSync(plan.logFile, "a");
      const started = spawn(process.execPath, ["--enable-source-maps", plan.program], { cwd: plan.cwd, env: { ...plan.env, ...more }, stdio: ["ignore", log, log] });
      closeSync(log);
      child = started;
      started.once("exit", (code, signal) => {
        child = null;
        onExit({ name: plan.name, code, signal });
      });
    },
    signal: (signal) => void child?.kill(signal),
    ended: async (deadlineMs = END_MS) => void (await waitUntil(() => Promise.resolve(isRunning() ? undefined : true), { deadlineMs, describe: () => `${plan.name} does not end` })),
    async ready(deadlineMs = READY_MS) {
      let state = "";
      const probe = async () => {
        if (child === null) throw new Error(`${plan.name} ended while it started. ${endOfLog(plan.logFile)}`);
        state = await readinessOf(plan.url, child.pid ?? null);
        return state === "ready" ? true : undefined;
      };
      await waitUntil(probe, { deadlineMs, everyMs: 50, describe: () => `${plan.name} is not ready: ${state}` });
    },
    rssBytes: () => (child?.pid === undefined ? 0 : residentBytes(child.pid)),
  };
}
