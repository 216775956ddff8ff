/**
 * A provider's bill: what it charged per day and model. CSV with a line of names, or JSON lines: `date` (a day, UTC), `model`, `cost_usd`; `input_tokens`,
 * `output_tokens` and `requests` may be there, and whatever else is passed over. Amounts are exact. Pure.
 */
import { z } from "zod";

import { attoUsd, nanoOfAtto } from "./exactAmount.ts";

/** Amounts in 10^-18 USD. */
export interface BillRow {
  readonly day: string;
  readonly model: string;
  readonly costAtto: bigint;
}
export interface BilledDay {
  readonly day: string;
  readonly model: string;
  /** Nano-dollars; the sum is rounded once. */
  readonly cost: bigint;
}
/** What is wrong, and in which line. */
export class BadBill extends Error {
  override readonly name = "BadBill";
}

const count = () => z.string().regex(/^\d*$/, "must be a whole number").optional();
const Row = z.object({
  date: z.string().transform((text) => text.trim()).pipe(z.iso.date("must be a day as 2026-11-28")),
  model: z.string().trim().min(1, "must name a model"),
  cost_usd: z.string(), input_tokens: count(), output_tokens: count(), requests: count(),
});
const NEEDED = ["date", "model", "cost_usd"] as const;
const MOST_LINE_CHARACTERS = 1_000_000;

/** `lines` without their ends. Throws `BadBill`. */
export async function* readBill(lines: AsyncIterable<string>): AsyncGenerator<BillRow> {
  let number = 0;
  let names: readonly string[] | null = null;
  let isJson: boolean | null = null;
  for await (const raw of lines) {
    number += 1;
    const line = number === 1 ? raw.replace(/^\uFEFF/, "") : raw;
    if (line.trim() === "") continue;
    if (line.length > MOST_LINE_CHARACTERS) throw bad(number, "is too long");
    isJson ??= line.trimStart().startsWith("{");
    if (isJson) yield rowOf(number, fieldsOfJson(number, line));
    else if (names === null) names = headOf(number, cellsOf(number, line));
    else yield rowOf(number, fieldsOfCells(number, names, cellsOf(number, line)));
  }
  if (isJson === null) throw new BadBill("the bill is empty");
}

/** Rows of one day and model together. */
export async function sumBill(rows: AsyncIterable<BillRow> | Iterable<BillRow>): Promise<BilledDay[]> {
  const sums = new Map<string, { day: string; model: string; atto: bigint }>();
  for await (const { day, model, costAtto } of rows) {
    const key = JSON.stringify([day, model]);
    const sum = sums.get(key) ?? { day, model, atto: 0n };
    sums.set(key, { ...sum, atto: sum.atto + costAtto });
  }
  return [...sums.values()].map(({ day, model, atto }) => ({ day, model, cost: nanoOfAtto(atto) }));
}

const bad = (line: number, what: string) => new BadBill(`line ${line}: ${what}`);

function rowOf(line: number, fields: unknown): BillRow {
  const row = Row.safeParse(fields);
  if (!row.success) throw bad(line, row.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; "));
  const costAtto = attoUsd(row.data.cost_usd);
  if (costAtto === null) throw bad(line, `cost_usd: must be an amount as 12.34 with 18 decimals at most, is ${JSON.stringify(row.data.cost_usd)}`);
  return { day: row.data.date, model: row.data.model, costAtto };
}

/** Numbers become texts before they are parsed, since a float would not be what is written. */
function fieldsOfJson(line: number, text: string): unknown {
  const exact = text.replaceAll(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (token) => (token.startsWith('"') ? token : `"${token}"`));
  try {
    return JSON.parse(exact);
  } catch (error) {
    throw bad(line, `is no JSON (${(error as Error).message})`);
  }
}

function headOf(line: number, cells: readonly string[]): readonly string[] {
  const names = cells.map((cell) => cell.trim());
  const missing = NEEDED.filter((name) => !names.includes(name));
  if (missing.length > 0) throw bad(line, `there is no column ${missing.join(", ")}; the first line must name the columns, with date, model and cost_usd among them`);
  const twice = NEEDED.find((name) => names.filter((one) => one === name).length > 1);
  if (twice !== undefined) throw bad(line, `there are two columns ${twice}`);
  return names;
}

function fieldsOfCells(line: number, names: readonly string[], cells: readonly string[]): Record<string, string> {
  if (cells.length !== names.length) throw bad(line, `has ${cells.length} fields, and the first line names ${names.length}`);
  return Object.fromEntries(names.map((name, i) => [name, cells[i] ?? ""]));
}

/** As RFC 4180 has them, but for fields of several lines. */
function cellsOf(line: number, text: string): string[] {
  const cells: string[] = [];
  const cell = /\s*"((?:[^"]|"")*)"\s*(?:,|$)|([^,"]*)(?:,|$)/y;
  const whole = text.replace(/\r$/, "");
  for (let at = 0; at <= whole.length; at = cell.lastIndex) {
    cell.lastIndex = at;
    const found = cell.exec(whole);
    if (found === null) throw bad(line, "a quotation mark is not closed, or stands in the middle of a field");
    cells.push(found[1]?.replaceAll('""', '"') ?? found[2] ?? "");
    if (!found[0].endsWith(",")) break;
  }
  return cells;
}
