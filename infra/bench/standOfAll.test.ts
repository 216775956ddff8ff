import { expect, it } from "vitest";

import { changes } from "./standOfAll.ts";

it.each([
  ["nothing", { a: 1, b: 2 }, { b: 2, a: 1 }, []],
  ["another number", { a: 1 }, { a: 2 }, ["a: 1 before, 2 after"]],
  ["what is new", {}, { a: 0 }, ["a: none before, 0 after"]],
  ["what is gone", { a: 0 }, {}, ["a: 0 before, none after"]],
])("names %s", (_what, before, after, expected) => {
  expect(changes(before, after)).toEqual(expected);
});
