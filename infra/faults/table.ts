/** The reports of fault runs as a table: one line for each case, over all of its seeds. Pure. */
import { type CaseReport, isBroken } from "./runCase.ts";

export interface Table {
  readonly head: readonly string[];
  readonly body: readonly (readonly string[])[];
}
const HEAD = ["case", "fault", "runs", "requests", "broken", "extra calls", "first success s", "calm after s", "p99 before / during / after ms", "most RSS MiB"];

/** A case that this machine cannot run: it says nothing of any promise. */
export interface NotRun {
  readonly id: string;
  readonly title: string;
  readonly why: string;
}

export function rowsOf(reports: readonly CaseReport[], lacking: readonly NotRun[] = []): Table {
  const ids = [...new Set(reports.map(({ id }) => id))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const notRun = lacking.map(({ id, title, why }) => [id, title, "0", "-", `not run: ${why}`, ...HEAD.slice(5).map(() => "-")]);
  return { head: HEAD, body: [...ids.map((id) => rowFor(reports.filter((report) => report.id === id))), ...notRun] };
}

function rowFor(runs: readonly CaseReport[]): string[] {
  const worst = (of: (run: CaseReport) => number | null): number | null => {
    const values = runs.map(of);
    return values.some((value) => value === null) ? null : Math.max(...(values as number[]));
  };
  const seconds = (ms: number | null) => (ms === null ? "-" : (ms / 1_000).toFixed(1));
  const whole = (value: number | null) => (value === null ? "-" : String(Math.round(value)));
  const broken = runs.filter(isBroken).map(({ seed, verdict, violations }) => `seed ${seed}: ${[...verdict.violations.filter(({ count }) => count > 0).map(({ name, count }) => `${name} ${count}`), ...violations].join(", ")}`);
  const p99s = [worst(({ recovery }) => recovery.p99BeforeMs), worst(({ recovery }) => recovery.p99DuringMs), worst(({ recovery }) => recovery.p99AfterMs)];
  return [
    runs[0]?.id ?? "", runs[0]?.title ?? "", String(runs.length), String(runs.reduce((sum, { sent }) => sum + sent, 0)), [broken.length === 0 ? "0" : broken.join("; "), ...new Set(runs.flatMap(({ late }) => late.map((what) => `late: ${what}`)))].join("; "),
    String(runs.reduce((sum, { verdict }) => sum + verdict.extraCalls, 0)), seconds(worst(({ recovery }) => recovery.firstSuccessMs)), seconds(worst(({ recovery }) => recovery.calmAfterMs)),
    p99s.map(whole).join(" / "), whole(worst(({ peakRssMib }) => peakRssMib)),
  ];
}

export function markdownTable(reports: readonly CaseReport[], lacking: readonly NotRun[] = []): string {
  const { head, body } = rowsOf(reports, lacking);
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...body.map(line)].join("\n");
}
