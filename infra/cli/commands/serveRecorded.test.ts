import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, expect, test } from "vitest";

import { dispatch } from "../dispatch.ts";
import { PLAIN_SCREEN } from "../screen.ts";
import { terminalProgress } from "../terminalProgress.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-serve-recorded-"));
afterAll(() => { rmSync(folder, { recursive: true }); });

async function run(...args: readonly string[]) {
  const said: string[] = [];
  const context = {
    environment: {}, screen: PLAIN_SCREEN, print: () => {}, progress: terminalProgress({ write: () => {} }),
    prepare: { topology: () => Promise.resolve(), migrations: () => Promise.resolve(0), localModels: () => Promise.resolve({ models: [], wasCached: true }) },
  };
  const code = await dispatch(["serve-recorded", ...args], context, (line) => void said.push(line));
  return { code, said: said.join("\n") };
}
const write = (name: string, content: unknown) => { writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content)); return join(folder, name); };
const rows = write("rows.jsonl", { id: "a", query: "q", tiers: { big: { cost_usd: 1 } } });

test.each([
  [[], /say which outcome logs to serve/],
  [["nowhere.jsonl"], /nowhere\.jsonl: ENOENT/],
  [[write("bad.jsonl", { id: "a", query: "q", tiers: { big: {} } })], /bad\.jsonl:1: tiers\.big\.cost_usd/],
  [[rows, "--outputs", write("outputs.jsonl", { id: "a" })], /outputs\.jsonl:1: outputs/],
  [[rows, "--time-scale", "fast"], /--time-scale: /],
  [[rows, "--port", "70000"], /--port: /],
  [[rows, "--seed", "1.5"], /--seed: /],
  [[rows, "--first-token-share", ""], /--first-token-share: /],
  [[rows, "--faults", "nowhere.json"], /nowhere\.json: ENOENT/],
  [[rows, "--faults", write("text.json", "{")], /text\.json: /],
  [[rows, "--faults", write("share.json", [{ kind: "cut", share: 2 }])], /share\.json: 0\.share/],
  [[rows, "--faults", write("model.json", [{ kind: "cut", share: 1, models: ["huge"] }])], /model\.json: no row has the model huge/],
])("%j is wrong use, and nothing is served", async (args, message) => {
  const { code, said } = await run(...args);
  expect(said).toMatch(message);
  expect(said).toMatch(/serve-recorded --help/);
  expect(code).toBe(64);
});
