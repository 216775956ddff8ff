import { expect, test } from "vitest";

import { cut, paintFor, printable, widthOf, wrapped } from "./paint.ts";
import { screenOf } from "./screen.ts";
import { fittingTable, textTable } from "./textTable.ts";

test.each([
  ["a pipe", { isTTY: false }, {}, false], ["a terminal", { isTTY: true }, {}, true], ["NO_COLOR", { isTTY: true }, { NO_COLOR: "1" }, false], ["NO_COLOR that is empty", { isTTY: true }, { NO_COLOR: "" }, true], ["a dumb terminal", { isTTY: true }, { TERM: "dumb" }, false],
])("colours on a terminal alone: %s", (_name, stream, environment, hasColours) => {
  expect(screenOf(stream, environment).hasColours).toBe(hasColours);
  expect(paintFor({ hasColours })("red", "x")).toBe(hasColours ? "\u001b[31mx\u001b[39m" : "x");
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
