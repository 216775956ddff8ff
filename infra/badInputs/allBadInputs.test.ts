import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, it } from "vitest";

import { projectFolder } from "#infra/embedded/homeFolder.ts";

import { badInputs } from "./allBadInputs.ts";
import { BAD_INPUT_IDS } from "./ids.ts";

const all = badInputs().flatMap(({ inputs }) => inputs);

it("every input that was thought of is tested, or named with the reason why not", () => {
  const listed = new Set(all.map(({ id }) => id));
  expect(BAD_INPUT_IDS.filter((id) => !listed.has(id))).toEqual([]);
  expect([...listed].filter((id) => !BAD_INPUT_IDS.includes(id))).toEqual([]);
  expect(BAD_INPUT_IDS).toHaveLength(168);
});

it("every test that the list names is there", () => {
  const texts = new Map<string, string>();
  const textOf = (file: string): string => {
    const path = join(projectFolder(), file);
    const text = texts.get(file) ?? (existsSync(path) ? readFileSync(path, "utf8") : "");
    texts.set(file, text);
    return text;
  };
  const missing = all.flatMap(({ id, tests }) => [...(tests.length === 0 ? [`${id}: no test`] : []), ...tests.filter(({ file, text }) => !textOf(file).includes(text)).map(({ file, text }) => `${id}: ${file} has no ${text}`)]);
  expect(missing).toEqual([]);
});

it("no input is listed twice", () => {
  const names = all.map(({ id, input, expected }) => `${id} ${input} ${expected}`);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});
