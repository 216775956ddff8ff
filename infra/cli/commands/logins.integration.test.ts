import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Redis } from "ioredis";
import { Client } from "pg";
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { startTestServer } from "#infra/embedded/testServers.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";

import { callInferctl } from "../callInferctl.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-logins-"));
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let redis: Awaited<ReturnType<typeof startTestServer>>;
beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "logins");
  redis = await startTestServer("redis");
});
afterAll(async () => {
  await redis.remove();
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});
const logins = (...args: string[]) => callInferctl(["logins", ...args], { INFER_HOME: folder, DATABASE_URL: database.url, REDIS_URL: redis.url });
const variables = (name: string) => Object.fromEntries(readFileSync(join(folder, "logins", `${name}.env`), "utf8").trim().split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));

test("init makes a login for each service at servers that somebody else runs, and a file that it alone reads", async () => {
  const { code, printed } = await logins("init", "--json");
  expect([code, JSON.parse(printed)]).toMatchObject([0, { is_redis_kept: false }]);
  expect(statSync(join(folder, "logins", "gateway.env")).mode & 0o777).toBe(0o600);
  expect([Object.keys(variables("gateway")), Object.keys(variables("worker")), Object.keys(variables("audit-sink"))]).toEqual([["DATABASE_URL", "REDIS_URL"], ["REDIS_URL"], ["DATABASE_URL"]]);
  const client = new Client({ connectionString: variables("router")["DATABASE_URL"] });
  await client.connect();
  expect((await client.query("SELECT session_user")).rows).toEqual([{ session_user: "infer_router_login" }]);
  await expect(client.query("UPDATE ledger SET cost_nano_usd = 0")).rejects.toMatchObject({ code: "42501" });
  await client.end();
  const worker = new Redis(variables("worker")["REDIS_URL"] ?? "");
  await expect(worker.call("FLUSHALL")).rejects.toThrow(/NOPERM/);
  worker.disconnect();
});

test("what is printed has no password, whatever is asked for", async () => {
  const passwords = ["gateway", "router", "worker"].flatMap((name) => Object.values(variables(name))).map((url) => new URL(url).password);
  const said = [await logins("list"), await logins("list", "--json"), await logins("init"), await logins("init", "--help")].map(({ printed, errors, notes }) => `${printed}${errors}${notes}`).join("\n");
  expect(said).toMatch(/infer_gateway_login/);
  expect(passwords.filter((password) => password === "" || said.includes(password))).toEqual([]);
});

test("anew gives others, and a second init changes none", async () => {
  const before = variables("gateway");
  await logins("init");
  expect(variables("gateway")).toEqual(before);
  await logins("init", "--anew");
  expect(variables("gateway")["REDIS_URL"]).not.toBe(before["REDIS_URL"]);
  const old = new Redis(before["REDIS_URL"] ?? "", { lazyConnect: true, retryStrategy: () => null });
  const said: string[] = [];
  old.on("error", ({ message }) => { said.push(message); });
  await old.connect().catch(() => undefined);
  expect(said.join()).toMatch(/WRONGPASS/);
  old.disconnect();
});

test.each([
  ["no word", [], 64, /say what to do/],
  ["another word", ["make"], 64, /there is no "logins make"/],
])("%s is refused", async (_name, args, code, message) => {
  const { code: ended, errors } = await logins(...args);
  expect([ended, errors]).toEqual([code, expect.stringMatching(message)]);
});

test("an error names no password", async () => {
  const { code, errors } = await callInferctl(["logins", "init"], { INFER_HOME: folder, DATABASE_URL: "postgresql://me:s3cret-of-mine@127.0.0.1:9/x", REDIS_URL: "redis://me:s3cret-of-mine@127.0.0.1:9" });
  expect([code, errors]).toEqual([1, expect.stringMatching(/logins of Postgres: /)]);
  expect(errors).not.toContain("s3cret-of-mine");
});
