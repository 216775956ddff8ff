import { spawnSync } from "node:child_process";

import { afterEach, describe, expect, it } from "vitest";

import { armFailpoint, failpoint, FailpointConfig } from "./failpoint.ts";
import { type FailpointName, parseFailpoint } from "./failpointText.ts";

afterEach(() => { armFailpoint(undefined); });

describe("the text of a failpoint", () => {
  it.each([
    ["after_job_publish", { name: "after_job_publish", pass: 1, blockMs: null }],
    ["in_batch:17", { name: "in_batch", pass: 17, blockMs: null }],
    ["before_call:2,block_loop:20000", { name: "before_call", pass: 2, blockMs: 20_000 }],
    ["nowhere", null], ["in_batch:0", null], ["in_batch:", null], ["in_batch,block_loop", null], ["in_batch,sleep:1", null], ["", null],
  ])("%s", (text, found) => { expect(parseFailpoint(text)).toEqual(found); });
});

it("is refused where keys are asked for, and taken elsewhere", () => {
  expect(FailpointConfig.safeParse({ INFER_FAILPOINT: "in_batch", INFER_AUTH: "keys" }).error?.issues.map(({ path }) => path.join())).toEqual(["INFER_FAILPOINT"]);
  for (const given of [{ INFER_FAILPOINT: "in_batch" }, { INFER_AUTH: "keys" }, {}]) expect(FailpointConfig.safeParse(given).success).toBe(true);
  expect(FailpointConfig.safeParse({ INFER_FAILPOINT: "nowhere" }).success).toBe(false);
});

it("blocks the event loop at its pass, once", () => {
  armFailpoint("in_batch:2,block_loop:40");
  const times = ["in_batch", "before_commit", "in_batch", "in_batch"].map((name) => {
    const from = performance.now();
    failpoint(name as FailpointName);
    return performance.now() - from >= 40;
  });
  expect(times).toEqual([false, false, true, false]);
});

it("kills its process at its pass", () => {
  const program = `import { armFailpoint, failpoint } from "${import.meta.dirname}/failpoint.ts"; armFailpoint("in_batch:2"); failpoint("in_batch"); process.stdout.write("first "); failpoint("in_batch"); process.stdout.write("second");`;
  const { signal, stdout } = spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], { encoding: "utf8" });
  expect([signal, stdout]).toEqual(["SIGKILL", "first "]);
});
