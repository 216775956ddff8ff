import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";

import { expect, it } from "vitest";

import { ownsPort } from "./portOwner.ts";

it.runIf(process.platform === "linux")("knows its own port from another process's", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const other = spawn(process.execPath, ["-e", "process.stdin.resume()"], { stdio: ["pipe", "ignore", "ignore"] });
  expect(ownsPort(process.pid, port)).toBe(true);
  expect(ownsPort(other.pid ?? 0, port)).toBe(false);
  other.kill();
  server.close();
  await once(server, "close");
  expect(ownsPort(process.pid, port)).toBe(false);
});
