/** F21: clocks that are wrong, and jump. Of roles alone: NATS, Redis and Postgres keep the machine's. Monotonic time, which timers run by, is right everywhere. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { postJson, recordOf } from "#infra/e2e/callers.ts";
import { libfaketime } from "#infra/embedded/aptRoot.ts";
import { openHome } from "#infra/embedded/homeFolder.ts";
import { readCounters } from "#shared/ledger/readCounters.ts";

import { promptOf } from "../backend.ts";
import { during } from "../during.ts";
import type { FaultCase, Trial } from "../faultCase.ts";
import { CANARIES } from "../load.ts";
import { PREFIX } from "../rig.ts";

/** Seconds beside the machine's clock, one after the other: the roles start with the first. */
const OFFSETS_S = [3_600, -3_600, 40 * 86_400, -40 * 86_400, 0];
const IDS_EACH = 3;
const WRONG = ["gateway-1", "router-1", "worker-cheap-1", "worker-dear-1"] as const;
const DEADLINE_MS = 40_000;
/** About 4 s of the load. */
const REQUESTS_EACH = 24;

const library = (): Promise<string> => libfaketime(openHome(process.env), process.env);

export const clocks: readonly FaultCase[] = [
  {
    id: "F21", title: "the clocks of a gateway, a router and two workers are an hour ahead, then an hour behind, 40 days ahead, 40 days behind, right", isInShortForm: false, isForSoak: false, recoveryMs: 2_000, load: { ratePerS: 6, deadlineMs: DEADLINE_MS },
    lacks: () => library().then(() => null, (error: unknown) => `no libfaketime: ${String(error)}`),
    async strike(trial) {
      const { rig, figure, late, mayRepeat, violated } = trial;
      const file = join(rig.folder, "clock");
      const env = { LD_PRELOAD: await library(), FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: "1", DONT_FAKE_MONOTONIC: "1", NO_FAKE_STAT: "1" };
      const ids: string[] = [];
      for (const [place, offsetS] of OFFSETS_S.entries()) {
        writeFileSync(file, `${offsetS < 0 ? "" : "+"}${offsetS}\n`);
        if (place === 0) for (const name of WRONG) await rig.restart(name, { env, how: "SIGTERM" });
        ids.push(...(await idsOf(trial)));
        await during(trial, REQUESTS_EACH);
      }
      figure("ids made", ids.length);
      if (new Set(ids).size !== ids.length) violated(`ids were made twice: ${ids.join(", ")}`);
      const month = new Date().toISOString().slice(0, 7);
      const windows = new Set((await readCounters(rig.redis, { prefix: PREFIX })).counters.map(({ windowId }) => windowId));
      if ([...windows].some((id) => id !== month)) violated(`budgets were counted in ${[...windows].join(", ")}, and this is ${month}`);
      for (const name of WRONG) await rig.restart(name, { how: "SIGTERM" });
      for (const { name, code } of rig.exits) {
        if (code === 0) continue;
        late(`${name} was not done within its grace period`);
        mayRepeat(1); // what it still ran was handed back
      }
    },
    check(_verdict, { load, rig, violated }) {
      const early = load.sent.filter(({ sentAtMs, answeredAtMs, replies }) => (answeredAtMs ?? Infinity) - sentAtMs < DEADLINE_MS && replies.some(({ error }) => error?.code === "deadline_exceeded"));
      if (early.length > 0) violated(`${early.length} requests expired before their deadline`);
      for (const { name, signal } of rig.exits) if (signal !== null) violated(`${name} ended with ${signal}`);
    },
  },
];

/** That a gateway with a wrong clock gave to requests without one. Where it is refused for now, it asks again. */
async function idsOf({ rig, until }: Trial): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < IDS_EACH; i++) {
    const input = promptOf({ tenant: "t5", id: `unnamed-${i}`, canary: CANARIES.get("t5") ?? "", delayMs: 20 });
    await until("a request without an id has no outcome", 60_000, async () => {
      const answer = await postJson(`${rig.gatewayUrls[0] ?? ""}/infer`, { tenant_id: "t5", user_id: "clocks", budget: 1, deadline_ms: DEADLINE_MS, input });
      if (answer.text.includes('"outcome":')) ids.push(recordOf(answer).request_id);
      return answer.text.includes('"outcome":');
    });
  }
  return ids;
}
