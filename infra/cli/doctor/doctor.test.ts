import { setTimeout as sleep } from "node:timers/promises";

import { expect, test } from "vitest";

import { SetupError } from "#infra/embedded/setupError.ts";

import { paintFor, widthOf } from "../paint.ts";
import { Unreached } from "../place.ts";
import { judgeBooks } from "./checks/books.ts";
import { judgeClocks } from "./checks/clocks.ts";
import { judgeConfiguration } from "./checks/configuration.ts";
import { judgeDeadLetters } from "./checks/deadLetters.ts";
import { judgeDisk, judgeNode } from "./checks/machine.ts";
import { judgeModels } from "./checks/models.ts";
import { judgeConsumers, judgeNats, judgeStreams } from "./checks/nats.ts";
import { judgeGrants, judgeLogins } from "./checks/permissions.ts";
import { judgePostgres } from "./checks/postgres.ts";
import { judgePrices } from "./checks/prices.ts";
import { judgeRedis, readInfo } from "./checks/redis.ts";
import { judgePorts, judgeRoles } from "./checks/roles.ts";
import { doctorText } from "./doctorText.ts";
import { type Finding, ok, problem, runChecks, warning } from "./finding.ts";

/** Levels, and words of what is not ok. */
const short = (found: readonly Finding[] | Finding) => [found].flat().map(({ level, what }) => (level === "ok" ? "ok" : `${level}: ${what}`));
const GIB = 1024 ** 3;

test.each([["20.19.0", "ok"], ["22.0.0", "ok"], ["20.18.9", "problem"], ["18.20.0", "problem"]])("Node.js %s: %s", (version, level) => {
  expect(judgeNode(version, ">=20.19").level).toBe(level);
});

test.each([[100, 200, "ok"], [1.9, 200, "warning"], [9, 200, "warning"], [0.4, 2, "problem"]])("%f of %f GiB are free: %s", (free, all, level) => {
  expect(judgeDisk({ folder: "/x", freeBytes: free * GIB, bytes: all * GIB }).level).toBe(level);
});

test("a configuration that cannot be used is a problem, with what its reader says", () => {
  expect(judgeConfiguration(() => { throw new SetupError("X: no such variable", "Correct it"); })).toEqual([problem("X: no such variable", "Correct it")]);
});

test("roles: ready, warned, not ready, gone, and another program at the port", () => {
  const one = { role: "router", url: "http://127.0.0.1:1", isRunning: true, ownsPort: true, readiness: "ready", warnings: [] };
  expect(short(judgeRoles([one, { ...one, warnings: ["a hole"] }, { ...one, readiness: "JetStream" }, { ...one, isRunning: false, readiness: "not running" }, { ...one, ownsPort: false, readiness: "x" }])))
    .toEqual(["ok", "warning: router warns: a hole", "problem: router is not ready: JetStream", "problem: router does not run", "problem: router does not listen at http://127.0.0.1:1: another program does"]);
  expect(short(judgePorts([{ variable: "INFER_ROUTER_PORT", port: 1, isChosen: true }, { variable: "INFER_GATEWAY_PORT", port: 2, isChosen: false }]))).toEqual([
    "warning: nothing was started here", "problem: port 1 is taken by another program, and INFER_ROUTER_PORT asks for it", "warning: port 2 is taken by another program",
  ]);
});

test.each([
  ["2.12.6", "10.0.0.1", false, 2 ** 20, ["ok"]], ["2.10.27", "127.0.0.1", true, 2 ** 20, ["ok"]],
  ["2.10.27", "10.0.0.1", false, 2 ** 20, ["ok", expect.stringMatching(/^warning: .*CVE-2026-33222/)]], ["2.10.27", "10.0.0.1", true, 2 ** 20, ["ok", expect.stringMatching(/^problem: .*INFER_ALLOW_NATS_HOLE/)]],
  ["2.9.0", "127.0.0.1", false, 2 ** 20, [expect.stringMatching(/^problem: .*too old/)]], ["2.12.6", "127.0.0.1", false, 1000, ["ok", "problem: max_payload is 1000 bytes, and messages may have 1048576"]],
])("nats-server %s at %s, refusing holes: %s, max_payload %i", (version, host, refusesHole, mostBytes, expected) => {
  expect(short(judgeNats({ url: `nats://${host}:4222`, version, mostBytes, refusesHole }))).toEqual(expected);
});

test("streams: as they should be, missing, different, filling and full", () => {
  const stream = (name: string, bytes: number, differs: string[] = []) => ({ name, found: { differs, bytes, mostBytes: 100 } });
  expect(judgeStreams([stream("JOBS", 10), stream("REQUESTS", 69)])).toEqual([ok("2 streams and buckets are as they should be; REQUESTS is 69 % full")]);
  expect(short(judgeStreams([stream("JOBS", 70), stream("REQUESTS", 90), { name: "RESULTS", found: null }, stream("SHADOWS", 0, ["max_age: wanted 1, is 2"])]))).toEqual([
    "problem: streams or buckets are missing: RESULTS", "problem: stream SHADOWS has other settings: max_age: wanted 1, is 2", "warning: stream JOBS is 70 % full", "problem: stream REQUESTS is 90 % full",
  ]);
});

test("consumers: with work under way, missing, different, behind, and about to lose", () => {
  const consumer = (durable: string, behind: number, ageS: number, differs: string[] = []) => ({ stream: "COMPLETIONS", durable, found: { behind, ageS, differs }, mostAgeS: 7_200 });
  expect(judgeConsumers([consumer("a", 3, 599), consumer("b", 0, 0)])).toEqual([ok("2 consumers, 3 messages under way")]);
  expect(short(judgeConsumers([consumer("a", 3, 601), consumer("b", 4, 3_601), consumer("d", 0, 0, ["ack_wait: wanted 2, is 1", "max_deliver: wanted 4, is 5"]), { stream: "JOBS", durable: "c", found: null, mostAgeS: 1 }]))).toEqual([
    "problem: consumers are missing: c on JOBS", "problem: consumer d on COMPLETIONS has other settings: ack_wait: wanted 2, is 1; max_deliver: wanted 4, is 5", "warning: a is 3 messages and 601 s behind on COMPLETIONS", "problem: b is 4 messages and 3601 s behind on COMPLETIONS, which forgets them soon",
  ]);
});

const INFO = "# Server\r\nredis_version:7.2.0\r\nmaxmemory:1000\r\nused_memory:100\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\naof_last_write_status:ok\r\nloading:0\r\n";
test.each([
  ["as it should be", INFO, ["ok"]], ["too old", INFO.replace("7.2.0", "6.2.1"), [expect.stringContaining("problem: Redis 6.2.1")]], ["evicting", INFO.replace("noeviction", "allkeys-lru"), ["ok", expect.stringContaining("problem: maxmemory-policy is allkeys-lru")]],
  ["without a limit", INFO.replace("maxmemory:1000", "maxmemory:0"), ["ok", expect.stringContaining("warning: it has no limit of memory")]], ["nearly full", INFO.replace("used_memory:100", "used_memory:950"), ["ok", expect.stringContaining("problem: 95 %")]],
  ["without a log", INFO.replace("aof_enabled:1", "aof_enabled:0"), ["ok", expect.stringContaining("warning: it keeps no append-only file")]], ["failing to write it", INFO.replace("status:ok", "status:err"), ["ok", "problem: it cannot write its append-only file"]],
])("a Redis that is %s", (_name, info, expected) => {
  expect(short(judgeRedis(readInfo(info), "redis://x"))).toEqual(expected);
});

test.each([
  ["as it should be", {}, ["ok", "ok"]], ["too old", { version: "14.2" }, [expect.stringContaining("problem: Postgres 14.2"), "ok"]], ["not migrated", { pendingMigrations: 2, missingTables: ["ledger"] }, ["ok", "problem: 2 migrations are not applied"]],
  ["newer", { unknownMigrations: 1 }, ["ok", expect.stringContaining("warning: its tables are of a later version"), "ok"]], ["without a table", { missingTables: ["ledger"] }, ["ok", "problem: tables are missing: ledger"]],
  ["open", { missingRoles: ["infer_tenant"], unbound: ["requests"], unguarded: ["ledger"] }, ["ok", "problem: roles are missing: infer_tenant", "problem: row-level security does not keep tenants apart on requests", "problem: nothing keeps from changing what is append-only: ledger"]],
])("a Postgres that is %s", (_name, change, expected) => {
  expect(short(judgePostgres({ url: "postgresql://x", version: "16.1", pendingMigrations: 0, unknownMigrations: 0, missingRoles: [], missingTables: [], unbound: [], unguarded: [], ...change }))).toEqual(expected);
});

test("permissions: what is not granted, and which login is refused", () => {
  expect(short([...judgeGrants([]), ...judgeGrants(["infer_gateway: SELECT on tenants"])])).toEqual(["ok", "problem: Postgres does not grant what is needed: infer_gateway: SELECT on tenants"]);
  expect(judgeLogins([], false)[0]?.what).toContain("keyless");
  expect(short(judgeLogins([{ server: "NATS", login: "router", refusal: null }, { server: "Redis", login: "gateway", refusal: "NOPERM" }], true))).toEqual(["ok", "problem: Redis refuses gateway: NOPERM"]);
});

test("prices and models", () => {
  const price = { path: "p", owner: "tier large", model: "m", from: "book" as const, book_entry: null, figures: null, source: null, valid_from: null, valid_until: null, read_on: null, findings: [] };
  expect(short(judgePrices([price]))).toEqual(["ok"]);
  expect(short(judgePrices([{ ...price, findings: [{ level: "problem", kind: "not_yet_valid", message: "x" }, { level: "warning", kind: "stale", message: "y" }] }]))).toEqual(["problem: tier large: not yet valid: x", "warning: tier large: stale: y"]);
  expect(short(judgeModels([{ tier: "small", backend: "local mail-small", trouble: null }, { tier: "large", backend: "openai-compatible gpt", trouble: { what: "KEY: not set", next: "Set it" } }]))).toEqual(["ok", "problem: large: KEY: not set"]);
});

test.each([[10, "ok"], [-1_999, "ok"], [2_000, "warning"], [-5_000, "warning"], [NaN, "warning"]])("a clock that is %d ms ahead: %s", (aheadMs, level) => {
  expect(judgeClocks([{ server: "NATS", aheadMs }]).map((one) => one.level)).toEqual([level]);
});

test("dead letters by their reasons, and books by their differences and age", () => {
  expect(short(judgeDeadLetters([], 0))).toEqual(["ok"]);
  expect(short(judgeDeadLetters(["late", "poison", "poison"], 2))).toEqual(["warning: 5 that nobody has handled: poison (2), late (1), others (2)"]);
  expect(short(judgeBooks({ open: [], ageS: 1_199, everyS: 300 }))).toEqual(["ok"]);
  expect(short(judgeBooks({ open: [], ageS: 1_201, everyS: 300 }))).toEqual(["warning: not reconciled for 1201 s, and it should be every 300 s", "ok"]);
  expect(short(judgeBooks({ open: [{ kind: "line_differs", count: 2 }, { kind: "id_used_again", count: 1 }], ageS: null, everyS: 0 }))).toEqual(["problem: open differences: line_differs (2)", "warning: open differences: id_used_again (1)"]);
});

test("all checks run, whatever one of them finds, throws or takes", async () => {
  const checks = [
    { title: "fails", run: () => Promise.reject(new Error("broken", { cause: new Error("pipe") })) },
    { title: "hangs", run: async () => { await sleep(60_000, undefined, { ref: false }); return []; } },
    { title: "waits for a server", run: () => Promise.reject(new Unreached("NATS", new Error("refused"))) },
    { title: "is set up wrongly", run: () => Promise.reject(new SetupError("no file", "Make one")) },
    { title: "works", run: () => Promise.resolve([ok("fine")]) },
  ];
  expect((await runChecks(checks, null, { deadlineMs: 20 })).map(({ check, level, what }) => [check, level, what])).toEqual([
    ["fails", "problem", "could not be looked at: broken: pipe"], ["hangs", "problem", "could not be looked at: nothing was answered within 0.02 s"],
    ["waits for a server", "warning", "not looked at, since NATS cannot be reached"], ["is set up wrongly", "problem", "no file"], ["works", "ok", "fine"],
  ]);
});

test("for people: each with its next step, broken to the terminal's width", () => {
  const found = [{ check: "machine", ...ok("Node.js 20") }, { check: "books", ...problem("open differences: line_differs (2)", "inferctl reconcile names each") }, { check: "NATS", ...warning("a\u001b[2J", "b") }];
  const text = doctorText(found, { columns: 50, paint: paintFor({ hasColours: false }) });
  expect(text).toBe(["ok       machine  Node.js 20", "problem  books    open differences: line_differs", "                  (2)", "                  Next: inferctl reconcile names", "                  each", "warning  NATS     a [2J", "                  Next: b", "", "1 problem, 1 warning"].join("\n"));
  expect(Math.max(...doctorText(found, { columns: 50, paint: paintFor({ hasColours: true }) }).split("\n").map(widthOf))).toBeLessThanOrEqual(50);
});
