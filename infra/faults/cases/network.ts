/** F24, F30 and F31: connections that are cut, stall, or are used up. */
import { setTimeout as sleep } from "node:timers/promises";

import type { FaultCase } from "../faultCase.ts";
import { pick } from "../pick.ts";

const HALF_OPEN_MS = 12_000;

export const network: readonly FaultCase[] = [
  {
    id: "F24a", title: "a gateway's connection to NATS is not read for 15 s", isInShortForm: true, isForSoak: true, recoveryMs: 5_000,
    async strike({ rig, random }) {
      rig.proxy(pick(rig.roles("gateway"), random), "nats").set({ down: { isStalled: true } });
      await sleep(15_000);
    },
  },
  {
    id: "F24b", title: "SIGSTOP a router for 20 s, longer than its lease", isInShortForm: false, isForSoak: true, recoveryMs: 5_000,
    async strike({ rig, random }) {
      const name = pick(rig.roles("router"), random);
      await rig.signal(name, "SIGSTOP");
      await sleep(20_000);
      await rig.signal(name, "SIGCONT");
    },
  },
  {
    id: "F30a", title: "clients are cut off from gateways again and again, before the reply or within it", isInShortForm: true, isForSoak: true, recoveryMs: 2_000,
    async strike({ rig, random }) {
      const doors = rig.roles("gateway").map((name) => rig.proxy("client", name as `gateway-${number}`));
      for (let times = 0; times < 20; times++) {
        const door = pick(doors, random);
        if (random() < 0.5) door.resetAll();
        else door.set({ down: { rstAfterBytes: Math.floor(random() * 600) } });
        await sleep(100 + 300 * random());
      }
    },
  },
  {
    id: "F30b", title: `clients' connections to one gateway are half-open for ${HALF_OPEN_MS / 1_000} s`, isInShortForm: false, isForSoak: true, recoveryMs: 2_000,
    async strike({ rig, random }) {
      const door = rig.proxy("client", pick(rig.roles("gateway"), random) as `gateway-${number}`);
      door.set({ down: { isStalled: true } });
      await sleep(HALF_OPEN_MS);
      door.set({});
      door.resetAll();
    },
  },
];
