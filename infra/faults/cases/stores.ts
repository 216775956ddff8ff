/** F10 and F12: Postgres and Redis that stop, die, crawl and refuse. Requests go on; what needs the store waits for it. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { isDrained } from "#infra/embedded/isDrained.ts";

import type { FaultCase, Trial } from "../faultCase.ts";
import { BUDGETED, type Rig } from "../rig.ts";

const answeredSince = ({ load }: Trial, sinceMs: number, isOf: (tenant: string) => boolean): number =>
  load.sent.filter(({ tenant, sentAtMs, answeredAtMs, replies }) => isOf(tenant) && sentAtMs >= sinceMs && answeredAtMs !== null && replies.some(({ outcome }) => outcome === "completed")).length;
const isUnbudgeted = (tenant: string): boolean => !BUDGETED.includes(tenant);

/** What must go on while a store is away, and how long until what waited for it has caught up. */
async function without(trial: Trial, goesOn: (tenant: string) => boolean, fault: () => Promise<void>): Promise<void> {
  const fromMs = performance.now();
  await fault();
  const answered = answeredSince(trial, fromMs, goesOn);
  trial.figure("answered meanwhile", answered);
  if (answered === 0) trial.violated("nothing was answered meanwhile, and it should have been");
}

const KNOWN_MS = 10_000;
const postgres = (id: string, title: string, strike: (rig: Rig) => Promise<void>, more: Partial<FaultCase> = {}): FaultCase => ({
  id, title, isInShortForm: false, isForSoak: false, recoveryMs: 2_000,
  async strike(trial) {
    const { rig, figure, until } = trial;
    await without(trial, () => true, () => strike(rig));
    const backAtMs = performance.now();
    await until("the audit does not catch up", 60_000, () => isDrained(rig.broker.jsm, "COMPLETIONS", "sink-audit").catch(() => false));
    figure("catch-up s", (performance.now() - backAtMs) / 1_000);
  },
  ...more,
});

/** Until a tenant with a budget is answered again. */
async function untilBudgetsKnown(trial: Trial): Promise<void> {
  const backAtMs = performance.now();
  await trial.until("budgets stay unknown", 60_000, () => answeredSince(trial, backAtMs, (tenant) => !isUnbudgeted(tenant)) > 0);
  trial.figure("budgets known after s", (performance.now() - backAtMs) / 1_000);
}
const redis = (id: string, title: string, strike: (rig: Rig) => Promise<void>, more: Partial<FaultCase> = {}): FaultCase => ({
  id, title, isInShortForm: false, isForSoak: false, recoveryMs: 5_000, afterMs: 6_000,
  async strike(trial) {
    await without(trial, isUnbudgeted, () => strike(trial.rig));
    await untilBudgetsKnown(trial);
  },
  ...more,
});
async function forgetRedis({ server }: Rig): Promise<void> {
  await server("redis").kill();
  rmSync(join(server("redis").dataDir, "appendonlydir"), { recursive: true, force: true });
}
/** Redis refuses writes as long as `setting` is set. */
const refusing = async ({ redis: client }: Rig, set: [string, ...string[]], unset: [string, ...string[]]) => {
  await client.call(...set);
  await sleep(KNOWN_MS);
  await client.call(...unset);
};

export const stores: readonly FaultCase[] = [
  postgres("F10a", "Postgres stopped for 60 s", async (rig) => { await rig.signal("postgres", "SIGTERM"); await sleep(60_000); await rig.restart("postgres"); }),
  postgres("F10b", "kill -9 of Postgres, 8 s down", async (rig) => { await rig.signal("postgres", "SIGKILL"); await sleep(8_000); await rig.restart("postgres"); }, { isInShortForm: true, isForSoak: true }),
  postgres("F10c", "Postgres restarted under load", async (rig) => { await rig.restart("postgres"); await sleep(2_000); }, { isForSoak: true }),
  redis("F12a", "Redis stopped for 10 s", async (rig) => { await rig.signal("redis", "SIGTERM"); await sleep(KNOWN_MS); await rig.restart("redis"); }),
  redis("F12b", "kill -9 of Redis with its log, 5 s down", async (rig) => { await rig.signal("redis", "SIGKILL"); await sleep(5_000); await rig.restart("redis"); }, { isInShortForm: true, isForSoak: true }),
  redis("F12c", "kill -9 of Redis, which comes back empty", async (rig) => { await forgetRedis(rig); await sleep(3_000); await rig.restart("redis"); }, { isInShortForm: true, isForSoak: true }),
  redis("F12d", "Redis answers after 1 s", async (rig) => { for (const proxy of rig.proxies("redis")) proxy.set({ down: { latencyMs: 1_000 } }); await sleep(KNOWN_MS); for (const proxy of rig.proxies("redis")) proxy.heal(); }, { isForSoak: true }),
  redis("F12e", "Redis is read-only", (rig) => refusing(rig, ["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"])),
  redis("F12f", "Redis is out of memory", (rig) => refusing(rig, ["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "268435456"])),
  redis("F12g", "Redis comes back empty while Postgres is away", async (rig) => {
    await rig.signal("postgres", "SIGKILL");
    await forgetRedis(rig);
    await rig.restart("redis");
    await sleep(5_000);
    await rig.restart("postgres");
  }),
];
