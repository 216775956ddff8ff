import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, expect, test } from "vitest";

import { withHomeLock } from "./homeLock.ts";
import { EMPTY_STATE, readState, type RoleProcess, withRole, writeState } from "./stateFile.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-state-"));
const file = join(folder, "state.json");
afterEach(() => {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
});

const gateway: RoleProcess = {
  name: "gateway", addresses: [{ role: "gateway", url: "http://127.0.0.1:8080" }], logFile: "/tmp/gateway.log", fingerprint: "a", startedWith: { LOG_LEVEL: "1" },
  process: { pid: 1, startTime: "1@x" },
};

test("what is written is read, and no draft stays", () => {
  writeState(file, withRole(EMPTY_STATE, gateway));
  expect(readState(file).roles).toEqual([gateway]);
  expect(readdirSync(folder)).toEqual(["state.json"]);
});

test("an entry is replaced, not doubled", () => {
  const state = withRole(withRole(EMPTY_STATE, gateway), { ...gateway, fingerprint: "b" });
  expect(state.roles.map(({ fingerprint }) => fingerprint)).toEqual(["b"]);
});

test("the file goes when nothing is left to note", () => {
  writeState(file, withRole(EMPTY_STATE, gateway));
  writeState(file, EMPTY_STATE);
  expect(readdirSync(folder)).toEqual([]);
});

test.each(["", "{", '{"version":2}', '{"version":1,"servers":[{}],"roles":[]}'])("%j counts as nothing started", (content) => {
  writeFileSync(file, content);
  expect(readState(file)).toEqual(EMPTY_STATE);
});

test("two that hold the lock follow each other", async () => {
  const order: string[] = [];
  const waits: string[] = [];
  let release: () => void = () => undefined;
  const isHeld = new Promise<void>((resolve) => (release = resolve));
  const first = withHomeLock(folder, () => undefined, async () => {
    order.push("first begins");
    await isHeld;
    order.push("first ends");
  });
  const second = withHomeLock(folder, (line) => {
    waits.push(line);
    release();
  }, () => Promise.resolve(order.push("second")));
  await Promise.all([first, second]);
  expect(order).toEqual(["first begins", "first ends", "second"]);
  expect(waits).toHaveLength(1);
});

test.each(['{"pid":4194305,"startTime":"1@x"}', `{"pid":${process.pid},"startTime":"of another process"}`, ""])("the lock of a process that is gone counts for nothing: %j", async (content) => {
  writeFileSync(join(folder, "lock"), content);
  expect(await withHomeLock(folder, () => undefined, () => Promise.resolve("ran"), 0)).toBe("ran");
});
