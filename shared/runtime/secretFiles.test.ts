import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, expect, it } from "vitest";

import { ENVIRONMENT } from "./environment.ts";
import { SECRET_FILES, withSecretFiles } from "./secretFiles.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-secret-files-"));
afterAll(() => { rmSync(folder, { recursive: true, force: true }); });
const written = (name: string, text: string, mode = 0o600) => {
  writeFileSync(join(folder, name), text);
  chmodSync(join(folder, name), mode);
  return name;
};

it("reads what a file holds, and leaves nothing of its name", () => {
  expect(withSecretFiles({ INFER_SECRET_FILE: written("secret", " s3cret\n"), PATH: "/bin" }, folder)).toEqual({ environment: { INFER_SECRET: "s3cret", PATH: "/bin" }, problems: [] });
});

it.each([
  ["others can read it", () => ({ INFER_SECRET_FILE: written("open", "s3cret", 0o644) }), /others can read or change it, and INFER_SECRET_FILE names it: chmod 600/],
  ["it is empty", () => ({ DATABASE_URL_FILE: written("empty", " ") }), /is empty, and DATABASE_URL_FILE names it/],
  ["it is not there", () => ({ REDIS_URL_FILE: "gone" }), /cannot be read \(ENOENT\), and REDIS_URL_FILE names it/],
  ["both are set", () => ({ INFER_SECRET: "s3cret", INFER_SECRET_FILE: written("both", "s3cret") }), /^INFER_SECRET, INFER_SECRET_FILE: both are set; take one$/],
])("says what is wrong when %s, and quotes no secret", (_what, environment, problem) => {
  const { problems } = withSecretFiles(environment(), folder);
  expect(problems).toEqual([expect.stringMatching(problem)]);
  expect(problems.join()).not.toContain("s3cret");
});

it("knows only variables that there are", () => {
  expect(Object.entries(SECRET_FILES).flat().filter((name) => !(name in ENVIRONMENT))).toEqual([]);
});
