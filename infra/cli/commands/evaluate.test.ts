import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import type { Evaluation } from "#router/evaluation/evaluate.ts";

import { dispatch } from "../dispatch.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-evaluate-"));
afterAll(() => { rmSync(folder, { recursive: true }); });
const outcome = (correct: number, confidence: number, cost_usd: number) => ({ correct, confidence, cost_usd, latency_ms: 10 });
const row = (i: number) => JSON.stringify({ id: String(i), dataset: "d", query: "q".repeat(i), tiers: { small: outcome(i % 3 === 0 ? 0 : 1, i % 3 === 0 ? 0.4 : 0.9, 0.001), large: outcome(1, 1, 0.01) } });
const FILE = join(folder, "log.jsonl");
writeFileSync(FILE, Array.from({ length: 60 }, (_, i) => row(i)).join("\n"));
const LONG = join(folder, "long.jsonl");
writeFileSync(LONG, Array.from({ length: 160 }, (_, i) => row(i)).join("\n"));
/** Each row has words of its own, and either tier is right in half of them: a model knows a row by heart or not at all. */
const BY_HEART = join(folder, "by-heart.jsonl");
const PAIRS = ["ant bee", "cat dog", "elk fox", "gnu hen", "ibis jay", "kite lark", "mole newt", "owl pig", "quail ram", "seal toad", "urial viper", "wolf yak"];
writeFileSync(BY_HEART, PAIRS.map((query, i) => JSON.stringify({ id: query, dataset: query, query, tiers: { small: { correct: i % 2, cost_usd: 0.01 }, large: { correct: 1 - (i % 2), cost_usd: 0.01 } } })).join("\n"));
const BAD = join(folder, "bad.jsonl");
writeFileSync(BAD, `${row(1)}\n{"id":1}\n`);

async function inferctl(...args: string[]) {
  const printed: string[] = [], errors: string[] = [], notes: string[] = [];
  const unused = () => Promise.reject(new Error("not used"));
  const code = await dispatch(["evaluate", ...args], {
    environment: {}, print: (line) => void printed.push(line), progress: { note: (line) => void notes.push(line), step: (_title, run) => run() },
    prepare: { topology: unused, migrations: unused, localModels: unused },
  }, (line) => void errors.push(line));
  return { code, printed: printed.join("\n"), errors: errors.join("\n"), notes };
}
const GOOD = ["--train", FILE, "--test", FILE, "--tiers", "large,small"];

describe("inferctl evaluate", () => {
  it("prints one JSON object", async () => {
    const { code, printed, notes } = await inferctl(...GOOD, "--json", "--seed", "3");
    const { seed, rows, tiers, baseline, policies } = JSON.parse(printed) as Evaluation;
    expect([code, seed, rows, tiers, baseline]).toEqual([0, 3, { train: 60, test: 60 }, ["small", "large"], "large"]);
    expect(policies.find(({ policy }) => policy === "cascade-point-estimate")).toMatchObject({ dataset: "all", n: 60, quality: 1, target_held: true, tier_share: { small: expect.closeTo(2 / 3) as number } });
    expect(notes).toContain("playing oracle");
  });

  it("cross-validates when there is no test file", async () => {
    const { code, printed } = await inferctl("--train", FILE, "--folds", "4", "--tiers", "small,large", "--json");
    const { rows, policies } = JSON.parse(printed) as Evaluation;
    expect([code, rows]).toEqual([0, { train: 60, test: 60 }]);
    expect(policies.find(({ policy }) => policy === "cascade-point-estimate")).toMatchObject({ n: 60, quality: 1 });
    expect((await inferctl(...GOOD, "--folds", "4")).code).toBe(64);
  });

  it("plays each fold by what the others taught, unlike a test of the training rows", async () => {
    const qualityOf = async (...test: string[]) => {
      const { printed } = await inferctl("--train", BY_HEART, ...test, "--tiers", "small,large", "--policy", "predictive", "--json");
      return (JSON.parse(printed) as Evaluation).policies.find(({ policy, dataset }) => policy === "predictive" && dataset === "all")?.frontier?.[0]?.quality;
    };
    expect(await qualityOf("--test", BY_HEART)).toBe(1);
    expect(await qualityOf("--folds", "4")).toBeLessThanOrEqual(0.75);
  });

  it("says how often the floor failed on unseen halves", async () => {
    const { code, printed } = await inferctl("--train", FILE, "--resamples", "3", "--tiers", "small,large", "--policy", "cascade");
    expect([code, printed]).toEqual([0, expect.stringMatching(/3 random halves: 30 training rows[\s\S]*FLOOR FAILED[\s\S]*cascade +\d of 3/)]);
    expect((await inferctl(...GOOD, "--resamples", "3")).errors).toContain("--resamples does not go with --test");
  });

  it("says what labels are worth", async () => {
    const { code, printed } = await inferctl("--train", LONG, "--labels", "30,0", "--shuffles", "2", "--tiers", "small,large", "--policy", "cascade");
    expect([code, printed]).toEqual([0, expect.stringMatching(/2 shuffles: 130 played rows[\s\S]*cascade without labels +0 [\s\S]*cascade +0 [\s\S]*cascade +30 /)]);
    expect((await inferctl(...GOOD, "--labels", "30")).errors).toContain("--labels does not go with --test");
    expect((await inferctl("--train", FILE, "--tiers", "small,large", "--labels", "some")).errors).toContain("--labels must be whole numbers");
  });

  it("prints a table for people, baselines included", async () => {
    const { printed } = await inferctl(...GOOD);
    for (const name of ["cascade", "always-small", "always-large", "random-mix", "query-length", "raw-confidence", "oracle", "CPT50"]) expect(printed).toContain(name);
  });

  it.each([
    ["no files", ["--tiers", "small,large"], /--train is missing/],
    ["one tier", ["--train", FILE, "--test", FILE, "--tiers", "small"], /at least two/],
    ["a target above 1", [...GOOD, "--target", "97"], /--target must be a number above 0 and at most 1, not 97/],
    ["a seed that is no whole number", [...GOOD, "--seed", "1.5"], /--seed must be a whole number, not 1.5/],
    ["an unknown kind of cost", [...GOOD, "--cost", "all"], /--cost is total or generation/],
    ["an unknown policy", [...GOOD, "--policy", "best"], /no policy best/],
    ["a tier that the log lacks", ["--train", FILE, "--test", FILE, "--tiers", "small,huge"], /log\.jsonl:1: no outcome of tier huge; there are small, large/],
    ["a bad row", ["--train", FILE, "--test", BAD, "--tiers", "small,large"], /bad\.jsonl:2: id: /],
  ])("refuses %s, and says what to do", async (_name, args, message) => {
    const { code, errors, printed } = await inferctl(...args);
    expect([code, printed]).toEqual([64, ""]);
    expect(errors).toMatch(message);
    expect(errors).toContain("Next: ");
  });
});
