/** F1-F5: processes that die between two steps, or hang beyond their lease. */
import { setTimeout as sleep } from "node:timers/promises";

import type { FailpointName } from "#shared/runtime/failpointText.ts";

import type { FaultCase, Trial } from "../faultCase.ts";
import { pick } from "../pick.ts";

/** How many passes of a point to let go by, at most: it strikes anywhere in the first seconds. */
const MOST_PASSES = 12;
/** `ack_wait` is 15 s, and another process may take a moment to do it all. */
const REDELIVERED_MS = 17_000;

/** Arms a process with a failpoint, waits for its death, and leaves the rest to the others for as long as a redelivery takes. */
async function dieAt({ rig, random, note, until, figure }: Trial, name: string, point: FailpointName, mostPasses = MOST_PASSES): Promise<void> {
  const pass = 1 + Math.floor(random() * mostPasses);
  const before = rig.exits.length; // an earlier fault may have killed it too
  await rig.restart(name, { failpoint: `${point}:${pass}`, how: "SIGTERM" }); // so that the failpoint's is the one crash
  note(`${name} dies at ${point}, pass ${pass}`);
  await until(`${name} does not die at ${point}`, 40_000, () => rig.exits.slice(before).some((exit) => exit.name === name && exit.signal === "SIGKILL"));
  figure("died", rig.exits.slice(before).filter((exit) => exit.name === name && exit.signal === "SIGKILL").length);
}

const dying = (id: string, name: string, point: FailpointName, more: Partial<FaultCase> & { readonly repeats?: number; readonly mostPasses?: number } = {}): FaultCase => ({
  id, title: `kill -9 ${name} at ${point}`, isInShortForm: false, isForSoak: true, afterMs: REDELIVERED_MS, recoveryMs: REDELIVERED_MS,
  async strike(trial) {
    trial.mayRepeat(more.repeats ?? 0);
    await dieAt(trial, name, point, more.mostPasses);
  },
  ...more,
});
/** `ack_wait` and a little. */
const BEYOND_LEASE_MS = 20_000;
/** The other worker finishes its jobs; when it goes on, it aborts its calls, and what it still publishes is refused. */
const stopped = (id: string, ms: number, more: Partial<FaultCase>): FaultCase => ({
  id, title: `SIGSTOP a worker for ${ms / 1_000} s, then SIGCONT`, isInShortForm: false, isForSoak: false, recoveryMs: 2_000,
  async strike({ rig, random, note, mayRepeat }) {
    const name = pick(rig.roles("worker-cheap"), random);
    note(`stops ${name}`);
    mayRepeat(1);
    await rig.signal(name, "SIGSTOP");
    await sleep(ms);
    await rig.signal(name, "SIGCONT");
  },
  ...more,
});

export const crashes: readonly FaultCase[] = [
  {
    id: "F1", title: "kill -9 one of two gateways", isInShortForm: true, isForSoak: true, recoveryMs: 2_000,
    async strike({ rig, random, note }) {
      const name = pick(rig.roles("gateway"), random);
      note(`kills ${name}`);
      await rig.signal(name, "SIGKILL");
      await rig.role(name).ended();
    },
  },
  dying("F2a", "router-1", "before_job_publish"),
  dying("F2b", "router-1", "after_job_publish", { isInShortForm: true }),
  dying("F2c", "router-1", "after_result_received", { mostPasses: 4 }),
  dying("F2d", "router-1", "after_ledger_call", { isInShortForm: true }),
  dying("F2e", "router-1", "after_completion", { mostPasses: 2, load: { failShare: 0.2 } }),
  dying("F3a", "worker-cheap-1", "before_call", { repeats: 1 }),
  dying("F3b", "worker-cheap-1", "during_call", { repeats: 1, isInShortForm: true }),
  dying("F3c", "worker-cheap-1", "after_call", { repeats: 1, isInShortForm: true }),
  dying("F3d", "worker-cheap-1", "after_result_publish", { repeats: 1 }),
  dying("F4a", "audit-sink", "before_commit", { mostPasses: 3 }),
  dying("F4b", "audit-sink", "after_commit", { mostPasses: 3, isInShortForm: true }),
  dying("F4c", "audit-sink", "in_batch", { mostPasses: 3 }),
  stopped("F5a", BEYOND_LEASE_MS, { isInShortForm: true, isForSoak: true }),
  stopped("F5b", 60_000, {}),
];
