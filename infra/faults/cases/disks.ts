/** F19 and F20 on disks that are really full: a tmpfs of some MiB each, filled by a file. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { isDrained } from "#infra/embedded/isDrained.ts";

import { during } from "../during.ts";
import type { FaultCase, Trial } from "../faultCase.ts";
import { whyNoSmallDisk } from "../smallDisk.ts";

/** About 8 s of the load. */
const SOME_REQUESTS = 96;
const MIB = 2 ** 20;

const isAnsweredSince = ({ load }: Trial, fromMs: number) => load.sent.some(({ sentAtMs, answeredAtMs }) => answeredAtMs !== null && sentAtMs > fromMs);
function expectNoExits({ rig, violated }: Trial): void {
  for (const { name, code, signal } of rig.exits) violated(`${name} ended with ${code ?? signal ?? "nothing"}`);
}
const onSmallDisk = { isInShortForm: false, isForSoak: false, lacks: whyNoSmallDisk } as const;

export const disks: readonly FaultCase[] = [
  {
    ...onSmallDisk, id: "F19e", title: "the disk below NATS is full, far below the streams' own limits", own: { smallDisks: { nats: 32 * MIB } }, afterMs: 10_000, recoveryMs: 10_000,
    async strike(trial) {
      const { rig, random, figure, note, violated } = trial;
      rig.disk("nats").fill(Math.floor(random() * 20_000));
      const fullAtMs = performance.now();
      await during(trial, SOME_REQUESTS);
      const log = readFileSync(rig.server("nats").info().logFile ?? "", "utf8");
      note(`NATS says: ${log.split("\n").filter((line) => /space|resources|critical|disabled/i.test(line)).slice(0, 3).join(" | ")}`);
      figure("answered while it was full", trial.load.sent.filter(({ sentAtMs, answeredAtMs }) => sentAtMs > fullAtMs && answeredAtMs !== null).length);
      if (!/no space left on device/i.test(log)) violated("the disk of NATS was not full");
      rig.disk("nats").free();
      const freedAtMs = performance.now();
      await sleep(15_000);
      const isBack = isAnsweredSince(trial, freedAtMs);
      figure("went on by itself", isBack ? 1 : 0);
      if (!isBack) await rig.restart("nats");
    },
    check: (_verdict, trial) => { expectNoExits(trial); },
  },
  {
    ...onSmallDisk, id: "F20a", title: "the disk of Postgres is full", own: { smallDisks: { postgres: 160 * MIB } }, recoveryMs: 2_000,
    async strike(trial) {
      const { rig, figure, until, violated, note } = trial;
      const sink = rig.role("audit-sink");
      rig.disk("postgres").fill(0);
      const fullAtMs = performance.now();
      await during(trial, 3 * SOME_REQUESTS);
      const log = readFileSync(rig.server("postgres").info().logFile ?? "", "utf8");
      note(`Postgres says: ${[...new Set(log.split("\n").filter((line) => /space|PANIC/i.test(line)).map((line) => line.slice(30)))].slice(0, 3).join(" | ")}`);
      if (!/No space left on device/.test(log)) violated("the disk of Postgres was not full");
      const answered = trial.load.sent.filter(({ sentAtMs, answeredAtMs }) => sentAtMs > fullAtMs && answeredAtMs !== null).length;
      figure("answered while it was full", answered);
      if (answered === 0) violated("nothing was answered while the disk of Postgres was full");
      if (/PANIC/.test(log)) await rig.restart("postgres").catch((error: unknown) => { note(String(error)); });
      rig.disk("postgres").free();
      const freedAtMs = performance.now();
      await until("the audit does not catch up", 60_000, () => isDrained(rig.broker.jsm, "COMPLETIONS", "sink-audit").catch(() => false));
      figure("catch-up s", (performance.now() - freedAtMs) / 1_000);
      expectNoExits(trial);
      sink.signal("SIGTERM");
      await sink.ended();
      const exit = rig.exits.splice(0).find(({ name }) => name === "audit-sink");
      if (exit?.code !== 0) violated(`the audit sink ended with ${exit?.code ?? exit?.signal ?? "nothing"}`);
    },
  },
  {
    ...onSmallDisk, id: "F20b", title: "the disk of the log files is full", own: { smallDisks: { logs: 16 * MIB }, env: { LOG_LEVEL: "debug" } }, recoveryMs: 2_000,
    async strike(trial) {
      const { rig, figure, until, violated } = trial;
      const disk = rig.disk("logs");
      disk.fill(Math.floor(trial.random() * 8_000));
      const fullAtMs = performance.now();
      await during(trial, SOME_REQUESTS);
      if (disk.freeBytes() > 0) violated("the disk of the logs was not full");
      const answered = trial.load.sent.filter(({ sentAtMs, answeredAtMs }) => sentAtMs > fullAtMs && answeredAtMs !== null).length;
      figure("answered while it was full", answered);
      if (answered === 0) violated("nothing was answered while the disk of the logs was full");
      disk.free();
      const freedAt = new Date();
      for (const name of rig.roles("gateway")) await until(`${name} logs nothing any more`, 20_000, () => lastLineAt(rig.role(name).plan.logFile) > freedAt);
    },
    check: (_verdict, trial) => { expectNoExits(trial); },
  },
];

/** When the last whole line was written. */
function lastLineAt(file: string): Date {
  const line = readFileSync(file, "utf8").split("\n").at(-2) ?? "";
  try {
    return new Date((JSON.parse(line) as { time: string }).time);
  } catch {
    return new Date(0);
  }
}
