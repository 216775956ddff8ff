import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, expect, it } from "vitest";

import { projectFolder } from "#infra/embedded/homeFolder.ts";
import { ROLE_CONFIGS } from "#infra/embedded/roleConfigs.ts";
import { issueLines } from "#shared/contracts/describeIssues.ts";
import { TenantSettings } from "#shared/contracts/tenant.ts";
import { streamsOf } from "#shared/messaging/topology.ts";
import { readTierFile } from "#shared/runtime/loadConfig.ts";

import { BAD_ENVIRONMENTS, BAD_TIER_FILES, GOOD_TIER_FILES } from "./configurations.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-bad-configurations-"));
afterAll(() => { rmSync(folder, { recursive: true, force: true }); });
let count = 0;
function written(content: string | Buffer | null): string {
  const path = join(folder, `tiers-${++count}.yaml`);
  if (content !== null) writeFileSync(path, content);
  return path;
}
const read = (path: string) => readTierFile({ tiersFile: path, pricesFile: join(projectFolder(), "infra/config/prices.yaml") });
const problemsOf = (path: string): readonly string[] => {
  const found = read(path);
  return "problems" in found ? found.problems : [];
};

it.each(BAD_TIER_FILES)("$id: a tier file is refused: $input", ({ content, reason }) => {
  const problems = problemsOf(written(content));
  expect(problems).toContainEqual(expect.stringMatching(reason));
  for (const problem of problems) expect([problem.includes("\n"), problem.includes("sk-0123456789")]).toEqual([false, false]); // one line each, and no key
});

it.each(Object.entries(GOOD_TIER_FILES))("C-148: a tier file is taken: %s", (_name, content) => {
  expect(problemsOf(written(content))).toEqual([]);
});

it.each(BAD_ENVIRONMENTS)("$id: an environment is refused: $input", ({ role, variables, reason }) => {
  const { error } = ROLE_CONFIGS[role]?.safeParse(variables) ?? {};
  expect(error === undefined ? [] : issueLines(error)).toContainEqual(expect.stringMatching(reason));
});

it("C-139: the streams together stay below the store of the embedded server, and each is bounded", () => {
  const streams = streamsOf("infer", 86_400_000);
  expect(streams.every(({ max_bytes }) => max_bytes > 0)).toBe(true);
  expect(streams.reduce((sum, { max_bytes }) => sum + max_bytes, 0)).toBeLessThan(16 * 2 ** 30);
});

it.each([[{ rate: 0, per: "minute", burst: 1 }, /rate/], [{ rate: -1, per: "minute", burst: 1 }, /rate/], [{ rate: 1, per: "minute", burst: 0 }, /burst/], [{ rate: 1, per: "fortnight", burst: 1 }, /per/], [{ rate: NaN, per: "minute", burst: 1 }, /rate/]])("C-145: a limit of %j is refused", (requests, place) => {
  const { error } = TenantSettings.safeParse({ limits: { tenant: { requests } } });
  expect(error === undefined ? [] : issueLines(error)).toContainEqual(expect.stringMatching(place));
});
