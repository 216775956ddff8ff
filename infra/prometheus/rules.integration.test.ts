/** promtool tests the rules of this folder: that each is valid, and that each alert fires and does not where it should. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";

import { runProgram } from "#infra/embedded/runProgram.ts";

import { findPrometheus } from "./findPrometheus.ts";

const FOLDER = import.meta.dirname;
const programs = await findPrometheus();
const promtool = (...args: string[]) => runProgram(programs?.promtool ?? "", args, { cwd: FOLDER, timeoutMs: 120_000 });

const Rules = z.object({ groups: z.array(z.object({ rules: z.array(z.object({ alert: z.string().optional(), record: z.string().optional() })) })) });
const rules = (file: string) => Rules.parse(parse(readFileSync(join(FOLDER, file), "utf8"))).groups.flatMap((group) => group.rules);
const AlertTests = z.object({ tests: z.array(z.object({ alert_rule_test: z.array(z.object({ alertname: z.string(), exp_alerts: z.array(z.unknown()) })) })) });

it("each alert has a test in which it fires, and one in which it does not", () => {
  const expected = AlertTests.parse(parse(readFileSync(join(FOLDER, "alerts.test.yml"), "utf8"))).tests.flatMap((test) => test.alert_rule_test);
  const tested = (isFiring: boolean) => [...new Set(expected.filter(({ exp_alerts }) => exp_alerts.length > 0 === isFiring).map(({ alertname }) => alertname))].sort();
  const alerts = rules("alerts.yml").map(({ alert }) => alert).sort();
  expect(tested(true)).toEqual(alerts);
  expect(tested(false)).toEqual(alerts);
});

describe.skipIf(programs === null)("promtool", () => {
  it("finds nothing wrong with the configuration and its rule files", async () => {
    expect(await promtool("check", "config", "prometheus.yml")).toContain(`${rules("alerts.yml").length} rules found`);
  });

  it("sees alerts and recording rules do what their tests say", async () => {
    const files = readdirSync(FOLDER).filter((file) => file.endsWith(".test.yml"));
    expect(files).toEqual(["alerts.test.yml", "recording.test.yml"]);
    await promtool("test", "rules", ...files);
  }, 60_000); // it computes for 9 s
});
