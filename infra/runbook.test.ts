/** Whoever is woken finds what to do: for each alert, and for each fault that the service is built to survive. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, it } from "vitest";
import { parse } from "yaml";

import { ERROR_CODE_NAMES } from "#shared/contracts/errors.ts";
import { DATABASE_ROLES, roleName } from "#shared/db/permissions.ts";
import { REDIS_SERVICES, redisUser } from "#shared/redis/permissions.ts";

const ROOT = join(import.meta.dirname, "..");
const read = (file: string) => readFileSync(join(ROOT, file), "utf8");
/** Of Postgres and Redis, which are named alike. */
const USERS = new Set([...DATABASE_ROLES.map(roleName), ...REDIS_SERVICES.map(redisUser)]);
const FAULTS = Array.from({ length: 34 }, (_, i) => `F${i + 1}`);
const runbook = read("docs/runbook.md"), operations = read("docs/operations.md");
const sections = runbook.split(/^### /m).slice(1).map((section) => ({ fault: /^F\d+/.exec(section)?.[0] ?? "", section }));

it("has one entry for each fault, with what it looks like, what to do and what is safe", () => {
  expect(sections.map(({ fault }) => fault).sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)))).toEqual(FAULTS);
  const incomplete = sections.filter(({ section }) => !["Looks like", "Do", "Safe"].every((part) => new RegExp(`^\\*\\*${part}:\\*\\* \\S`, "m").test(section)));
  expect(incomplete).toEqual([]);
});

it("has an entry for each alert", () => {
  const { groups } = parse(read("infra/prometheus/alerts.yml")) as { groups: { rules: { alert: string; annotations: { runbook: string } }[] }[] };
  const alerts = groups.flatMap(({ rules }) => rules);
  expect(alerts.length).toBeGreaterThan(0);
  expect(alerts.filter(({ alert }) => !operations.includes(`**\`${alert}\`**`)).map(({ alert }) => alert)).toEqual([]);
  expect(alerts.filter(({ alert, annotations }) => annotations.runbook !== `docs/operations.md, "${alert}"`).map(({ alert }) => alert)).toEqual([]);
});

it("names metrics, alerts and error codes that there are", () => {
  const source = execFileSync("git", ["ls-files", "producers", "router", "workers", "sinks", "shared"], { cwd: ROOT, encoding: "utf8" }).split("\n").filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts")).map(read).join("\n");
  const metrics = [...new Set(`${runbook}${operations}${read("infra/prometheus/alerts.yml")}`.match(/\binfer_[a-z_]+/g) ?? [])].filter((name) => !USERS.has(name));
  expect(metrics.filter((name) => !source.includes(`"${name}"`) && !source.includes(`${name}:`))).toEqual([]);
  const alerts = read("infra/prometheus/alerts.yml");
  expect([...new Set(runbook.match(/`[A-Z][a-z]+[A-Z]\w+`/g) ?? [])].filter((name) => !alerts.includes(`alert: ${name.slice(1, -1)}`) && name !== "`LimitNOFILE`")).toEqual([]);
  const codes = [...runbook.matchAll(/(?:503|422) `([a-z_]+)`/g)].map(([, code]) => code);
  expect(codes.length).toBeGreaterThan(0);
  expect(codes.filter((code) => !(ERROR_CODE_NAMES as readonly (string | undefined)[]).includes(code))).toEqual([]);
});
