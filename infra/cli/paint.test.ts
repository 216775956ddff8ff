import { PassThrough } from "node:stream";

import { expect, test } from "vitest";

import { cut, paintFor, printable, widthOf, wrapped } from "./paint.ts";
import { hasColours, screenOf } from "./screen.ts";
import { fittingTable, textTable } from "./textTable.ts";

test.each([["nothing set", {}, true], ["NO_COLOR", { NO_COLOR: "1" }, false], ["NO_COLOR that is empty", { NO_COLOR: "" }, true], ["a dumb terminal", { TERM: "dumb" }, false]])("colours of a terminal: %s", (_name, environment, expected) => {
  expect(hasColours(environment)).toBe(expected);
  expect(paintFor({ hasColours: expected })("red", "x")).toBe(expected ? "\u001b[31mx\u001b[39m" : "x");
});

test("a file or a pipe has no colours", () => {
  const pipe = new PassThrough();
  expect(screenOf(pipe, process.stdin, {})).toMatchObject({ terminal: null, hasColours: false });
});

test("what others wrote cannot control the terminal", () => {
  expect(printable("a\u001b[2Jb\nc\u202ed\u009b31me")).toBe("a [2Jb c d 31me");
});

test("colours take no room in tables, and are ended where a line is cut", () => {
  const red = paintFor({ hasColours: true })("red", "long");
  expect(widthOf(red)).toBe(4);
  expect(textTable(["A", "B"], [[red, "x"]])).toBe(`A     B\n${red}  x`);
  expect(cut(`${red}er`, 4)).toBe("\u001b[31mlon\u001b[39m…");
  expect(cut("short", 5)).toBe("short");
});

test("prose is broken between words", () => {
  expect(wrapped("one two three unbreakable", 8)).toEqual(["one two", "three", "unbreakable"]);
});

test("a table drops the columns that are least missed until it fits", () => {
  expect(fittingTable(["name", "a", "b"], [["x", "12345678", "1"]], { columns: 10, dropped: ["a", "b"] })).toBe("name  b\nx     1");
});
