import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { Redis } from "ioredis";
import pg from "pg";
import { expect, test } from "vitest";

import { anyFreePort, isPortFree } from "./freePort.ts";
import { launchServer } from "./launchServer.ts";
import { isRunning, ProcessIdentity } from "./processIdentity.ts";
import { startTestServer, TEST_SERVER_NAME } from "./testServers.ts";
import { waitUntil } from "./waitUntil.ts";

const TIMEOUT_MS = 60_000;

test("NATS keeps what it acked through kill -9, on the same port", { timeout: TIMEOUT_MS }, async () => {
  const server = await startTestServer("nats", { durability: "strict" });
  const write = await connect({ servers: server.url, reconnect: false });
  expect(write.info?.server_name).toBe(TEST_SERVER_NAME);
  expect(write.info?.max_payload).toBe(2 ** 20);
  await (await jetstreamManager(write)).streams.add({ name: "S", subjects: ["s"] });
  await jetstream(write).publish("s", "kept");
  await server.kill();
  await write.close();
  await server.restart();
  const read = await connect({ servers: server.url });
  expect((await (await jetstreamManager(read)).streams.getMessage("S", { seq: 1 }))?.string()).toBe("kept");
  await read.close();
  await server.remove();
  expect(existsSync(dirname(server.dataDir))).toBe(false);
  expect(await isPortFree(server.port)).toBe(true);
});

test("Redis keeps its data through kill -9, and refuses writes rather than evicting", { timeout: TIMEOUT_MS }, async () => {
  const server = await startTestServer("redis");
  const write = new Redis(server.url);
  await write.set("k", "kept");
  expect(await write.config("GET", "maxmemory-policy")).toEqual(["maxmemory-policy", "noeviction"]);
  write.disconnect();
  await server.kill();
  await server.restart();
  const read = new Redis(server.url);
  expect(await read.get("k")).toBe("kept");
  read.disconnect();
  await server.remove();
  expect(existsSync(dirname(server.dataDir))).toBe(false);
});

test("Postgres keeps its data through kill -9 and through a stop", { timeout: TIMEOUT_MS }, async () => {
  const server = await startTestServer("postgres");
  await query(server.url, "CREATE TABLE t AS SELECT 'kept' AS v");
  await server.kill();
  await server.restart();
  await server.stop();
  await server.restart();
  expect(await query(server.url, "SELECT v FROM t")).toEqual([{ v: "kept" }]);
  await server.remove();
  expect(existsSync(dirname(server.dataDir))).toBe(false);
});

test("Postgres starts again although children of the killed one still run a query, and its pid is another process now", { timeout: TIMEOUT_MS }, async () => {
  const server = await startTestServer("postgres");
  const busy = new pg.Client({ connectionString: server.url });
  busy.on("error", () => undefined);
  await busy.connect();
  const long = busy.query("SELECT count(*) FROM generate_series(1, 2000000000)").catch(() => "cut off");
  const isBusy = async () => (await query(server.url, "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%2000000000)'")).length > 0 || undefined;
  await waitUntil(isBusy, { deadlineMs: 10_000, describe: () => "the query does not run" });
  await server.kill();
  const pidFile = join(server.dataDir, "postmaster.pid");
  writeFileSync(pidFile, readFileSync(pidFile, "utf8").replace(/^\d+/, String(process.pid)));
  await server.restart();
  expect(await long).toBe("cut off");
  expect(await query(server.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  await server.remove();
});

test("a server that does not start is an error with the end of its log", { timeout: TIMEOUT_MS }, async () => {
  const server = await startTestServer("redis");
  const dataDir = mkdtempSync(join(dirname(server.dataDir), "other-"));
  const logFile = join(dataDir, "other.log");
  const plan = {
    service: "redis", program: "/bin/sh", args: ["-c", "echo no such option >&2; exit 1"], env: {}, url: `redis://127.0.0.1:${await anyFreePort()}`,
    dataDir, logFile, stopSignal: "SIGTERM", readyDeadlineMs: 5_000,
  } as const;
  await expect(launchServer(plan)).rejects.toThrow(/Redis did not start: .*(ended while starting|ended at once)/);
  await server.remove();
});

test("servers and folder are gone soon after their process was killed", { timeout: TIMEOUT_MS }, async () => {
  const script = `import { startTestServer } from ${JSON.stringify(join(import.meta.dirname, "testServers.ts"))};
    const { info } = await startTestServer("nats");
    console.log(JSON.stringify(info()));
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [printed] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string];
  const info = JSON.parse(printed) as { process: unknown; dataDir: string };
  const identity = ProcessIdentity.parse(info.process);
  expect(isRunning(identity)).toBe(true);
  child.kill("SIGKILL");
  const isGone = () => Promise.resolve(!isRunning(identity) && !existsSync(dirname(info.dataDir)) ? true : undefined);
  await waitUntil(isGone, { deadlineMs: 10_000, describe: () => "the server of a killed process still runs" });
});

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  const { rows } = await client.query(text);
  await client.end();
  return rows as unknown[];
}
