/** `npm run faults`: runs cases of the fault matrix against the real system and says what they broke. */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { textTable } from "#infra/cli/textTable.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { wholeNumber } from "./arguments.ts";
import { ALL_CASES } from "./cases/allCases.ts";
import { type FaultCase, rowOf } from "./faultCase.ts";
import { type CaseReport, isBroken, runCase } from "./runCase.ts";
import { type Rig, startRig } from "./rig.ts";
import { markdownTable, rowsOf } from "./table.ts";
import { warmUp } from "./warmUp.ts";

const HELP = `Kills, stops, cuts and starves the real system under load, and checks afterwards that nothing is lost, done twice, charged twice or seen by another tenant.

  npm run faults -- [--row <row or case>]... [--all] [--seeds <n>] [--seed <n>] [--json] [--markdown] [--list]

  --row       only these, as F3 or F3b; may be repeated (default: the short form)
  --all       every case there is
  --seeds     runs of each case, with seeds that follow each other (default 1)
  --seed      the first seed: of the faults, the load and the network (default 1)
  --json      one JSON document instead of the table
  --markdown  writes the table into docs/reliability.md
  --list      only says which cases there are

Example: npm run faults -- --row F3 --seeds 5 --seed 7
Ends with 1 when a promise was broken, with 2 when it could not run. docs/reliability.md says what each row means.`;

const PAGE = "docs/reliability.md";
const MARKERS = ["<!-- faults: made by npm run faults -- --markdown -->", "<!-- faults end -->"] as const;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      row: { type: "string", multiple: true, default: [] }, all: { type: "boolean", default: false }, seeds: { type: "string", default: "1" }, seed: { type: "string", default: "1" },
      json: { type: "boolean", default: false }, markdown: { type: "boolean", default: false }, list: { type: "boolean", default: false }, help: { type: "boolean", default: false },
    },
  });
  if (values.help) return void process.stdout.write(`${HELP}\n`);
  if (values.list) return void process.stdout.write(`${textTable(["CASE", "SHORT FORM", "SOAK", "WHAT"], ALL_CASES.map(({ id, isInShortForm, isForSoak, title }) => [id, isInShortForm ? "yes" : "no", isForSoak ? "yes" : "no", title]))}\n`);
  const chosen = choose(values.row, values.all);
  const firstSeed = wholeNumber("seed", values.seed);
  const seeds = Array.from({ length: wholeNumber("seeds", values.seeds) }, (_, i) => firstSeed + i);
  const reports = await runAll(chosen, seeds);
  if (values.markdown) writePage(reports);
  process.stdout.write(values.json ? `${JSON.stringify(reports, null, 2)}\n` : `\n${textTable([...rowsOf(reports).head], rowsOf(reports).body.map((row) => [...row]))}\n`);
  const broken = reports.filter(isBroken);
  const skipped = reports.filter((report) => report.skipped !== null);
  if (skipped.length > 0) note(`SKIPPED, shown by nothing here: ${skipped.map(({ id, skipped: why }) => `${id} (${why})`).join(", ")}`);
  note(broken.length === 0 ? `${reports.length - skipped.length} runs: all promises hold` : `BROKEN in ${broken.map(({ id, seed }) => `${id} (seed ${seed})`).join(", ")}`);
  if (broken.length > 0) process.exitCode = 1;
}

function choose(rows: readonly string[], isAll: boolean): readonly FaultCase[] {
  if (rows.length === 0) return isAll ? ALL_CASES : ALL_CASES.filter(({ isInShortForm }) => isInShortForm);
  const chosen = ALL_CASES.filter((one) => rows.includes(one.id) || rows.includes(rowOf(one)));
  const unknown = rows.filter((row) => !chosen.some((one) => one.id === row || rowOf(one) === row));
  if (unknown.length > 0) throw new Error(`--row ${unknown.join(", ")}: there is no such case; --list says which there are`);
  return chosen;
}

/** Cases that need no system of their own share one. */
async function runAll(cases: readonly FaultCase[], seeds: readonly number[]): Promise<CaseReport[]> {
  const reports: CaseReport[] = [];
  let shared: Rig | null = null;
  let warm: Rig | null = null;
  const closeShared = async () => {
    await shared?.close();
    shared = null;
  };
  const interrupted = () => void closeShared().finally(() => { process.exit(130); });
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  try {
    for (const one of cases) {
      for (const seed of seeds) {
        note(`${one.id} seed ${seed}: ${one.title}`);
        if (one.own !== undefined) await closeShared(); // two systems at once would be too much for a small machine
        const rig: Rig = shared ?? (await startRig({ random: seededRandom(seed), ...one.own }));
        shared = one.own === undefined ? rig : null;
        try {
          if (rig !== warm) await warmUp(rig);
          warm = rig;
          const report = await runCase(rig, one, seed, note);
          reports.push(report);
          note(summaryOf(report));
          if (isBroken(report)) keepLogs(rig, report);
        } catch (error) {
          keepLogs(rig, { id: one.id, seed });
          throw error;
        } finally {
          if (one.own !== undefined) await rig.close();
        }
      }
    }
  } finally {
    await closeShared();
    process.off("SIGINT", interrupted);
    process.off("SIGTERM", interrupted);
  }
  return reports;
}

function keepLogs({ folder }: Rig, { id, seed }: Pick<CaseReport, "id" | "seed">): void {
  const kept = join(tmpdir(), `infer-faults-logs-${id}-${seed}`);
  cpSync(join(folder, "logs"), kept, { recursive: true });
  note(`logs of all processes: ${kept}`);
}

function summaryOf(report: CaseReport): string {
  const { id, sent, verdict, violations, recovery, refusals, figures, skipped, tookMs } = report;
  const broken = [...verdict.violations.filter(({ count }) => count > 0).map(({ name, count, examples }) => `${name}: ${count} (${examples.join("; ")})`), ...violations];
  const told = Object.entries({ ...figures, ...refusals }).map(([name, count]) => `${name} ${count}`).join(", ");
  return `${id} ${broken.length === 0 ? (skipped === null ? "holds" : `SKIPPED: ${skipped}`) : `BROKEN: ${broken.join("; ")}`}. Sent ${sent}, accepted ${verdict.accepted}, terminal ${verdict.terminal}, extra calls ${verdict.extraCalls} (${verdict.repaidCalls} paid twice), first success ${Math.round(recovery.firstSuccessMs ?? NaN)} ms, p99 ${[recovery.p99BeforeMs, recovery.p99DuringMs, recovery.p99AfterMs].map((ms) => Math.round(ms ?? NaN)).join("/")} ms; ${told === "" ? "no refusals" : told}; took ${Math.round(tookMs / 1_000)} s`;
}

function writePage(reports: readonly CaseReport[]): void {
  const page = readFileSync(PAGE, "utf8");
  const [from, to] = MARKERS.map((marker) => page.indexOf(marker));
  if (from === undefined || to === undefined || from < 0 || to < from) throw new Error(`${PAGE} lacks its markers: ${MARKERS.join(" and ")}`);
  const machine = `${cpus().length} x ${cpus()[0]?.model.trim() ?? "unknown processor"}, Node ${process.versions.node}`;
  writeFileSync(PAGE, `${page.slice(0, from)}${MARKERS[0]}\n\n${markdownTable(reports)}\n\nMade with \`npm run faults -- ${process.argv.slice(2).join(" ")}\` on ${machine}, NATS \`fast\` where nothing else is said.\n\n${page.slice(to)}`);
}

const note = (line: string): void => void process.stderr.write(`  ${line}\n`);

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(2); // callers of the load may still be waiting
});
