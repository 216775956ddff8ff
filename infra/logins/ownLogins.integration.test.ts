/** Postgres and Redis as `up` starts them where passwords are asked for: nobody gets in without one, and each login is its service. */
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Redis } from "ioredis";
import { Client } from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";

import { loginUrl } from "#infra/embedded/loginUrl.ts";
import { linesOf } from "#infra/embedded/readStatus.ts";
import { startTestServer } from "#infra/embedded/testServers.ts";
import { migrateDatabase } from "#shared/db/migrate.ts";

import { ensurePassword, scramVerifier } from "./logins.ts";
import { makeOwnPostgresLogins, ownLogins, withLogins } from "./ownLogins.ts";

const root = mkdtempSync(join(tmpdir(), "infer-logins-"));
let postgres: Awaited<ReturnType<typeof startTestServer>>;
let redis: Awaited<ReturnType<typeof startTestServer>>;
const servers = () => [postgres.info(), redis.info()];
const urlsOf = (name: string) => withLogins([{ name, program: "", addresses: [], env: {} }], { root }, servers())[0]?.env ?? {};

beforeAll(async () => {
  const logins = await ownLogins({ root }, "infer", []);
  [postgres, redis] = await Promise.all([startTestServer("postgres", { logins }), startTestServer("redis", { logins })]);
  await migrateDatabase(loginUrl(postgres.info()));
  await makeOwnPostgresLogins({ root }, servers());
});
afterAll(async () => {
  await Promise.all([postgres.remove(), redis.remove()]);
  rmSync(root, { recursive: true, force: true });
});

async function sqlAs(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  return client.query<Record<string, unknown>>(sql).then(({ rows }) => rows).finally(() => client.end());
}
async function redisAs(url: string, ...command: string[]): Promise<unknown> {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  const said: Error[] = [];
  client.on("error", (error) => { said.push(error); });
  const [name = "", ...rest] = command;
  return client.connect().then(() => client.call(name, ...rest)).catch((error: unknown) => { throw said[0] ?? error; }).finally(() => { client.disconnect(); });
}

it("nobody gets in without a password, nor with another one", async () => {
  const { url } = postgres.info();
  await expect(sqlAs(url, "SELECT 1")).rejects.toThrow(/password/);
  await expect(sqlAs(url.replace("postgres@", "postgres:wrong@"), "SELECT 1")).rejects.toThrow(/password authentication failed/);
  await expect(sqlAs(url.replace("postgres@", "infer_gateway@"), "SELECT 1")).rejects.toThrow(/password/);
  await expect(redisAs(redis.info().url, "GET", "x")).rejects.toThrow(/NOAUTH/);
  await expect(redisAs(redis.info().url.replace("//", "//infer_gateway:wrong@"), "GET", "x")).rejects.toThrow(/WRONGPASS/);
});

it("each login is its service and no other", async () => {
  const { DATABASE_URL = "" } = urlsOf("webhook-sender");
  expect(await sqlAs(`${DATABASE_URL}?options=-c%20role%3Dinfer_webhook_sender`, "SELECT current_user")).toEqual([{ current_user: "infer_webhook_sender" }]);
  await expect(sqlAs(DATABASE_URL, "SELECT 1 FROM requests")).rejects.toThrow(/permission denied/);
  await expect(sqlAs(DATABASE_URL, "SET ROLE infer_gateway")).rejects.toThrow(/permission denied/);
  await expect(sqlAs(DATABASE_URL, "SET ROLE postgres")).rejects.toThrow(/permission denied/);
  expect(await sqlAs(urlsOf("all-in-one")["DATABASE_URL"] ?? "", "SET ROLE infer_router")).toEqual([]);
  expect(await redisAs(urlsOf("worker-small")["REDIS_URL"] ?? "", "SET", "infer:cache:{t}:k", "v")).toBe("OK");
  await expect(redisAs(urlsOf("worker-small")["REDIS_URL"] ?? "", "GET", "infer:limit:x")).rejects.toThrow(/NOPERM/);
  await expect(redisAs(urlsOf("gateway")["REDIS_URL"] ?? "", "FLUSHALL")).rejects.toThrow(/NOPERM/);
  expect(["audit-sink", "metrics-sink"].map((name) => Object.keys(urlsOf(name)))).toEqual([["DATABASE_URL"], []]);
});

it("a new password for one takes effect, and the old one none, without a restart of the servers", async () => {
  const before = urlsOf("gateway");
  for (const server of ["postgres", "redis"] as const) ensurePassword(root, server, "gateway", { anew: true });
  await ownLogins({ root }, "infer", servers());
  await makeOwnPostgresLogins({ root }, servers());
  const after = urlsOf("gateway");
  expect([await sqlAs(after["DATABASE_URL"] ?? "", "SELECT 1 AS one"), await redisAs(after["REDIS_URL"] ?? "", "PING")]).toEqual([[{ one: 1 }], "PONG"]);
  await expect(sqlAs(before["DATABASE_URL"] ?? "", "SELECT 1")).rejects.toThrow(/password authentication failed/);
  await expect(redisAs(before["REDIS_URL"] ?? "", "PING")).rejects.toThrow(/WRONGPASS/);
});

it("passwords lie in files for their owner alone, and what is shown of the servers has none", async () => {
  const files = ["postgres", "redis"].flatMap((server) => readdirSync(join(root, "logins", server)).map((file) => join(root, "logins", server, file)));
  expect(files.length).toBeGreaterThan(8);
  for (const file of [...files, join(root, "logins", "redis.acl")]) expect(statSync(file).mode & 0o777, file).toBe(0o600);
  expect(statSync(join(root, "logins", "redis")).mode & 0o777).toBe(0o700);
  const lines = await linesOf({ servers: servers(), roles: [] });
  expect(lines.map(({ state }) => state)).toEqual(["ready", "ready"]);
  const shown = JSON.stringify([lines, servers()]);
  for (const server of ["postgres", "redis"] as const) expect(shown).not.toContain(ensurePassword(root, server, "owner"));
});

it("stays shut after a restart", async () => {
  await postgres.restart();
  await expect(sqlAs(postgres.info().url, "SELECT 1")).rejects.toThrow(/password/);
  expect(await sqlAs(loginUrl(postgres.info()), "SELECT count(*)::int AS n FROM ledger")).toEqual([{ n: 0 }]);
});

it("makes the verifier of RFC 7677's example", () => {
  expect(scramVerifier("pencil", Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64"))).toBe("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
});
