/** F23, F29, F32 and F33: blocked processes, rolling restarts, everything at once. */
import { setTimeout as sleep } from "node:timers/promises";

import { readinessOf } from "#infra/embedded/startRoles.ts";
import type { FailpointName } from "#shared/runtime/failpointText.ts";

import type { FaultCase } from "../faultCase.ts";
import { pick, shuffled } from "../pick.ts";

/** Longer than `ack_wait`. */
const BLOCKED_MS = 20_000;

const blocked = (id: string, name: string, point: FailpointName, repeats: number, more: Partial<FaultCase> = {}): FaultCase => ({
  id, title: `${name} is blocked for ${BLOCKED_MS / 1_000} s at ${point}`, isInShortForm: false, isForSoak: true, recoveryMs: 5_000,
  async strike({ rig, random, mayRepeat, until }) {
    mayRepeat(repeats);
    await rig.restart(name, { failpoint: `${point}:${1 + Math.floor(random() * 8)},block_loop:${BLOCKED_MS}`, how: "SIGTERM" });
    const { pid, plan: { url } } = rig.role(name);
    await until(`${name} is not blocked`, 30_000, async () => (await readinessOf(url, pid(), 1_000)) !== "ready");
    await until(`${name} stays blocked`, BLOCKED_MS + 20_000, async () => (await readinessOf(url, pid())) === "ready");
  },
  ...more,
});

export const resources: readonly FaultCase[] = [
  blocked("F23a", "router-1", "before_job_publish", 0, { isInShortForm: true }),
  blocked("F23b", "worker-cheap-1", "before_call", 1),
  blocked("F23c", "worker-cheap-1", "after_call", 1),
  {
    id: "F23d", title: "a gateway hangs for 20 s", isInShortForm: false, isForSoak: true, recoveryMs: 5_000,
    async strike({ rig, random }) {
      const name = pick(rig.roles("gateway"), random);
      await rig.signal(name, "SIGSTOP");
      await sleep(BLOCKED_MS);
      await rig.signal(name, "SIGCONT");
    },
  },
  {
    id: "F29", title: "rolling SIGTERM of every role under load", isInShortForm: true, isForSoak: true, recoveryMs: 2_000,
    async strike({ rig, note, late, mayRepeat }) {
      for (const name of rig.roles()) {
        const before = rig.exits.length;
        await rig.restart(name, { how: "SIGTERM" });
        const exit = rig.exits.slice(before).find((one) => one.name === name);
        note(`${name} ended with ${exit?.code ?? exit?.signal ?? "nothing"}`);
        if (exit === undefined || exit.code === 0) continue;
        late(`${name} was not done within its grace period`);
        mayRepeat(1); // what it still ran was handed back
      }
    },
  },
  {
    id: "F32", title: "kill -9 of everything, started in any order, servers last", isInShortForm: true, isForSoak: false, afterMs: 17_000, recoveryMs: 20_000,
    async strike({ rig, random, mayRepeat, figure, note }) {
      mayRepeat(1);
      for (const name of shuffled([...rig.roles(), ...rig.serverNames], random)) await rig.signal(name, "SIGKILL");
      await Promise.all(rig.roles().map((name) => rig.role(name).ended()));
      const order = shuffled(rig.roles(), random);
      note(`starts ${order.join(", ")}`);
      for (const name of order) rig.role(name).start();
      await sleep(3_000);
      const fromMs = performance.now();
      for (const name of shuffled(rig.serverNames, random)) await rig.restart(name);
      await Promise.all(rig.roles().map((name) => rig.role(name).ready()));
      figure("ready after s", (performance.now() - fromMs) / 1_000);
    },
  },
  {
    id: "F33", title: "two sweepers, settlements and rebuilders close the same requests while workers hold them and Redis comes back empty", isInShortForm: true, isForSoak: true, recoveryMs: 5_000, load: { deadlineMs: 2_500 },
    async strike({ rig }) {
      const workers = rig.roles("worker-cheap");
      for (const name of workers) await rig.signal(name, "SIGSTOP");
      await sleep(4_000);
      await rig.signal("redis", "SIGKILL");
      await rig.restart("redis");
      await sleep(6_000);
      for (const name of workers) await rig.signal(name, "SIGCONT");
    },
  },
];
