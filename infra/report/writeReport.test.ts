import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { SetupError } from "#infra/embedded/setupError.ts";

import { createReportFolder, writeReport } from "./writeReport.ts";

let root = "";
beforeAll(async () => { root = await mkdtemp(join(tmpdir(), "infer-report-")); });
afterAll(() => rm(root, { recursive: true, force: true }));

test("creates the folder, and replaces what was there before", async () => {
  const folder = join(root, "a", "b");
  await writeReport(folder, [{ name: "report.html", content: "old" }], "report.html");
  expect(await writeReport(folder, [{ name: "report.html", content: "new" }], "report.html")).toBe(join(folder, "report.html"));
  expect(await readFile(join(folder, "report.html"), "utf8")).toBe("new");
  expect(await readdir(folder)).toEqual(["report.html"]);
});

test("a folder that cannot be made, or written to, is an error that says what to do", async () => {
  const file = join(root, "file");
  await writeFile(file, "");
  await expect(createReportFolder(file)).rejects.toThrow(SetupError);
  await expect(createReportFolder(join(file, "below"))).rejects.toMatchObject({ message: expect.stringContaining(file) as string, nextStep: expect.stringContaining("--out <folder>") as string });
  await createReportFolder(join(root, "taken", "report.html"));
  await expect(writeReport(join(root, "taken"), [{ name: "report.html", content: "" }], "report.html")).rejects.toThrow(SetupError);
});
