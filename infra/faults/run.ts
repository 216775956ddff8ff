/** `npm run faults`: runs cases of the fault matrix against the real system and says what they broke. */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";

import { textTable } from "#infra/cli/textTable.ts";

import { wholeNumber } from "./arguments.ts";
import { ALL_CASES } from "./cases/allCases.ts";
import { type FaultCase, rowOf } from "./faultCase.ts";
import { appendToJournal, type JournalLine, originOf, readJournal } from "./journal.ts";
import { planRuns } from "./plan.ts";
import { runAll } from "./runAll.ts";
import { isBroken } from "./runCase.ts";
import { markdownTable, type NotRun, rowsOf } from "./table.ts";

const HELP = `Kills, stops, cuts and starves the real system under load, and checks afterwards that nothing is lost, done twice, charged twice or seen by another tenant.

  npm run faults -- [--row <row or case>]... [--all] [--seeds <n> | --seeds-per-row <n>] [--seed <n>] [--jobs <n>] [--journal <file>] [--json] [--markdown] [--list]

  --row            only these, as F3 or F3b; may be repeated (default: the short form)
  --all            every case there is
  --seeds          runs of each case, with seeds that follow each other (default 1)
  --seeds-per-row  runs of each row, dealt over its cases
  --seed           the first seed: of the faults, the load and the network (default 1)
  --jobs           so many runs at once, each with a system of its own (default 1); from about two for each processor on, recovery is late for want of time
  --journal        a file that every run gets a line in; a run that has one is not made again, and counts in the table
  --json           one JSON document instead of the table
  --markdown       writes the table into docs/reliability.md
  --list           only says which cases there are

Example: npm run faults -- --row F3 --seeds 5 --seed 7
         npm run faults -- --all --seeds-per-row 20 --jobs 3 --journal faults.jsonl --markdown
Ends with 1 when a promise was broken, with 2 when it could not run. docs/reliability.md says what each row means.`;

const PAGE = "docs/reliability.md";
const MARKERS = ["<!-- faults: made by npm run faults -- --markdown -->", "<!-- faults end -->"] as const;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      row: { type: "string", multiple: true, default: [] }, all: { type: "boolean", default: false }, seeds: { type: "string" }, "seeds-per-row": { type: "string" },
      seed: { type: "string", default: "1" }, jobs: { type: "string", default: "1" }, journal: { type: "string" },
      json: { type: "boolean", default: false }, markdown: { type: "boolean", default: false }, list: { type: "boolean", default: false }, help: { type: "boolean", default: false },
    },
  });
  if (values.help) return void process.stdout.write(`${HELP}\n`);
  if (values.list) return void process.stdout.write(`${textTable(["CASE", "SHORT FORM", "SOAK", "WHAT"], ALL_CASES.map(({ id, isInShortForm, isForSoak, title }) => [id, isInShortForm ? "yes" : "no", isForSoak ? "yes" : "no", title]))}\n`);
  const chosen = choose(values.row, values.all);
  const lacking = (await Promise.all(chosen.map(async ({ id, title, lacks }) => ({ id, title, why: (await lacks?.()) ?? null })))).flatMap(({ why, ...one }) => (why === null ? [] : [{ ...one, why }]));
  for (const { id, title, why } of lacking) note(`${id} NOT RUN: ${title}: ${why}`);
  const perRow = values["seeds-per-row"];
  if (values.seeds !== undefined && perRow !== undefined) throw new Error("--seeds and --seeds-per-row exclude each other");
  const count = perRow === undefined ? wholeNumber("seeds", values.seeds ?? "1") : wholeNumber("seeds-per-row", perRow);
  const runs = planRuns(chosen.filter(({ id }) => !lacking.some((one) => one.id === id)), { first: wholeNumber("seed", values.seed), count, each: perRow === undefined ? "case" : "row" });
  const { journal } = values;
  const origin = originOf();
  const known = (journal === undefined ? [] : readJournal(journal)).filter(({ report }) => runs.some(({ one, seed }) => one.id === report.id && seed === report.seed));
  const due = runs.filter(({ one, seed }) => !known.some(({ report }) => report.id === one.id && report.seed === seed));
  const made: JournalLine[] = [];
  const { failures } = await runAll(due, {
    jobs: wholeNumber("jobs", values.jobs), note,
    onReport(report) {
      const line = { ...origin, report };
      made.push(line);
      if (journal !== undefined) appendToJournal(journal, line);
      note(`${known.length + made.length} of ${runs.length} runs`);
    },
  });
  const lines = [...known, ...made];
  const reports = lines.map(({ report }) => report);
  if (values.markdown) writePage(lines, lacking);
  const { head, body } = rowsOf(reports, lacking);
  process.stdout.write(values.json ? `${JSON.stringify([...reports, ...lacking.map(({ id, title, why }) => ({ id, title, not_run: why }))], null, 2)}\n` : `\n${textTable([...head], body.map((row) => [...row]))}\n`);
  const broken = reports.filter(isBroken);
  const notRun = [...lacking.map(({ id, why }) => `${id} (${why})`), ...failures];
  note(`${broken.length > 0 ? `BROKEN in ${broken.map(({ id, seed }) => `${id} (seed ${seed})`).join(", ")}` : reports.length === 0 ? "nothing was run" : `${reports.length} runs: all promises hold`}${notRun.length === 0 ? "" : `; NOT RUN: ${notRun.join(", ")}`}`);
  process.exitCode = broken.length > 0 ? 1 : reports.length === 0 || failures.length > 0 ? 2 : 0;
}

function choose(rows: readonly string[], isAll: boolean): readonly FaultCase[] {
  if (rows.length === 0) return isAll ? ALL_CASES : ALL_CASES.filter(({ isInShortForm }) => isInShortForm);
  const chosen = ALL_CASES.filter((one) => rows.includes(one.id) || rows.includes(rowOf(one)));
  const unknown = rows.filter((row) => !chosen.some((one) => one.id === row || rowOf(one) === row));
  if (unknown.length > 0) throw new Error(`--row ${unknown.join(", ")}: there is no such case; --list says which there are`);
  return chosen;
}

function writePage(lines: readonly JournalLine[], lacking: readonly NotRun[]): void {
  const page = readFileSync(PAGE, "utf8");
  const [from, to] = MARKERS.map((marker) => page.indexOf(marker));
  if (from === undefined || to === undefined || from < 0 || to < from) throw new Error(`${PAGE} lacks its markers: ${MARKERS.join(" and ")}`);
  const all = (of: (line: JournalLine) => string) => [...new Set(lines.map(of))].join("; ");
  const made = `Made with \`npm run faults -- ${process.argv.slice(2).join(" ")}\` on ${all(({ machine }) => machine)}, NATS \`fast\` where nothing else is said; code of ${all(({ commit }) => commit)}.`;
  writeFileSync(PAGE, `${page.slice(0, from)}${MARKERS[0]}\n\n${markdownTable(lines.map(({ report }) => report), lacking)}\n\n${made}\n\n${page.slice(to)}`);
}

const note = (line: string): void => void process.stderr.write(`  ${line}\n`);

// Callers of the load may still be waiting, and Node's own clean-up of what they left has been seen to turn for ever.
main().then(() => process.exit(), (error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(2);
});
