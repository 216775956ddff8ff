import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, expect, it } from "vitest";

import { callInferctl } from "../callInferctl.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-demo-"));
afterAll(() => { rmSync(folder, { recursive: true }); });

/** A home whose state file says that a router was started with some other tier file. */
function homeWithState(name: string): string {
  const home = join(folder, name);
  mkdirSync(home);
  const role = { name: "router", addresses: [{ role: "router", url: "http://127.0.0.1:1" }], logFile: "x", fingerprint: "x", startedWith: { "the tier file": "another" }, process: { pid: 1, startTime: "0" } };
  writeFileSync(join(home, "state.json"), JSON.stringify({ version: 1, servers: [], roles: [role] }));
  return home;
}
const log = (name: string, rows: number, tiers: object): string => {
  const file = join(folder, name);
  writeFileSync(file, Array.from({ length: rows }, (_, i) => JSON.stringify({ id: String(i), dataset: "d", query: `q${i}`, tiers })).join("\n"));
  return file;
};
const outcome = (more: object) => ({ correct: 1, cost_usd: 0.001, confidence: 0.9, ...more });
const ONE_IS_BEST = log("one.jsonl", 200, { a: outcome({ answer: "x" }), b: outcome({ cost_usd: 0.1, answer: "x" }) });
const FEW = log("few.jsonl", 40, { a: outcome({ answer: "x", correct: 0 }), b: outcome({ cost_usd: 0.1, answer: "x" }) });
const SILENT = log("silent.jsonl", 200, { a: outcome({}), b: outcome({ cost_usd: 0.1 }) });

it.each([
  ["nothing runs", [], join(folder, "empty"), 3, /nothing runs here that could be asked[^]*Next: Start it with: make up/],
  ["what runs may charge for it", [], homeWithState("other"), 1, /was started with another tier file than[^]*Next: Set INFER_TIERS_FILE/],
  ["a number is none", ["--requests", "many"], join(folder, "empty"), 64, /--requests/],
  ["--tiers is of no log", ["--tiers", "a,b"], join(folder, "empty"), 64, /--tiers: goes with --outcomes/],
  ["the log is not there", ["--outcomes", join(folder, "no.jsonl")], join(folder, "empty"), 1, /no\.jsonl[^]*Next: Name a log of outcomes with answers/],
  ["the log has no answers", ["--outcomes", SILENT], join(folder, "empty"), 1, /no row has an answer \(`answer`\) of each of a, b/],
  ["there is nothing to choose", ["--outcomes", ONE_IS_BEST], join(folder, "empty"), 1, /one model is the cheapest and the best/],
  ["the log is too short", ["--outcomes", FEW], join(folder, "empty"), 1, /40 rows have an answer .* too few for two halves of 30/],
])("starts nothing when %s, and says what to do", async (_when, args, home, code, message) => {
  const called = await callInferctl(["demo", ...args], { INFER_HOME: home });
  expect([called.code, called.printed, called.errors]).toEqual([code, "", expect.stringMatching(message)]);
});
