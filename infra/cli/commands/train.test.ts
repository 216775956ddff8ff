import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import { RoutingModelFile } from "#shared/contracts/routingModel.ts";

import { dispatch } from "../dispatch.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-train-"));
afterAll(() => { rmSync(folder, { recursive: true }); });
const outcome = (correct: number, confidence: number, cost_usd: number) => ({ correct, confidence, cost_usd, latency_ms: 10 });
const row = (i: number) => JSON.stringify({ id: String(i), dataset: "d", query: "q".repeat(i), tiers: { "m-1.5": outcome(i % 3 === 0 ? 0 : 1, i % 3 === 0 ? 0.4 : 0.9, 0.001), large: outcome(1, 1, 0.01) } });
const FILE = join(folder, "log.jsonl");
writeFileSync(FILE, Array.from({ length: 200 }, (_, i) => row(i)).join("\n"));
const GOOD = ["--train", FILE, "--tiers", "m-1.5,large", "--map", "small=m-1.5"];

async function train(...args: string[]) {
  const printed: string[] = [], errors: string[] = [];
  const unused = () => Promise.reject(new Error("not used"));
  const code = await dispatch(["train", ...args], {
    environment: {}, print: (line) => void printed.push(line), progress: { note: () => undefined, step: (_title, run) => run() },
    prepare: { topology: unused, migrations: unused, localModels: unused },
  }, (line) => void errors.push(line));
  return { code, printed: printed.join("\n"), errors: errors.join("\n") };
}

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

  it.each([
    ["a model whose name is no tier's", ["--train", FILE, "--tiers", "m-1.5,large"], /m-1\.5 is no name of a tier .* --map <tier>=m-1\.5/],
    ["a map of a model that is not asked for", [...GOOD, "--map", "x=y"], /--map x=y: say <tier>=<model>/],
    ["to activate what does not fit the tier file", [...GOOD, "--publish"], /does not fit: it was trained for the tiers small, large/],
    ["a file that cannot be written", [...GOOD, "--out", join(folder, "no", "model.json")], /cannot write .*model\.json/],
    ["no files", ["--tiers", "a,b"], /--train is missing/],
  ])("refuses %s, and says what to do", async (_name, args, message) => {
    const { code, errors, printed } = await train(...args);
    expect(code).not.toBe(0);
    expect([printed, errors]).toEqual(["", expect.stringMatching(message)]);
    expect(errors).toContain("Next: ");
  });
});
