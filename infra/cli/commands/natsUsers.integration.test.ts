import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Pool } from "pg";
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { withHomeLock } from "#infra/embedded/homeLock.ts";
import { identify } from "#infra/embedded/processIdentity.ts";
import { startTestServer } from "#infra/embedded/testServers.ts";
import { writeState } from "#infra/embedded/stateFile.ts";
import { makeTenantUser } from "#infra/nats/natsUsers.ts";
import { ownUsers } from "#infra/nats/ownUsers.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { servedBy } from "#shared/contracts/tiers.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { inboxOf } from "#shared/messaging/topology.ts";
import { readTierFile } from "#shared/runtime/loadConfig.ts";
import { createTenant } from "#shared/tenancy/tenants.ts";

import { dispatch } from "../dispatch.ts";
import { PLAIN_SCREEN } from "../screen.ts";

const ROLES = ["admin", "gateway", "router", "worker-small", "worker-medium", "worker-large", "audit-sink", "metrics-sink", "console", "replay", "replay-live", "replay-shadow"];
const home = mkdtempSync(join(tmpdir(), "infer-nats-users-"));
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "nats_users");
  pool = new Pool({ connectionString: database.url, max: 1 });
  for (const tenant_id of ["t1", "t2"]) await createTenant({ pool, tenantId: null }, { kind: "inferctl" }, { tenant_id, settings: undefined });
});
afterAll(async () => {
  await pool.end();
  await database.drop();
  rmSync(home, { recursive: true, force: true });
});

const prepare = { topology: () => Promise.resolve(), migrations: () => Promise.resolve(0), localModels: () => Promise.resolve({ models: [], wasCached: true }) };
async function run(args: readonly string[], environment: Record<string, string> = {}, onNote: (line: string) => void = () => undefined) {
  const [out, err]: [string[], string[]] = [[], []];
  const progress = { note: (line: string) => { err.push(line); onNote(line); }, step: <T>(_title: string, work: () => Promise<T>) => work() };
  const code = await dispatch(["nats-users", ...args], { environment: { INFER_HOME: home, DATABASE_URL: database.url, ...environment }, screen: PLAIN_SCREEN, print: (line) => void out.push(line), progress, prepare }, (line) => void err.push(line));
  return { code, out: out.join("\n"), err: err.join("\n") };
}
interface Printed { readonly made: string[]; readonly seed: string; readonly is_audited: boolean; readonly is_in_effect: boolean; readonly user: { public_key: string }; readonly users: { public_key: string; tenant_id?: string; role?: string }[]; readonly config: string }
const json = async (args: readonly string[], environment: Record<string, string> = {}) => JSON.parse((await run([...args, "--json"], environment)).out) as Printed;
const audited = async (object: string) => (await pool.query<{ action: string; tenant_id: string | null }>("SELECT action, tenant_id FROM admin_audit WHERE object = $1 ORDER BY seq", [object])).rows;
const named = (name: string) => ["--users-file", join(home, name, "nats-users.json")];

test("init makes a user per role once, with a seed that nobody else can read; anew replaces them all", async () => {
  const at = named("init");
  expect((await json(["init", ...at])).made).toEqual(ROLES);
  for (const role of ROLES) expect(statSync(join(home, "init/nats-users", `${role}.nk`)).mode & 0o777).toBe(0o600);
  expect(statSync(join(home, "init/nats-users.json")).mode & 0o777).toBe(0o600);
  expect((await json(["init", ...at])).made).toEqual([]);
  const before = (await json(["list", ...at])).users.map(({ public_key }) => public_key);
  expect((await json(["init", "--anew", ...at])).made).toEqual(ROLES);
  const after = (await json(["list", ...at])).users.map(({ public_key }) => public_key);
  expect(after).toHaveLength(ROLES.length);
  expect(after.filter((key) => before.includes(key))).toEqual([]);
});

test("a tenant's seed is written once and kept nowhere else, and each change is in the admin audit", async () => {
  const at = named("add");
  await run(["init", ...at]);
  const out = join(home, "t1.nk");
  const { user, is_audited, is_in_effect } = await json(["add", "--tenant", "t1", "--out", out, ...at]);
  expect([is_audited, is_in_effect]).toEqual([true, false]);
  const seed = readFileSync(out, "utf8").trim();
  expect(statSync(out).mode & 0o777).toBe(0o600);
  expect(readFileSync(join(home, "add/nats-users.json"), "utf8")).not.toContain(seed);
  expect((await run(["config", ...at])).out).not.toContain(seed);
  expect(await run(["add", "--tenant", "t1", "--out", out, ...at])).toMatchObject({ code: 64, err: expect.stringContaining("is there already") as string });
  expect((await run(["remove", user.public_key, ...at])).code).toBe(0);
  expect((await json(["list", ...at])).users.filter(({ tenant_id }) => tenant_id !== undefined)).toEqual([]);
  expect(await audited(user.public_key)).toEqual([{ action: "nats_user.create", tenant_id: "t1" }, { action: "nats_user.remove", tenant_id: "t1" }]);
});

test("no user is made whose seed could not be kept, or where roles have none, and no file is left of it", async () => {
  const at = named("lost");
  const users = async () => (await json(["list", ...at])).users.filter(({ tenant_id }) => tenant_id !== undefined);
  const out = join(home, "lost.nk");
  expect(await run(["add", "--tenant", "t1", "--out", out, ...at])).toMatchObject({ code: 1, err: expect.stringContaining("no users of the roles") as string });
  expect(existsSync(out)).toBe(false);
  await run(["init", ...at]);
  expect(await run(["add", "--tenant", "t1", "--out", join(home, "no such folder/x.nk"), ...at])).toMatchObject({ code: 64, err: expect.stringContaining("cannot be written (ENOENT)") as string });
  writeFileSync(join(home, "lost/nats-users.json"), "{");
  expect((await run(["add", "--tenant", "t1", "--out", out, ...at])).code).toBe(1);
  expect(existsSync(out)).toBe(false);
  rmSync(join(home, "lost/nats-users.json"));
  await run(["init", ...at]);
  expect(await users()).toEqual([]);
});

test("a seed is told though the server cannot be", async () => {
  const own = join(home, "untold");
  mkdirSync(own);
  await run(["init"], { INFER_HOME: own });
  writeState(join(own, "state.json"), { version: 1, servers: [{ service: "nats", provider: "found", version: "2", url: "nats://127.0.0.1:1", where: "", seedFile: "x", process: identify(process.pid) }], roles: [] });
  const { code, out } = await run(["add", "--tenant", "t1", "--json"], { INFER_HOME: own });
  const { user, seed } = JSON.parse(out) as Printed;
  expect([code, seed.startsWith("SU"), (await run(["list"], { INFER_HOME: own })).out.includes(user.public_key)]).toEqual([1, true, true]);
});

test("the configuration waits for a change that is being made, and has it", async () => {
  const at = named("turn");
  await run(["init", ...at]);
  const out = join(home, "turn.conf");
  const files = { list: join(home, "turn/nats-users.json"), seeds: join(home, "turn/nats-users") };
  const { running, user } = await withHomeLock(join(home, "turn"), () => undefined, async () => {
    let config: ReturnType<typeof run> | undefined;
    await new Promise<void>((waits) => { config = run(["config", "--out", out, ...at], {}, (line) => { if (line.includes("waiting for it")) waits(); }); });
    return { running: config, user: makeTenantUser(files, { tenant_id: "t1", name: "late" }, new Date()).user };
  });
  expect((await running)?.code).toBe(0);
  expect(readFileSync(out, "utf8")).toContain(user.public_key);
});

test("a change does not wait for Postgres: it is audited by the next command that reaches it", async () => {
  const at = named("outage");
  const away = { DATABASE_URL: "postgresql://127.0.0.1:1/infer" };
  await run(["init", ...at]);
  const { user, is_audited } = await json(["add", "--tenant", "t2", ...at], away);
  expect(is_audited).toBe(false);
  expect((await run(["remove", user.public_key, ...at], away)).out).toContain("Not in the admin audit yet");
  expect(await audited(user.public_key)).toEqual([]);
  await run(["init", ...at]);
  expect((await audited(user.public_key)).map(({ action }) => action)).toEqual(["nats_user.create", "nats_user.remove"]);
});

test.each([
  [["add", "--tenant", "nobody"], 64, /there is no tenant nobody/],
  [["add", "--tenant", "a.b"], 64, /say which tenant/],
  [["add"], 64, /say which tenant/],
  [["remove", "UNKNOWN"], 64, /there is no user UNKNOWN/],
  [["remove"], 64, /by its public key/],
  [["frobnicate"], 64, /there is no "nats-users frobnicate"/],
  [[], 64, /say what to do/],
])("%j is refused", async (args, code, message) => {
  await run(["init", ...named("refused")]);
  expect(await run([...args, ...named("refused")])).toMatchObject({ code, err: expect.stringMatching(message) as string });
});

test("a role's user cannot be removed alone, a list without roles makes no configuration, and one that cannot be read is not taken for empty", async () => {
  await run(["init", ...named("kept")]);
  const [first] = (await json(["list", ...named("kept")])).users;
  expect(await run(["remove", first?.public_key ?? "", ...named("kept")])).toMatchObject({ code: 64, err: expect.stringContaining("init --anew") as string });
  expect(await run(["config", ...named("none")])).toMatchObject({ code: 1, err: expect.stringContaining("no users of the roles") as string });
  writeFileSync(join(home, "kept/nats-users.json"), "{");
  expect(await run(["init", ...named("kept")])).toMatchObject({ code: 1, err: expect.stringContaining("cannot be read") as string });
});

test("a server that runs here takes a new tenant's user at once, and closes it when it is removed", async () => {
  const read = readTierFile({ tiersFile: "infra/config/tiers.yaml", pricesFile: "infra/config/prices.yaml" });
  if ("problems" in read) throw new Error(read.problems.join());
  const server = await startTestServer("nats", { users: ownUsers({ root: home }, { prefix: "infer", tiers: read.file }) });
  try {
    writeState(join(home, "state.json"), { version: 1, servers: [server.info()], roles: [] });
    const admin = await connectNats({ url: server.url, name: "admin", nkeySeed: readFileSync(join(home, "nats-users/admin.nk"), "utf8").trim(), inboxPrefix: inboxOf("admin") });
    await ensureTopology(admin, { prefix: "infer", tiers: servedBy(read.file), completionsMaxAgeMs: 86_400_000 });
    await admin.close();
    const { seed, user, is_in_effect } = await json(["add", "--tenant", "t1"]);
    expect(is_in_effect).toBe(true);
    const tenant = await connectNats({ url: server.url, name: "t1", nkeySeed: seed, inboxPrefix: inboxOf("t1") });
    expect((await tenant.request("infer.request.t1.x", "x")).json()).toMatchObject({ stream: "REQUESTS" });
    const left = (async () => { for await (const { type } of tenant.status()) if (type === "disconnect") return; })();
    await run(["remove", user.public_key]);
    await left;
    await tenant.close();
    await expect(connectNats({ url: server.url, name: "t1", nkeySeed: seed })).rejects.toThrow(/Authorization Violation/);
  } finally {
    await server.remove();
  }
});
