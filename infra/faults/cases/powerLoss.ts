/** F8: NATS loses its power. Its disk is a file that holds what was written back or fsynced, so what is lost is what a real machine would lose (`powerDisk.ts`). */
import { makePool } from "#shared/db/pool.ts";
import type { Difference } from "#shared/contracts/difference.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { reconcile } from "#shared/reconcile/reconcile.ts";

import { during } from "../during.ts";
import type { FaultCase, Trial } from "../faultCase.ts";
import { messagesIn, type StoredMessage } from "../natsStore.ts";
import type { Key } from "../oracle.ts";
import { whyNoPowerDisk } from "../powerDisk.ts";
import { PREFIX, type Rig } from "../rig.ts";

/** About 5 s of the load. */
const SOME_REQUESTS = 60;
const DISK_BYTES = 128 * 2 ** 20;
const base = { isInShortForm: false, isForSoak: false, lacks: whyNoPowerDisk, afterMs: 8_000, recoveryMs: 5_000 } as const;

/** The server stops, which nobody can tell from a machine without power; its disk is set back to what had reached it. Returns what it had acknowledged and has no more. */
async function losePower({ rig, mayRepeat, figure }: Trial): Promise<StoredMessage[]> {
  mayRepeat(1); // acks are lost with the rest
  const { dataDir } = rig.server("nats");
  await rig.signal("nats", "SIGSTOP");
  rig.powerDisk().cutPower();
  const before = await messagesIn(dataDir);
  await rig.signal("nats", "SIGKILL");
  rig.powerDisk().restorePower();
  const placeOf = ({ stream, seq, subject }: StoredMessage) => `${stream} ${seq} ${subject}`;
  const left = new Set((await messagesIn(dataDir)).map(placeOf));
  await rig.restart("nats");
  const lost = before.filter((one) => !left.has(placeOf(one)));
  figure("stored before", before.length);
  figure("messages lost", lost.length);
  return lost;
}

async function differencesOf(rig: Rig): Promise<Difference[]> {
  const pool = makePool(rig.server("postgres").url, "faults", () => undefined);
  try {
    const { jsm, streams } = await brokerOver(rig.broker.nats, PREFIX);
    const found: Difference[] = [];
    await reconcile({ jsm, streams, pool, prefix: PREFIX, now: () => Date.now() }, {
      days: { auditDays: 90, ledgerDays: 400 }, promised: { defaultDeadlineMs: 30_000, maxDeadlineMs: 300_000, sweepGraceMs: 5_000 }, redis: rig.redis,
      onDifference: (one) => void found.push(one), onProgress: () => undefined,
    });
    return found;
  } finally {
    await pool.end();
  }
}

function ofFast(): FaultCase {
  let lostNow: readonly StoredMessage[] = [];
  return {
    ...base, id: "F8a", title: "NATS loses its power, some seconds after its last sync (`fast`): every loss that Postgres can know is found by reconcile", own: { powerDiskBytes: DISK_BYTES },
    async strike(trial) {
      trial.rig.powerDisk().sync();
      await during(trial, SOME_REQUESTS);
      lostNow = await losePower(trial);
      trial.expectLost(new Set(lostNow.map(({ key }) => key)));
      if (lostNow.length === 0) trial.violated("nothing was lost: this case shows nothing");
    },
    async check(_verdict, { rig, figure, violated, note }, { sent, completions, auditRows, lines, spent }) {
      const lost = lostNow.filter(({ stream }) => stream === "COMPLETIONS");
      const differences = await differencesOf(rig);
      const named = new Set(differences.map(({ tenant_id, request_id }) => `${tenant_id ?? ""}/${request_id ?? ""}`));
      const places = new Map((await rig.audit.rows<{ key: Key; seq: number }>("SELECT tenant_id || '/' || request_id AS key, stream_seq::float8 AS seq FROM requests")).map(({ key, seq }) => [key, seq]));
      const isThereNow = new Map<Key, number>();
      for (const one of completions) isThereNow.set(`${one.tenant_id}/${one.request_id}`, (await rig.broker.jsm.streams.getMessage("COMPLETIONS", { last_by_subj: `${PREFIX}.completion.${one.tenant_id}.${one.request_id}` }))?.seq ?? 0);
      // Postgres has the row of the lost event, and the place where it was has another one now, or none.
      const known = lost.filter(({ key, seq }) => places.get(key) === seq && isThereNow.get(key) !== seq);
      const undetected = known.filter(({ key }) => !named.has(key));
      const rows = new Set(auditRows.map(({ key }) => key));
      const toldAlone = sent.filter(({ tenant, id, replies }) => replies.length > 0 && !rows.has(`${tenant}/${id}`) && !isThereNow.has(`${tenant}/${id}`));
      figure("outcomes lost", lost.length);
      figure("of them audited", known.length);
      figure("of these detected", known.length - undetected.length);
      figure("lost requests without an outcome now, told to a caller", toldAlone.length);
      const kinds: Record<string, number> = {};
      for (const { kind } of differences) kinds[kind] = (kinds[kind] ?? 0) + 1;
      note(`reconcile: ${JSON.stringify(kinds)}`);
      if (toldAlone.length > 0) note(`only their callers know: ${toldAlone.slice(0, 5).map(({ tenant, id }) => `${tenant}/${id}`).join(", ")}`);
      for (const { key, seq } of undetected.slice(0, 3)) violated(`the lost outcome of ${key} (COMPLETIONS ${seq}) is in the audit and was not detected`);
      const allLost = new Set(lostNow.map(({ key }) => key));
      const innocent = differences.filter((one) => one.tenant_id !== null && one.request_id !== null && !allLost.has(`${one.tenant_id}/${one.request_id}`));
      for (const { kind, tenant_id, request_id } of innocent.slice(0, 3)) violated(`${kind} of ${tenant_id ?? ""}/${request_id ?? ""}, of which nothing was lost`);
      // Budgets are loaded anew from what NATS still has: the ledger may have the charges of lost outcomes beside it, and no others.
      for (const { tenant, inRedis, inLedger } of spent) {
        const ofLost = lines.filter(({ key, isCharged }) => isCharged && allLost.has(key) && key.startsWith(`${tenant}/`)).reduce((sum, { cost }) => sum + cost, 0);
        const isNamed = differences.some(({ kind, tenant_id }) => kind === "counter_differs" && tenant_id === tenant);
        if (!isNamed && (inLedger < inRedis || inLedger > inRedis + ofLost)) violated(`${tenant}: Redis says ${inRedis} and the ledger ${inLedger}, of which lost outcomes explain ${ofLost} at most`);
      }
      figure("budgets compared", spent.length);
    },
  };
}

export const powerLoss: readonly FaultCase[] = [
  ofFast(),
  {
    ...base, id: "F8b", title: "NATS with `strict` loses its power: nothing that it had acknowledged is lost", own: { durability: "strict", powerDiskBytes: DISK_BYTES },
    async strike(trial) {
      await during(trial, SOME_REQUESTS);
      await losePower(trial); // what it had stored and not yet acknowledged may be lost; the oracle says of the rest
    },
  },
];
