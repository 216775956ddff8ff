/** What goes wrong during an acceptance run with `--kill`: roles and servers are killed and started again, workers are paused. */
import { setTimeout as pause } from "node:timers/promises";

import type { System } from "./system.ts";

export interface Fault {
  /** Share of the requests that are done when it strikes, in [0, 1). */
  readonly at: number;
  readonly what: string;
  readonly strike: (system: System) => Promise<void>;
}

const SHORTEST_PAUSE_MS = 900;
const LONGEST_PAUSE_MS = 2_500;

const killAndRestart = (at: number, name: string): Fault => ({
  at, what: `kill -9 ${name}, up`,
  async strike(system) {
    await system.signal(name, "SIGKILL");
    await system.up();
  },
});

/** Long enough for the sweeper to close what had a short deadline, while the worker holds an answer in its hands. */
function pauseWorker(at: number, role: string, random: () => number): Fault {
  const ms = Math.round(SHORTEST_PAUSE_MS + random() * (LONGEST_PAUSE_MS - SHORTEST_PAUSE_MS));
  return {
    at, what: `pause ${role} for ${ms} ms`,
    async strike(system) {
      await system.signal(role, "SIGSTOP");
      await pause(ms); // the fault itself, not a wait for something
      await system.signal(role, "SIGCONT");
    },
  };
}

export const planFaults = (random: () => number): Fault[] => [
  pauseWorker(0.05, "worker-small", random),
  pauseWorker(0.12, "worker-medium", random),
  killAndRestart(0.2, "router"),
  killAndRestart(0.28, "nats"),
  pauseWorker(0.35, "worker-small", random),
  killAndRestart(0.45, "worker-small"),
  pauseWorker(0.55, "worker-large", random),
  killAndRestart(0.6, "router"),
  killAndRestart(0.65, "audit-sink"),
  killAndRestart(0.7, "postgres"),
  pauseWorker(0.75, "worker-small", random),
  killAndRestart(0.8, "worker-large"),
  pauseWorker(0.9, "worker-small", random),
];

export interface FaultRun {
  /** Called with how many requests are done. */
  readonly progress: (done: number) => void;
  /** Resolves when every fault has struck; rejects when one could not. */
  readonly finished: () => Promise<void>;
}

/** One after the other, each at its share of the traffic or as soon as the one before is over. */
export function runFaults(faults: readonly Fault[], total: number, system: System, note: (line: string) => void): FaultRun {
  const queue = [...faults];
  let running: Promise<void> = Promise.resolve();
  return {
    progress(done) {
      while (queue[0] !== undefined && done / total >= queue[0].at) {
        const { what, strike } = queue.shift() as Fault;
        running = running.then(() => {
          note(what);
          return strike(system);
        });
        running.catch(() => undefined); // reported by `finished`
      }
    },
    finished: () => running,
  };
}
