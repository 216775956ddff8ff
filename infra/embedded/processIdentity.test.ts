import { spawn } from "node:child_process";
import { once } from "node:events";

import { expect, test } from "vitest";

import { endProcess, identify, isRunning, type ProcessIdentity, signalProcess } from "./processIdentity.ts";

async function sleeper(args: string[] = ["-c", "exec sleep 60"]): Promise<{ identity: ProcessIdentity; ended: Promise<unknown> }> {
  const child = spawn("/bin/sh", args, { stdio: ["ignore", "pipe", "ignore"] });
  const ended = once(child, "exit");
  await once(child, "spawn");
  const identity = identify(child.pid ?? 0);
  if (identity === undefined) throw new Error("no process");
  return { identity, ended };
}

test("a recycled pid is never signalled", async () => {
  const { identity, ended } = await sleeper();
  const former = { ...identity, startTime: `${identity.startTime}0` };
  expect(isRunning(former)).toBe(false);
  expect(signalProcess(former, "SIGKILL")).toBe(false);
  expect(await endProcess(former, "SIGKILL")).toBe("gone");
  expect(isRunning(identity)).toBe(true);
  await endProcess(identity, "SIGKILL");
  await ended;
});

test("ends a process in order", async () => {
  const { identity, ended } = await sleeper();
  expect(await endProcess(identity, "SIGTERM")).toBe("ended");
  await ended;
  expect(await endProcess(identity, "SIGTERM")).toBe("gone");
});

test("kills what does not listen", async () => {
  const child = spawn("/bin/sh", ["-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"], { stdio: ["ignore", "pipe", "ignore"] });
  await once(child.stdout, "data");
  const identity = identify(child.pid ?? 0);
  if (identity === undefined) throw new Error("no process");
  expect(await endProcess(identity, "SIGTERM", 100)).toBe("killed");
});

test("there is no identity without a process", () => expect(identify(2 ** 22 + 1)).toBeUndefined());
