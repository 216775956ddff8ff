/** Makes runs one after the other, or several at once. */
import { cpSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { seededRandom } from "#shared/statistics/seededRandom.ts";

import type { Run } from "./plan.ts";
import { type Rig, startRig } from "./rig.ts";
import { type CaseReport, isBroken, runCase } from "./runCase.ts";
import { warmUp } from "./warmUp.ts";

type Note = (line: string) => void;
export interface RunAllOptions {
  /** At once, each with a system of its own. */
  readonly jobs: number;
  readonly note: Note;
  readonly onReport: (report: CaseReport) => void;
}

/** What could not run is said, and does not keep the others from running. */
export async function runAll(runs: readonly Run[], options: RunAllOptions): Promise<{ readonly failures: readonly string[] }> {
  const failures: string[] = [];
  const failed = ({ one, seed }: Run) => (error: unknown) => void failures.push(`${one.id} seed ${seed}: ${String(error)}`);
  const due = [...runs];
  const jobs = Array.from({ length: Math.min(options.jobs, runs.length) }, () => makeJob(options));
  const interrupted = () => void Promise.all(jobs.map(({ close }) => close())).finally(() => { process.exit(130); });
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  try {
    await Promise.all(jobs.map(async (job) => {
      for (let run = due.shift(); run !== undefined; run = due.shift()) await job.make(run).catch(failed(run));
      await job.close();
    }));
  } finally {
    await Promise.all(jobs.map(({ close }) => close()));
    process.off("SIGINT", interrupted);
    process.off("SIGTERM", interrupted);
  }
  return { failures };
}

/** Cases that need no system of their own share one. */
function makeJob({ note, onReport }: RunAllOptions) {
  let current: Rig | null = null;
  let warm: Rig | null = null;
  const close = async () => {
    const closing = current;
    current = null;
    await closing?.close();
  };
  return {
    close,
    async make({ one, seed }: Run): Promise<void> {
      const say: Note = (line) => { note(`${one.id} seed ${seed}: ${line}`); };
      say(one.title);
      if (one.own !== undefined) await close(); // two systems for one job would be too much for a small machine
      const rig = (current ??= await startRig({ random: seededRandom(seed), ...one.own }));
      let isWhole = false;
      try {
        if (rig !== warm) await warmUp(rig);
        warm = rig;
        const report = await runCase(rig, one, seed, say);
        onReport(report);
        say(summaryOf(report));
        isWhole = !isBroken(report);
      } finally {
        if (!isWhole) keepLogs(rig, { id: one.id, seed }, say);
        if (!isWhole || one.own !== undefined) await close();
      }
    },
  };
}

function keepLogs({ folder }: Rig, { id, seed }: Pick<CaseReport, "id" | "seed">, note: Note): void {
  const kept = join(tmpdir(), `infer-faults-logs-${id}-${seed}`);
  cpSync(join(folder, "logs"), kept, { recursive: true });
  note(`logs of all processes: ${kept}`);
}

function summaryOf(report: CaseReport): string {
  const { sent, verdict, violations, recovery, refusals, figures, tookMs } = report;
  const broken = [...verdict.violations.filter(({ count }) => count > 0).map(({ name, count, examples }) => `${name}: ${count} (${examples.join("; ")})`), ...violations];
  const told = Object.entries({ ...figures, ...refusals }).map(([name, count]) => `${name} ${count}`).join(", ");
  return `${broken.length === 0 ? "holds" : `BROKEN: ${broken.join("; ")}`}. Sent ${sent}, accepted ${verdict.accepted}, terminal ${verdict.terminal}, extra calls ${verdict.extraCalls} (${verdict.repaidCalls} paid twice), first success ${Math.round(recovery.firstSuccessMs ?? NaN)} ms, p99 ${[recovery.p99BeforeMs, recovery.p99DuringMs, recovery.p99AfterMs].map((ms) => Math.round(ms ?? NaN)).join("/")} ms; ${told === "" ? "no refusals" : told}; took ${Math.round(tookMs / 1_000)} s`;
}
