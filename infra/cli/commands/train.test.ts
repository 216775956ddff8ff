import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import fixture from "#shared/contracts/fixtures/routing_model.v1.json" with { type: "json" };
import { RoutingModelFile } from "#shared/contracts/routingModel.ts";

import { callInferctl } from "../callInferctl.ts";
import { describeModel } from "./train.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-train-"));
afterAll(() => { rmSync(folder, { recursive: true }); });
const outcome = (correct: number, confidence: number, cost_usd: number) => ({ correct, confidence, cost_usd, latency_ms: 10 });
const row = (i: number) => JSON.stringify({ id: String(i), dataset: "d", query: "q".repeat(i), tiers: { "m-1.5": outcome(i % 3 === 0 ? 0 : 1, i % 3 === 0 ? 0.4 : 0.9, 0.001), large: outcome(1, 1, 0.01) } });
const FILE = join(folder, "log.jsonl");
writeFileSync(FILE, Array.from({ length: 200 }, (_, i) => row(i)).join("\n"));
const GOOD = ["--train", FILE, "--tiers", "m-1.5,large", "--map", "small=m-1.5"];

const train = (...args: string[]) => callInferctl(["train", ...args], {});

describe("inferctl train", () => {
  it("writes a model that can be read again, under the tier file's names, and says what held-out rows showed", async () => {
    const out = join(folder, "model.json");
    const { code, printed } = await train(...GOOD, "--out", out);
    const model = RoutingModelFile.parse(JSON.parse(readFileSync(out, "utf8")));
    expect([code, model.tiers, model.data.rows]).toEqual([0, ["small", "large"], 200]);
    expect(model.metrics.cascade?.quality_ratio).toBe(1);
    expect(printed).toContain(`model ${model.version}`);
    expect((JSON.parse((await train(...GOOD, "--json")).printed) as RoutingModelFile).version).toBe(model.version); // the same content
  });

  it("says when the model is kept nowhere", async () => {
    const kept = [await train(...GOOD), await train(...GOOD, "--json"), await train(...GOOD, "--out", join(folder, "kept.json"))].map(({ notes }) => !notes.includes("this model is kept nowhere"));
    expect(kept).toEqual([false, true, true]);
  });

  it.each([
    ["a model whose name is no tier's", ["--train", FILE, "--tiers", "m-1.5,large"], /m-1\.5 is no name of a tier .* --map <tier>=m-1\.5/],
    ["a map of a model that is not asked for", [...GOOD, "--map", "x=y"], /--map x=y: say <tier>=<model>/],
    ["two models for one tier", [...GOOD, "--map", "small=large"], /--map: m-1\.5 and large cannot both be the tier small/],
    ["a tier that is another model's name", ["--train", FILE, "--tiers", "m-1.5,large", "--map", "large=m-1.5"], /--map: m-1\.5 and large cannot both be the tier large/],
    ["two tiers for one model", [...GOOD, "--map", "medium=m-1.5"], /--map calls m-1\.5 both small and medium/],
    ["one model twice", ["--train", FILE, "--tiers", "large,large"], /--tiers needs at least two different models/],
    ["a target beyond all", [...GOOD, "--target", "2"], /--target must be a number above 0 and at most 1/],
    ["a baseline that is none", [...GOOD, "--baseline", "huge"], /--baseline huge is not among the tiers/],
    ["a file that cannot be written", [...GOOD, "--out", join(folder, "no", "model.json")], /cannot write .*model\.json/],
    ["a folder to write to", [...GOOD, "--out", folder], /cannot write .*: it is a folder/],
    ["no files", ["--tiers", "a,b"], /--train <file> with --tiers <a,b>, or --from-audit/],
    ["nothing at all", [], /--train <file> with --tiers <a,b>, or --from-audit/],
  ])("refuses %s before it fits, and says what to do", async (_name, args, message) => {
    const { code, errors, printed, notes } = await train(...args);
    expect([code, printed, notes, errors]).toEqual([64, "", "", expect.stringMatching(message)]);
    expect(errors).toMatch(/Next: (Correct it; options: npx inferctl train --help|Give --out)/);
  });

  it("refuses to publish what does not fit the tier file before it fits", async () => {
    const { code, errors, printed, notes } = await train(...GOOD, "--publish");
    expect([code, printed, notes, errors]).toEqual([1, "", "", expect.stringMatching(/the model does not fit: it was trained for the tiers small, large[^]*Next: Train one/)]);
  });
});

describe("what a model is, for people", () => {
  const MODEL = RoutingModelFile.parse(fixture);
  const { cascade_routing: routing, cascade, predictive } = MODEL.metrics;
  const saving = (share: number) => (cascade === null ? null : { ...cascade, saving: share });

  it.each([
    ["saves more", { cascade_routing: routing, predictive, cascade: saving(0.903) }, /\ncascade saves more than cascade-routing on these rows \(90\.3 against 59\.7 %\): to use it, set default_policy: cascade in the tier file, or policy in a request\.\n.* fails a little more often/],
    ["alone has a floor", { cascade_routing: null, predictive, cascade: null }, /\npredictive saves more .* \(9\.2 %; cascade-routing's floor was not shown to hold\): to use it, set default_policy: predictive/],
  ])("says when another policy %s", (_name, metrics, said) => { expect(describeModel({ ...MODEL, metrics })).toMatch(said); });

  it.each([
    ["saves less", MODEL.metrics], ["has no floor either", { cascade_routing: null, predictive: null, cascade: null }],
  ])("says nothing of a policy that %s", (_name, metrics) => { expect(describeModel({ ...MODEL, metrics })).not.toContain("saves more"); });
});
