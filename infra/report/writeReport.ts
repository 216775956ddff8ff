import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { SetupError } from "#infra/embedded/setupError.ts";

import type { ReportFile } from "./evaluationReport.ts";

/** To be called before an evaluation, which takes minutes, as well: a wrong folder is told at once. Throws `SetupError`. */
export const createReportFolder = (folder: string): Promise<unknown> => mkdir(folder, { recursive: true }).catch((error: unknown) => Promise.reject(notWritable(folder, error)));

/** Replaces files of the same names. Resolves to the path of the one to look at. Throws `SetupError`. */
export async function writeReport(folder: string, files: readonly ReportFile[], toLookAt: string): Promise<string> {
  await createReportFolder(folder);
  try {
    for (const { name, content } of files) await writeFile(join(folder, name), content);
  } catch (error) {
    throw notWritable(folder, error);
  }
  return join(folder, toLookAt);
}

const notWritable = (folder: string, cause: unknown) =>
  new SetupError(`the report cannot be written to ${folder}: ${cause instanceof Error ? cause.message : String(cause)}`, "Name a folder that you may write to, or that can be created: inferctl evaluate … --out <folder>", { cause });
