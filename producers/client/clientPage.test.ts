/** docs/client.md says what the code does. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { tenantPermissions } from "#shared/messaging/permissions.ts";

import { afterFailure } from "./afterFailure.ts";
import { INFER_ERROR_CODES, InferError, type InferErrorCode } from "./inferError.ts";

const PAGE = readFileSync(join(import.meta.dirname, "../../docs/client.md"), "utf8");
/** Cells of the rows below a table's head. */
function tableUnder(head: string): string[][] {
  const [, rows = ""] = PAGE.split(`${head}\n`);
  return (rows.split("\n\n")[0] ?? "").split("\n").slice(1).map((row) => row.split("|").slice(1, -1).map((cell) => cell.trim()));
}
const quotedIn = (cell: string | undefined): string[] => [...(cell ?? "").matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);

describe("the table of errors", () => {
  const rows = tableUnder("| code | meaning | tried again |");
  it("has every code once", () => {
    expect(rows.flatMap(([codes]) => quotedIn(codes)).toSorted()).toEqual(INFER_ERROR_CODES.toSorted());
  });

  it.each(rows.flatMap(([codes, meaning, again]) => quotedIn(codes).map((code) => [code, again?.split(/[;:]/)[0], meaning] as const)))("says of %s whether it is tried again: %s", (code, again, meaning = "") => {
    const ofOutcome = meaning.startsWith("the outcome of a stream") ? { retryable: false } : {};
    const { kind } = afterFailure(new InferError(code as InferErrorCode, "m", ofOutcome), { made: 1, most: 6, leftMs: 60_000, leftToDeadlineMs: null, random: 0 });
    expect(again).toBe(kind === "try" ? "yes" : "no");
  });
});

it("the permissions of a tenant are those that it gets", () => {
  const rows = tableUnder("| publish | subscribe |");
  const { publish, subscribe } = tenantPermissions("infer", "<tenant>");
  expect([0, 1].map((column) => rows.flatMap((cells) => quotedIn(cells[column])).toSorted())).toEqual([publish, subscribe].map((list) => list.toSorted()));
});
