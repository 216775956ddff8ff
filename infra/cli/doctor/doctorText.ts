/** What the checks found, for people. Pure. */
import { type Paint, printable, wrapped } from "../paint.ts";
import { type CheckedFinding, countOf, type Level } from "./finding.ts";

const STYLES = { ok: "green", warning: "yellow", problem: "red" } as const satisfies Record<Level, string>;
const GAP = 2, LEAST_TEXT = 30;

export function doctorText(found: readonly CheckedFinding[], { columns, paint }: { readonly columns: number; readonly paint: Paint }): string {
  const levels = Math.max(...Object.keys(STYLES).map(({ length }) => length)), checks = Math.max(0, ...found.map(({ check }) => check.length));
  const indent = levels + checks + 2 * GAP;
  const width = Math.max(LEAST_TEXT, columns - indent);
  const lines = found.flatMap(({ level, check, what, next }) => {
    const text = [...linesOf(what, width), ...(next === null ? [] : linesOf(`Next: ${next}`, width).map((line) => paint("dim", line)))];
    return text.map((line, i) => (i === 0 ? `${paint(STYLES[level], level.padEnd(levels + GAP))}${check.padEnd(checks + GAP)}${line}` : `${" ".repeat(indent)}${line}`));
  });
  return [...lines, "", summaryOf(found, paint)].join("\n");
}

/** Of a text of several lines, as a list of bad variables, each stays one. */
const linesOf = (text: string, width: number): string[] => text.split("\n").flatMap((line) => wrapped(printable(line), width));

function summaryOf(found: readonly CheckedFinding[], paint: Paint): string {
  const [problems, warnings] = [countOf(found, "problem"), countOf(found, "warning")];
  const counted = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`;
  return paint(problems > 0 ? "red" : warnings > 0 ? "yellow" : "green", problems + warnings === 0 ? "Nothing to complain about." : `${counted(problems, "problem")}, ${counted(warnings, "warning")}`);
}
