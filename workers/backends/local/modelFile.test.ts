import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, it } from "vitest";

import { FORMAT_VERSION, modelPath, readModel, writeModel, type ModelHeader } from "./modelFile.ts";

const HEADER: ModelHeader = {
  format_version: FORMAT_VERSION, model: "m", recipe_fingerprint: "r", mails_fingerprint: "d",
  trained_on_mails: 2, calibrated_on_mails: 1, bias: -0.1, calibration: { slope: 2, offset: 0.5 },
};
const WEIGHTS = Float32Array.of(0.25, -1.5, 0, 3e-9);
let dir: string;
beforeEach(async () => { dir = join(await mkdtemp(join(tmpdir(), "model-file-")), "made"); });
afterEach(() => rm(join(dir, ".."), { recursive: true, force: true }));

it("reads back what was written, to the bit", async () => {
  await writeModel(dir, HEADER, WEIGHTS);
  expect(await readModel(dir, "m", 4)).toEqual({ header: HEADER, linear: { weights: WEIGHTS, bias: -0.1 }, calibration: HEADER.calibration });
});

it("lets many write at once and leaves one whole file", async () => {
  await Promise.all(Array.from({ length: 8 }, () => writeModel(dir, HEADER, WEIGHTS)));
  expect(await readdir(dir)).toEqual(["m.json"]);
  await readModel(dir, "m", 4);
});

it.each([
  ["is not JSON", (_text: string) => "{"],
  ["is of another format", (text: string) => text.replace('"format_version":1', '"format_version":2')],
  ["lacks a field", (text: string) => text.replace('"bias":-0.1,', "")],
  ["has a number that is none", (text: string) => text.replace('"slope":2', '"slope":null')],
  ["has too few weights", (text: string) => text.replace(/"weights_base64":"[^"]*"/, '"weights_base64":"AAAAAA=="')],
  ["has weights that are not numbers", (text: string) => text.replace(/"weights_base64":"[^"]*"/, `"weights_base64":"${Buffer.from(Float32Array.of(1, 2, Number.NaN, 4).buffer).toString("base64")}"`)],
])("says what to run when a file %s", async (_name, damage) => {
  await writeModel(dir, HEADER, WEIGHTS);
  const text = await readFile(modelPath(dir, "m"), "utf8");
  await writeFile(modelPath(dir, "m"), damage(text));
  await expect(readModel(dir, "m", 4)).rejects.toThrow("run: npx inferctl local-models");
});

it("says what to run when there is no file", async () => {
  await expect(readModel(dir, "m", 4)).rejects.toThrow("there is no local model at");
});
