/**
 * One model on disk: JSON, with its weights as base64 of little-endian 32-bit floats. It says what it was made from, so
 * that a file of another recipe or other data is noticed and not used.
 */
import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { z } from "zod";

import type { Calibration } from "./calibration.ts";
import type { LinearModel } from "./logisticRegression.ts";

export const FORMAT_VERSION = 1;

const Header = z.strictObject({
  format_version: z.literal(FORMAT_VERSION),
  model: z.string().min(1),
  recipe_fingerprint: z.string().min(1),
  mails_fingerprint: z.string().min(1),
  trained_on_mails: z.int().positive(),
  calibrated_on_mails: z.int().positive(),
  bias: z.number(),
  calibration: z.strictObject({ slope: z.number(), offset: z.number() }),
});
const ModelFile = z.strictObject({ ...Header.shape, weights_base64: z.base64() });

export type ModelHeader = z.infer<typeof Header>;
export interface StoredModel {
  readonly header: ModelHeader;
  readonly linear: LinearModel;
  readonly calibration: Calibration;
}

const HOW_TO = "run: npx inferctl local-models";

export const modelPath = (dir: string, model: string): string => join(dir, `${model}.json`);

/** A reader sees the old file or the new one, never half of one. Two writers at once write the same bytes. */
export async function writeModel(dir: string, header: ModelHeader, weights: Float32Array): Promise<void> {
  await mkdir(dir, { recursive: true });
  const weights_base64 = Buffer.from(weights.buffer, weights.byteOffset, weights.byteLength).toString("base64");
  const path = modelPath(dir, header.model);
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, `${JSON.stringify({ ...header, weights_base64 })}\n`);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Throws an error that says what to run when the file is missing, damaged, or has another number of weights. */
export async function readModel(dir: string, model: string, tableSize: number): Promise<StoredModel> {
  const path = modelPath(dir, model);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (err) {
    throw new Error(`there is no local model at ${path}; ${HOW_TO}`, { cause: err });
  }
  const parsed = ModelFile.safeParse(parseJson(text));
  if (!parsed.success) throw new Error(`${path} is not a model of this version; ${HOW_TO}\n${z.prettifyError(parsed.error)}`);
  const { weights_base64, ...header } = parsed.data;
  const bytes = Uint8Array.from(Buffer.from(weights_base64, "base64"));
  if (bytes.byteLength !== tableSize * 4) throw new Error(`${path} has ${bytes.byteLength / 4} weights, not ${tableSize}; ${HOW_TO}`);
  const weights = new Float32Array(bytes.buffer);
  if (!weights.every(Number.isFinite)) throw new Error(`${path} has weights that are not numbers; ${HOW_TO}`);
  return { header, linear: { weights, bias: header.bias }, calibration: header.calibration };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
