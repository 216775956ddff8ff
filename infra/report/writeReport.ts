import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { SetupError } from "#infra/embedded/setupError.ts";

import { PAGE_NAME, type ReportFile } from "./evaluationReport.ts";

/** Creates the folder and replaces files of the same names. Resolves to the path of the page. Throws `SetupError`. */
export async function writeReport(folder: string, files: readonly ReportFile[]): Promise<string> {
  try {
    await mkdir(folder, { recursive: true });
    for (const { name, content } of files) await writeFile(join(folder, name), content);
  } catch (error) {
    throw new SetupError(`the report cannot be written to ${folder}: ${error instanceof Error ? error.message : String(error)}`, "Name a folder that you may write to, or one that can be created: inferctl evaluate … --out <folder>", { cause: error });
  }
  return join(folder, PAGE_NAME);
}
