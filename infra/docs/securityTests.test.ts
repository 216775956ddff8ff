import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const text = readFileSync(join(ROOT, "docs/security.md"), "utf8");
/** `file`: "title", "title" */
const named = [...text.matchAll(/`([\w./-]+\.test\.ts)`: ((?:"[^"]+"(?:, )?)+)/g)].flatMap(([, file = "", titles = ""]) => [...titles.matchAll(/"([^"]+)"/g)].map(([, title = ""]) => ({ file, title })));

it("docs/security.md names tests that are there", () => {
  expect(named.length).toBeGreaterThan(60);
  expect(named.filter(({ file, title }) => !existsSync(join(ROOT, file)) || !readFileSync(join(ROOT, file), "utf8").includes(title))).toEqual([]);
});

it("docs/security.md has a row for each item of its list, with a test or with what is open", () => {
  const rows = new Map([...text.matchAll(/^\| (S\d+)(?:, (S\d+))? .*$/gm)].flatMap(([row, ...ids]) => ids.map((id) => [id, row] as const)));
  const items = Array.from({ length: 28 }, (_, i) => `S${i + 1}`);
  expect(items.filter((id) => !rows.has(id))).toEqual([]);
  expect(items.filter((id) => !["S20", "S21"].includes(id) && !/\.test\.ts`: "|Open: /.test(rows.get(id) ?? ""))).toEqual([]);
});
