import { widthOf } from "./paint.ts";

/** Columns as wide as the longest line of their cells, which may have several and be coloured. Pure. */
export function textTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows].flatMap(linesOf);
  const widths = head.map((_, column) => Math.max(...all.map((row) => widthOf(row[column] ?? ""))));
  const padded = (cell: string, column: number): string => cell + " ".repeat(Math.max(0, (widths[column] ?? 0) - widthOf(cell)));
  return all.map((row) => row.map((cell, column) => (column === row.length - 1 ? cell : padded(cell, column))).join("  ").trimEnd()).join("\n");
}

function linesOf(row: readonly string[]): string[][] {
  const cells = row.map((cell) => cell.split("\n"));
  return Array.from({ length: Math.max(...cells.map(({ length }) => length)) }, (_, line) => cells.map((lines) => lines[line] ?? ""));
}

/** The same, without the columns that do not fit: of `dropped` (their heads) the first go first. */
export function fittingTable(head: readonly string[], rows: readonly (readonly string[])[], { columns, dropped }: { readonly columns: number; readonly dropped: readonly string[] }): string {
  const table = textTable(head, rows);
  const [first, ...others] = dropped;
  if (first === undefined || table.split("\n").every((line) => widthOf(line) <= columns)) return table;
  const at = head.indexOf(first);
  const without = (row: readonly string[]) => (at < 0 ? row : row.filter((_, column) => column !== at));
  return fittingTable(without(head), rows.map(without), { columns, dropped: others });
}
