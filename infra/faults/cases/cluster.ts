/** F7 and F9: three NATS servers, of which some die, hang or find their files damaged. */
import { closeSync, openSync, readdirSync, readSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";

import { during } from "../during.ts";
import type { FaultCase, Trial } from "../faultCase.ts";
import { pick, shuffled } from "../pick.ts";
import type { Rig, ServerName } from "../rig.ts";

const NODES: readonly ServerName[] = ["nats", "nats-2", "nats-3"];
/** An election took 5.3 s (`kill -9` and SIGSTOP of the leader of a stream, nats-server 2.15.1 on loopback). */
const ELECTED_MS = 10_000;
const own = { isReplicated: true } as const;

async function leaderOf({ broker }: Rig, stream: string): Promise<ServerName> {
  const leader = (await broker.jsm.streams.info(stream)).cluster?.leader ?? "";
  return NODES[Number(leader.split("-").at(-1)) - 1] ?? "nats";
}
const isAnsweredSince = ({ load }: Trial, fromMs: number) => load.sent.some(({ sentAtMs, answeredAtMs }) => answeredAtMs !== null && sentAtMs > fromMs);

export const cluster: readonly FaultCase[] = [
  {
    id: "F7a", title: "kill -9 the leader of COMPLETIONS, of three NATS servers", isInShortForm: false, isForSoak: false, own, afterMs: 20_000, recoveryMs: ELECTED_MS,
    async strike(trial) {
      const leader = await leaderOf(trial.rig, "COMPLETIONS");
      trial.note(`kills ${leader}`);
      await trial.rig.signal(leader, "SIGKILL");
      const killedAtMs = performance.now();
      await trial.until("nothing is answered without the leader", 40_000, () => isAnsweredSince(trial, killedAtMs));
      trial.figure("answers again after s", (performance.now() - killedAtMs) / 1_000);
    },
  },
  {
    id: "F7b", title: "SIGSTOP of the leader of REQUESTS, of three NATS servers", isInShortForm: false, isForSoak: false, own, afterMs: 20_000, recoveryMs: ELECTED_MS,
    async strike(trial) {
      const leader = await leaderOf(trial.rig, "REQUESTS");
      trial.note(`stops ${leader}`);
      await trial.rig.signal(leader, "SIGSTOP");
      await during(trial, 180);
    },
  },
  {
    id: "F7c", title: "kill -9 two of three NATS servers", isInShortForm: false, isForSoak: false, own, afterMs: 25_000, recoveryMs: 15_000,
    async strike(trial) {
      await Promise.all(shuffled(NODES, trial.random).slice(1).map((node) => trial.rig.signal(node, "SIGKILL")));
      await during(trial, 60);
    },
  },
  {
    id: "F7d", title: "rolling restart of three NATS servers", isInShortForm: false, isForSoak: false, own, afterMs: 20_000, recoveryMs: ELECTED_MS,
    async strike(trial) {
      for (const node of NODES) {
        await trial.rig.signal(node, "SIGTERM");
        await trial.rig.restart(node);
        await during(trial, 90);
      }
    },
  },
  {
    id: "F9", title: "a bit flips in the files of one of three NATS servers", isInShortForm: false, isForSoak: false, own, afterMs: 20_000, recoveryMs: ELECTED_MS,
    async strike(trial) {
      const { rig, random, note } = trial;
      const node = pick(NODES, random);
      await rig.signal(node, "SIGTERM");
      const file = blocksBelow(rig.server(node).dataDir).find((name) => name.includes("COMPLETIONS"));
      if (file === undefined) throw new Error("COMPLETIONS has no block to damage");
      const at = Math.floor(random() * statSync(file).size);
      flipBit(file, at);
      note(`${node}: bit of byte ${at} of ${statSync(file).size} flipped in a block of COMPLETIONS`);
      await rig.restart(node);
      await during(trial, 60);
    },
  },
];

const blocksBelow = (folder: string): string[] => readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".blk")).map((name) => join(folder, name));
function flipBit(file: string, at: number): void {
  const descriptor = openSync(file, "r+");
  const byte = Buffer.alloc(1);
  readSync(descriptor, byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 1;
  writeSync(descriptor, byte, 0, 1, at);
  closeSync(descriptor);
}
