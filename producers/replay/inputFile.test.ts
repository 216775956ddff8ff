import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, it } from "vitest";

import { BadInputFile, openInputFile } from "./inputFile.ts";

let folder: string;
beforeAll(() => { folder = mkdtempSync(join(tmpdir(), "inputs-")); });
afterAll(() => { rmSync(folder, { recursive: true }); });
const fileOf = (text: string): string => {
  const path = join(folder, "inputs.jsonl");
  writeFileSync(path, text);
  return path;
};
const line = (request_id: string, more: object): string => JSON.stringify({ tenant_id: "t1", request_id, ...more });

it("finds each input by tenant and request, whatever lines and characters lie between", async () => {
  const file = await openInputFile(fileOf([line("r-1", { input: "Ünïcödé €" }), "", line("r-2", { chat: { messages: [{ role: "user", content: "hi" }] } }), line("r-1", { input: "later" }), line("r-3", { embed: { texts: ["a"] } })].join("\n")));
  const found = await Promise.all(["r-3", "r-1", "r-2"].map((request_id) => file.find({ tenant_id: "t1", request_id })));
  expect(found).toEqual([{ texts: ["a"] }, "Ünïcödé €", { messages: [{ role: "user", content: "hi" }] }]);
  expect(await file.find({ tenant_id: "t2", request_id: "r-1" })).toBeNull();
  expect(file.inputs).toBe(3);
  await file.close();
});

it.each([
  ["is no JSON", `${line("r-1", { input: "a" })}\n{`, /line 2: is no JSON/],
  ["says two things", line("r-1", { input: "a", chat: { messages: [{ role: "user", content: "hi" }] } }), /line 1: .*one of input, chat and embed/],
  ["has no valid id", line("r 1", { input: "a" }), /line 1: .*request_id/],
])("refuses a line that %s, by its number", async (_what, text, message) => {
  await expect(openInputFile(fileOf(text))).rejects.toThrow(message);
});

it("says which file it cannot read", async () => {
  await expect(openInputFile(join(folder, "none.jsonl"))).rejects.toThrow(BadInputFile);
});
