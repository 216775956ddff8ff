import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Logger } from "pino";
import { describe, expect, it } from "vitest";

import { AppError } from "#shared/contracts/errors.ts";

import { makeLogger } from "./logger.ts";

function logged(write: (log: Logger) => void): Record<string, unknown> {
  const lines: string[] = [];
  write(makeLogger("test", "debug", { write: (line) => { lines.push(line); } }));
  expect(lines).toHaveLength(1);
  return JSON.parse(lines[0] ?? "") as Record<string, unknown>; // one object on one line, whatever was in it
}
const PROMPT = "my mother's maiden name is Canary";
const has = (line: object, canary: string) => JSON.stringify(line).includes(canary);

describe("a line", () => {
  it("has who, when and what, ids and words as they are, and numbers under any name", () => {
    const line = logged((log) => { log.info({ tenant_id: "t1", request_id: "r1", outcome: "completed", tier: "small", latency_ms: 12.5, cost_nano_usd: 0, is_new: true, code: undefined, tiers: ["small", "large"] }, "answered"); });
    expect(line).toEqual({
      level: "info", time: expect.any(String) as string, service: "test", pid: process.pid,
      tenant_id: "t1", request_id: "r1", outcome: "completed", tier: "small", latency_ms: 12.5, cost_nano_usd: 0, is_new: true, tiers: ["small", "large"], msg: "answered",
    });
  });

  it("keeps prices with their steps, and what each place says of a difference", () => {
    const fields = { tier: "small", above: [{ input_tokens: 1_000, input_nano_usd_per_million: 1 }], source: "made up", valid_from: "2026-11-01", says: { ledger: "12", redis: "13" } };
    expect(logged((log) => { log.info(fields, "price"); })).toMatchObject(fields);
  });

  it.each<[string, Record<string, unknown>]>([
    ["a field that nobody spoke of", { prompt: PROMPT }],
    ["a body", { body: { input: PROMPT, metadata: { a: [PROMPT] } } }],
    ["a request", { req: { headers: { Authorization: PROMPT, authorization: PROMPT }, body: PROMPT } }],
    ["messages", { messages: [{ role: "user", content: PROMPT }] }],
    ["a field of a listed one", { verdict: { action: "retry", message: { content: PROMPT } } }],
    ["what is too deep", { verdict: { verdict: { verdict: { verdict: { verdict: PROMPT } } } } }],
    ["bytes", { payload: Buffer.from(PROMPT) }],
  ])("has nothing of %s, and says its name", (_what, fields) => {
    const line = logged((log) => { log.info({ tenant_id: "t1", ...fields }, "x"); });
    expect(line).toMatchObject({ tenant_id: "t1" });
    expect([has(line, "Canary"), has(line, "left_out")]).toEqual([false, true]);
  });

  it("is bounded, whatever a caller chose as an id", () => {
    const line = logged((log) => { log.info({ subject: "s".repeat(100_000), missing: Array.from({ length: 1_000 }, () => "x".repeat(5_000)) }, "x"); });
    expect(JSON.stringify(line).length).toBeLessThan(60_000);
  });

  it("is one line of JSON also of what looks like several, or like a terminal's commands", () => {
    const forged = 'a\r\n{"level":"info"}\u001b[31m"';
    expect(logged((log) => { log.info({ subject: forged }, "x"); })).toMatchObject({ subject: forged });
  });
});

describe("an error", () => {
  it("has its type, code, message, stack and causes", () => {
    const cause = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:1"), { code: "ECONNREFUSED" });
    const { err } = logged((log) => { log.warn({ err: new AppError("broker_unavailable", "NATS is away", { cause }) }, "x"); });
    expect(err).toEqual({ type: "AppError", code: "broker_unavailable", message: "NATS is away", stack: expect.stringMatching(/^at .*logger\.test\.ts/) as string, cause: { type: "Error", code: "ECONNREFUSED", message: "connect ECONNREFUSED 127.0.0.1:1" } });
  });

  it("of several has each", () => {
    const { err } = logged((log) => { log.warn({ err: new AggregateError([new Error("first"), new Error("second")]) }, "x"); });
    expect(err).toMatchObject({ type: "AggregateError", errors: [{ message: "first" }, { message: "second" }] });
  });

  it("has nothing of what hangs on it, nor of a text that was no JSON", () => {
    const notJson = (() => { try { return JSON.parse(PROMPT) as never; } catch (error) { return error; } })();
    expect(String(notJson)).toContain("my mother"); // Node quotes it
    const error = Object.assign(new Error("it failed", { cause: notJson }), { config: { headers: { authorization: PROMPT } }, response: { body: PROMPT }, detail: `Key (input)=(${PROMPT}) exists` });
    const line = logged((log) => { log.error({ err: error, verdict: { action: "giveUp", error } }, "x"); });
    expect([has(line, "Canary"), has(line, "my mother")]).toEqual([false, false]);
    expect(line).toMatchObject({ err: { cause: { type: "SyntaxError", message: "Unexpected token 'm', it is not valid JSON" } }, verdict: { action: "giveUp" } });
  });

  it("that is none is named by its type", () => {
    expect(logged((log) => { log.error({ err: PROMPT }, "x"); })).toMatchObject({ err: { type: "string" } });
  });

  it("in place of the fields is taken for one", () => {
    expect(logged((log) => { log.error(new Error("it failed")); })).toMatchObject({ err: { type: "Error", message: "it failed" } });
  });
});

const KEY_SECRET = "Ab_-".repeat(11).slice(0, 43);
describe("what looks like a secret is taken out, wherever it stands:", () => {
  it.each([
    [`key cao_0123456789ab_${KEY_SECRET} was refused`, "key cao_0123456789ab_*** was refused"],
    ["Incorrect API key provided: sk-proj-abcdef0123456789", "Incorrect API key provided: sk-***"],
    ["x-api-key sk-ant-api03-abc_def-123", "x-api-key sk-***"],
    [`key AIza${"Sy0-_".repeat(7)}`, "key AIza***"],
    ["Authorization: Bearer abc.def-ghi, and more", "Authorization: Bearer ***, and more"],
    ["postgresql://infer:pass:word@db.example/x", "postgresql://***@db.example/x"],
    ["GET https://models.example/v1?a=b&key=abc123&x=1 failed", "GET https://models.example/v1?a=b&key=***&x=1 failed"],
    [`seed SU${"A2".repeat(28)}`, "seed SU***"],
    ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_***"],
  ])("%s", (text, expected) => {
    const line = logged((log) => { log.warn({ err: new Error("failed", { cause: new Error(text) }), problem: text }, text); });
    expect([line["msg"], line["problem"], (line["err"] as { cause: { message: string } }).cause.message]).toEqual([expected, expected, expected]);
  });

  it.each(["task-0123456789 of a risk-averse tenant", "https://models.example/v1?model=m", "mail a@b.example about nats://127.0.0.1:4222", "cao_ is how keys begin", "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"])("but not %s", (text) => {
    expect(logged((log) => { log.warn(text); })).toMatchObject({ msg: text });
  });
});

it("an error that nobody caught ends a role with one such line, where Node would print all that hangs on it", { timeout: 60_000 }, () => {
  const program = `
    import { z } from "zod";
    import { runRole } from "#shared/runtime/runRole.ts";
    await runRole({ name: "test", config: z.object({}), start: () => new Promise(() => {
      setTimeout(() => { throw Object.assign(new Error("it failed for sk-proj-abcdef0123456789"), { config: { authorization: "Canary" } }); }, 1);
    }) });`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", program], { encoding: "utf8", timeout: 50_000, env: { PATH: process.env["PATH"] } });
  expect([status, stderr]).toEqual([1, ""]);
  expect(JSON.parse(stdout)).toMatchObject({ level: "fatal", err: { message: "it failed for sk-***" }, msg: "ended by an error that nobody caught" });
  expect(stdout).not.toContain("Canary");
});

/** `RLIMIT_FSIZE` makes a file full for one process, as a disk does for all: a write is cut, the next one fails. */
it.runIf(process.platform === "linux")("lines that do not fit on the disk are left out, and the next ones written when there is room: the role neither ends nor keeps them", { timeout: 60_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "infer-log-"));
  const program = `
    import { execFileSync } from "node:child_process";
    import { makeLogger } from "#shared/telemetry/logger.ts";
    process.on("SIGXFSZ", () => undefined);
    const log = makeLogger("test", "info");
    const limit = (most) => execFileSync("prlimit", ["--pid", String(process.pid), "--fsize=" + most + ":"]);
    log.info("first");
    limit(300);
    await new Promise((resolve) => setImmediate(resolve));
    for (let i = 0; i < 1_000; i++) log.info({ tier: "x".repeat(100) }, "no room");
    limit("unlimited");
    log.info("room again");`;
  const file = openSync(join(folder, "log"), "a");
  try {
    const { status, stderr } = spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", program], { encoding: "utf8", timeout: 50_000, env: { PATH: process.env["PATH"] }, stdio: ["ignore", file, "pipe"] });
    expect([status, stderr]).toEqual([0, ""]);
    const lines = readFileSync(join(folder, "log"), "utf8").split("\n");
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ msg: "first" });
    expect(JSON.parse(lines.at(-2) ?? "")).toMatchObject({ msg: "room again" });
    expect(lines.length).toBeLessThan(10);
  } finally {
    closeSync(file);
    rmSync(folder, { recursive: true, force: true });
  }
});
