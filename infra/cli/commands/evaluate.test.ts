import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import type { SourceComparison } from "#router/evaluation/compareSources.ts";
import type { Evaluation } from "#router/evaluation/evaluate.ts";

import { callInferctl } from "../callInferctl.ts";

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

const inferctl = (...args: string[]) => callInferctl(["evaluate", ...args], {});
const GOOD = ["--train", FILE, "--test", FILE, "--tiers", "large,small"];

describe("inferctl evaluate", () => {
  it("prints one JSON object", async () => {
    const { code, printed, notes } = await inferctl(...GOOD, "--json", "--seed", "3");
    const { seed, rows, tiers, baseline, policies } = JSON.parse(printed) as Evaluation;
    expect([code, seed, rows, tiers, baseline]).toEqual([0, 3, { train: 60, test: 60 }, ["small", "large"], "large"]);
    expect(policies.find(({ policy }) => policy === "cascade-point-estimate")).toMatchObject({ dataset: "all", n: 60, quality: 1, target_held: true, tier_share: { small: expect.closeTo(2 / 3) as number } });
    expect(notes.split("\n")).toContain("playing oracle");
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

  describe("with several sources of confidence", () => {
    const sourced = (i: number) => {
      const { tiers, ...rest } = JSON.parse(row(i)) as { tiers: { small: { confidence: number }; large: object } };
      const confidences = { token_logprobs: { value: 0.5 + (i % 7) / 20 }, self_verification: { value: tiers.small.confidence, cost_usd: 0.0002, latency_ms: 5 } };
      return JSON.stringify({ ...rest, tiers: { small: { ...tiers.small, confidences }, medium: { ...outcome(1, 0.9, 0.002), answer: "A" }, large: tiers.large } });
    };
    const SOURCED = join(folder, "sourced.jsonl"), TEXTS = join(folder, "texts.jsonl");
    writeFileSync(SOURCED, Array.from({ length: 60 }, (_, i) => sourced(i)).join("\n"));
    writeFileSync(TEXTS, Array.from({ length: 60 }, (_, i) => JSON.stringify({ id: String(i), outputs: { small: i % 6 === 0 ? { content: null, tool_calls: [{ name: "look", arguments: "{}" }] } : i % 3 === 0 ? "No idea." : "The answer is (A).", medium: "So the answer is A" } })).join("\n"));
    const CHEAP = ["--policy", "cascade", "--folds", "3"];

    it("prints each one's tables and one of all, and a page with links to each one's page", async () => {
      const out = join(folder, "report");
      const { code, printed } = await inferctl("--train", SOURCED, "--tiers", "small,large", ...CHEAP, "--confidence", "token_logprobs", "--confidence", "self_verification", "--out", out);
      expect([code, printed]).toEqual([0, expect.stringMatching(/confidence: token_logprobs[^]*confidence: self_verification[^]*compared, on the same rows[^]*self_verification +cascade .* 0\.2000 +\d+ +/)]);
      expect(printed).toMatch(/self_verification +small +100\.0 +1\.000/);
      expect(readFileSync(join(out, "report.html"), "utf8")).toContain('href="self_verification-report.html"');
      expect(readdirSync(out)).toEqual(expect.arrayContaining(["comparison.json", "report.html", "self_verification-report.html", "token_logprobs-curve-all.svg"]));
    });

    it("reads texts as workers do: agreement of what the pattern finds, and soundness; calls alone are an empty one", async () => {
      const { printed } = await inferctl("--train", SOURCED, "--tiers", "small,medium,large", ...CHEAP, "--json", "--outputs", TEXTS, "--answer-pattern", "answer is \\(?([A-J])", "--confidence", "tier_agreement", "--confidence", "soundness");
      const { sources } = JSON.parse(printed) as SourceComparison;
      expect(sources.map(({ source, on_tiers }) => [source, on_tiers.map(({ tier, share, auc }) => [tier, share, auc])])).toEqual([
        ["tier_agreement", [["small", 0, null], ["medium", 1, null]]], ["soundness", [["small", 1, 1], ["medium", 1, null]]],
      ]);
    });

    it.each([
      ["a source that no row has, and says which there are", [...CHEAP, "--confidence", "recorded", "--confidence", "answer_margin"], /no row has a confidence answer_margin.*there is recorded, token_logprobs, self_verification/],
      ["a source that nobody knows", [...CHEAP, "--confidence", "magic"], /--confidence is one of recorded, .*not magic/],
      ["several for resamples", ["--resamples", "2", "--confidence", "recorded", "--confidence", "token_logprobs"], /--resamples takes one --confidence/],
      ["a pattern without texts", [...CHEAP, "--answer-pattern", "x"], /--answer-pattern goes with --outputs/],
      ["a pattern that is none", [...CHEAP, "--outputs", TEXTS, "--answer-pattern", "("], /is no regular expression/],
      ["texts of other rows", [...CHEAP, "--outputs", LONG], /long\.jsonl:1: outputs: /],
    ])("refuses %s", async (_name, args, message) => {
      const { code, errors } = await inferctl("--train", SOURCED, "--tiers", "small,large", ...args);
      expect([code, errors]).toEqual([64, expect.stringMatching(message)]);
    });
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
