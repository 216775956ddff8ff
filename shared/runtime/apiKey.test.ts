import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, expect, it } from "vitest";

import { BackendConfig } from "#shared/contracts/tiers.ts";

import { readApiKey } from "./apiKey.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-api-key-"));
afterAll(() => { rmSync(folder, { recursive: true, force: true }); });
writeFileSync(join(folder, "key"), " from-file\n", { mode: 0o600 });
writeFileSync(join(folder, "empty"), "\n", { mode: 0o600 });
writeFileSync(join(folder, "open"), "from-file\n", { mode: 0o644 });

const tier = (api_key: unknown) => ({ name: "large", backend: BackendConfig.parse({ kind: "openai-compatible", model: "m", base_url: "http://127.0.0.1:1", max_output_tokens: 1, ...(api_key === undefined ? {} : { api_key }) }) });

it.each([
  [undefined, null],
  [{ env: "MY_KEY" }, "from-variable"],
  [{ file: "key" }, "from-file"],
])("reads %j", (reference, key) => {
  expect(readApiKey(tier(reference), { MY_KEY: "from-variable\n" }, folder)).toEqual({ key });
});

it.each(["anthropic", "gemini"])("reads that of %s", (kind) => {
  const backend = BackendConfig.parse({ kind, model: "m", max_output_tokens: 1, api_key: { env: "MY_KEY" } });
  expect(readApiKey({ name: "large", backend }, { MY_KEY: "k" }, folder)).toEqual({ key: "k" });
});

it("needs none for a local model", () => {
  expect(readApiKey({ name: "small", backend: { kind: "local", model: "m" } }, {}, folder)).toEqual({ key: null });
});

it.each([
  [{ env: "MY_KEY" }, {}, /^MY_KEY: not set, and tier large .*: export MY_KEY=/],
  [{ env: "MY_KEY" }, { MY_KEY: " " }, /^MY_KEY: not set/],
  [{ file: "gone" }, {}, /gone: cannot be read \(ENOENT\), and tier large /],
  [{ file: "empty" }, {}, /empty: empty, and tier large /],
  [{ file: "open" }, {}, /open: others can read or change it, and tier large .*: chmod 600 /],
])("says what is missing for %j", (reference, environment, problem) => {
  expect(readApiKey(tier(reference), environment, folder)).toEqual({ problem: expect.stringMatching(problem) as string });
});
