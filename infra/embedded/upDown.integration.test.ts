/** `up` and `down` with real servers and with stand-ins for the bundles: small programs that answer /readyz. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { jetstreamManager } from "@nats-io/jetstream";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";

import { connectNats } from "#shared/messaging/connect.ts";

import { bringUp, type UpResult } from "./bringUp.ts";
import { type Environment, type Home, openHome } from "./homeFolder.ts";
import type { PrepareSteps } from "./prepare.ts";
import { isRunning, type ProcessIdentity, signalProcess } from "./processIdentity.ts";
import type { Progress } from "./progress.ts";
import { adminLogin } from "./natsLogin.ts";
import { linesOf } from "./readStatus.ts";
import type { ServerInfo } from "./serverInfo.ts";
import { EMPTY_STATE, readState, writeState } from "./stateFile.ts";
import { takeDown } from "./takeDown.ts";
import { waitUntil } from "./waitUntil.ts";

const TIMEOUT_MS = 120_000;
const folder = mkdtempSync(join(tmpdir(), "infer-up-"));
chmodSync(folder, 0o755); // Postgres may run as another user than we
const dist = join(folder, "dist");
const environment: Environment = {
  PATH: process.env["PATH"], INFER_HOME: join(folder, "home"), INFER_GATEWAY_PORT: "0", INFER_GATEWAY_ADMIN_PORT: "0", INFER_ROUTER_PORT: "0",
  INFER_AUDIT_SINK_PORT: "0", INFER_METRICS_SINK_PORT: "0", INFER_WEBHOOK_SENDER_PORT: "0", INFER_CONSOLE_PORT: "0", INFER_WORKER_PORT: "0",
};
/** Programs that were fetched for other runs are used again. */
const home: Home = { ...openHome(environment), servers: openHome({}).servers };

const notes: string[] = [];
const progress: Progress = { note: (line) => void notes.push(line), step: (title, run) => { notes.push(title); return run(); } };
const prepare: PrepareSteps = {
  topology: () => Promise.resolve(),
  migrations: () => Promise.resolve(0),
  localModels: () => Promise.resolve({ models: ["mail-small"], wasCached: false }),
};
const up = (changes: { isSingleProcess?: boolean; dist?: string; readyDeadlineMs?: number; environment?: Environment } = {}): Promise<UpResult> =>
  bringUp({ home, environment, progress, prepare, dist, isSingleProcess: false, serverPorts: "free", ...changes });
const down = () => takeDown({ home, environment, progress });

/** Ports as the real roles find theirs. */
const ROLE = `import { createServer } from "node:http";
const { env } = process;
const name = process.argv[1].split("/").at(-1).replace(".js", "");
const workers = env.INFER_WORKER_TIER === undefined ? [0, 1, 2] : [["small", "medium", "large"].indexOf(env.INFER_WORKER_TIER)];
const singles = { gateway: [env.INFER_GATEWAY_PORT, env.INFER_GATEWAY_ADMIN_PORT], router: [env.INFER_ROUTER_PORT], "audit-sink": [env.INFER_AUDIT_SINK_PORT], "metrics-sink": [env.INFER_METRICS_SINK_PORT], "webhook-sender": [env.INFER_WEBHOOK_SENDER_PORT], console: [env.INFER_CONSOLE_PORT] };
const workerPorts = workers.map((i) => Number(env.INFER_WORKER_PORT) + i);
const ports = name === "worker" ? workerPorts : name === "all-in-one" ? [...Object.values(singles).flat().map(Number), ...workerPorts] : singles[name].map(Number);
for (const port of ports) createServer((req, res) => res.end(JSON.stringify({ pid: process.pid }))).listen(port, "127.0.0.1");
`;

function writeDist(target: string, changes: Record<string, string> = {}): void {
  mkdirSync(target, { recursive: true });
  writeFileSync(join(target, "package.json"), '{"type":"module"}');
  for (const name of ["gateway", "router", "worker", "audit-sink", "metrics-sink", "webhook-sender", "console", "all-in-one"]) writeFileSync(join(target, `${name}.js`), changes[name] ?? ROLE);
}

const processesOf = ({ servers, roles }: UpResult): ProcessIdentity[] => [...servers.flatMap((server) => server.process ?? []), ...roles.map((role) => role.process)];
const pidsOf = (result: UpResult): Record<string, number> =>
  Object.fromEntries<number>([...result.servers.map(({ service, process: one }) => [service, one?.pid ?? 0] as const), ...result.roles.map(({ name, process: one }) => [name, one.pid] as const)]);
const gone = (identity: ProcessIdentity) => waitUntil(() => Promise.resolve(isRunning(identity) ? undefined : true), { deadlineMs: 10_000, describe: () => `${identity.pid} still runs` });

beforeAll(() => writeDist(dist));
afterAll(async () => {
  await down();
  rmSync(folder, { recursive: true, force: true });
}, TIMEOUT_MS);

test("up starts all, a second up changes nothing, down leaves nothing but the data", { timeout: TIMEOUT_MS }, async () => {
  const first = await up();
  expect(Object.keys(pidsOf(first)).sort()).toEqual(["audit-sink", "console", "gateway", "metrics-sink", "nats", "postgres", "redis", "router", "webhook-sender", "worker-large", "worker-medium", "worker-small"]);
  expect((await linesOf(first)).map(({ state }) => state)).toEqual(Array.from({ length: 13 }, () => "ready"));
  await setInRedis(first, "kept");
  const second = await up();
  expect(second.hasStartedSomething).toBe(false);
  expect(pidsOf(second)).toEqual(pidsOf(first));
  const ended = await down();
  expect(ended.map(({ outcome }) => outcome)).toEqual(Array.from({ length: 12 }, () => "ended"));
  expect(processesOf(first).filter(isRunning)).toEqual([]);
  expect(readState(home.stateFile)).toEqual(EMPTY_STATE);
  expect(await down()).toEqual([]);
});

test("after everything was killed, up starts all again with the same data", { timeout: TIMEOUT_MS }, async () => {
  const before = await up();
  expect(await getFromRedis(before)).toBe("kept");
  for (const identity of processesOf(before)) signalProcess(identity, "SIGKILL");
  await Promise.all(processesOf(before).map(gone));
  const after = await up();
  expect((await linesOf(after)).every(({ state }) => state === "ready")).toBe(true);
  expect(after.servers.map(({ url }) => url).sort()).toEqual(before.servers.map(({ url }) => url).sort());
  expect(await getFromRedis(after)).toBe("kept");
});

test("up starts just what is missing", { timeout: TIMEOUT_MS }, async () => {
  const before = await up();
  const [router] = before.roles.filter(({ name }) => name === "router");
  const redis = before.servers.find(({ service }) => service === "redis");
  if (router === undefined || redis?.process === undefined) throw new Error("no router or Redis");
  for (const identity of [router.process, redis.process]) {
    signalProcess(identity, "SIGKILL");
    await gone(identity);
  }
  const after = pidsOf(await up());
  const changed = Object.entries(pidsOf(before)).filter(([name, pid]) => after[name] !== pid).map(([name]) => name);
  expect(changed.sort()).toEqual(["redis", "router"]);
});

test("a new build is what runs after up", { timeout: TIMEOUT_MS }, async () => {
  const before = pidsOf(await up());
  writeDist(dist, { gateway: `${ROLE}// changed\n` });
  const after = pidsOf(await up());
  expect(after["gateway"]).not.toBe(before["gateway"]);
  expect(after["nats"]).toBe(before["nats"]);
});

test("with INFER_AUTH=keys NATS asks for users, without it no longer, and streams stay", { timeout: TIMEOUT_MS }, async () => {
  const natsOf = ({ servers }: UpResult) => servers.find(({ service }) => service === "nats") as ServerInfo;
  const streams = async (server: ServerInfo) => {
    const nats = await connectNats({ url: server.url, name: "test", ...adminLogin(server.seedFile) });
    const jsm = await jetstreamManager(nats);
    await jsm.streams.add({ name: "KEPT", subjects: ["kept"] });
    if (server.seedFile === undefined) await nats.request("kept", "x"); // admin makes streams and writes into none
    const { state } = await jsm.streams.info("KEPT");
    await nats.close();
    return state.messages;
  };
  const open = await up();
  expect(await streams(natsOf(open))).toBe(1);
  notes.length = 0;
  const keys = { environment: { ...environment, INFER_AUTH: "keys" } };
  const closed = await up(keys);
  expect(notes).toContainEqual(expect.stringMatching(/^ending roles and NATS: INFER_AUTH is keys/));
  await expect(connectNats({ url: natsOf(closed).url, name: "test" })).rejects.toThrow(/Authorization Violation/);
  expect(await streams(natsOf(closed))).toBe(1);
  expect((await up(keys)).hasStartedSomething).toBe(false);
  expect((await linesOf(closed)).map(({ state }) => state)).toEqual(Array.from({ length: 13 }, () => "ready"));
  notes.length = 0;
  const again = await up();
  expect(notes).toContainEqual(expect.stringMatching(/^ending roles and NATS: INFER_AUTH is no longer keys/));
  expect(await streams(natsOf(again))).toBe(2);
  expect(natsOf(again).url).toBe(natsOf(open).url);
});

test("one process for all roles takes the place of several", { timeout: TIMEOUT_MS }, async () => {
  const several = await up();
  const one = await up({ isSingleProcess: true });
  expect(one.roles.map(({ name, addresses }) => [name, addresses.length])).toEqual([["all-in-one", 10]]);
  expect(several.roles.filter(({ process: identity }) => isRunning(identity))).toEqual([]);
});

test("a server whose note was lost is not left beside a second one on the same data", { timeout: TIMEOUT_MS }, async () => {
  const before = await up();
  const redis = before.servers.find(({ service }) => service === "redis");
  const state = readState(home.stateFile);
  writeState(home.stateFile, { ...state, servers: state.servers.filter(({ service }) => service !== "redis") });
  const after = await up();
  expect(redis?.process !== undefined && isRunning(redis.process)).toBe(false);
  expect(after.servers).toHaveLength(3);
});

test("a role that ends, and one that never gets ready, are named with their last words", { timeout: TIMEOUT_MS }, async () => {
  const broken = join(folder, "broken");
  const notReady = ROLE.replace("res.end(", "res.writeHead(503).end(").replace("{ pid:", `{ problems: ["no NATS"], pid:`);
  writeDist(broken, { router: 'console.error("cannot read the tier file"); process.exit(1);', "audit-sink": notReady });
  const failure = await up({ dist: broken, readyDeadlineMs: 3_000 }).then(() => "no failure", (err: unknown) => String(err));
  expect(failure).toMatch(/router \(pid \d+\) ended while starting\. The end of its log:\n {2}cannot read the tier file/);
  expect(failure).toMatch(/audit-sink is not ready: no NATS/);
  expect(failure).not.toContain("gateway");
  expect((await up()).hasStartedSomething).toBe(true);
});

test("a role is not taken for ready when another process answers at its port", { timeout: TIMEOUT_MS }, async () => {
  const elsewhere = join(folder, "elsewhere");
  writeDist(elsewhere, { router: ROLE.replace("{ pid:", "{ pid: 1 +") });
  await expect(up({ dist: elsewhere, readyDeadlineMs: 3_000 })).rejects.toThrow(/router is not ready: another process, with pid \d+, answers at this address/);
});

test.each([false, true])("what runs survives an up with a wrong value or without a key (one process: %s)", { timeout: TIMEOUT_MS }, async (isSingleProcess) => {
  const before = pidsOf(await up({ isSingleProcess }));
  const hosted = join(folder, "hosted.yaml");
  writeFileSync(hosted, readFileSync(join(home.project, "infra/config/tiers.hosted.yaml"), "utf8"));
  const changes: [Environment, RegExp][] = [
    [{ INFER_SHADOW_SHARE: "2", INFER_SHADOW_TIERS: "foo", INFER_AUDIT_BATCH_SIZE: "0" }, /INFER_SHADOW_SHARE: Too big[^]*INFER_SHADOW_TIERS: [^]*INFER_AUDIT_BATCH_SIZE: /],
    [{ INFER_EXPLORE_SHARE: "10%", LOG_LEVEL: "loud" }, /INFER_EXPLORE_SHARE: must be a number[^]*LOG_LEVEL: /],
    [{ INFER_HTTP_HOST: "0.0.0.0" }, /INFER_HTTP_HOST: without API keys the gateway listens on loopback only/],
    [{ INFER_GATEWAY_ADMIN_HOST: "0.0.0.0" }, /INFER_GATEWAY_ADMIN_HOST: without API keys the gateway is administrated from loopback only/],
    [{ INFER_TIERS_FILE: hosted }, /OPENAI_API_KEY: not set, and tier medium [^]*OPENAI_API_KEY: not set, and tier large /],
  ];
  for (const [changed, message] of changes) {
    const failed = up({ isSingleProcess, environment: { ...environment, ...changed } });
    await expect(failed).rejects.toMatchObject({ exitCode: 78, message: expect.stringMatching(message) as string, nextStep: expect.stringContaining("docs/configuration.md") as string });
  }
  await expect(up({ isSingleProcess, environment: { ...environment, NATS_URL: "nats://127.0.0.1:1" } })).rejects.toThrow(/NATS_URL/);
  await expect(up({ isSingleProcess, dist: join(folder, "nothing") })).rejects.toThrow(/does not exist/);
  const after = await up({ isSingleProcess });
  expect([after.hasStartedSomething, pidsOf(after)]).toEqual([false, before]);
});

test("up says which settings changed, and which are forgotten, and no values", { timeout: TIMEOUT_MS }, async () => {
  await up({ environment: { ...environment, INFER_SHADOW_SHARE: "0.125", LOG_LEVEL: "warn" } });
  notes.length = 0;
  const after = await up({ environment: { ...environment, LOG_LEVEL: "error" } });
  expect(after.hasStartedSomething).toBe(true);
  const said = notes.join("\n");
  expect(said).toMatch(/^ending gateway, .*: INFER_SHADOW_SHARE is no longer set, LOG_LEVEL changed$/m);
  expect(said).toMatch(/back to the default: INFER_SHADOW_SHARE\. Export/);
  expect(said).not.toMatch(/0\.125|warn/);
  expect(readFileSync(home.stateFile, "utf8")).not.toContain("0.125");
});

test("a misspelt variable is an error before anything starts", async () => {
  await expect(up({ environment: { ...environment, INFER_GATEWAY_PROT: "1", INFER_ROUTER_PORT: "x" } })).rejects.toMatchObject({ exitCode: 78, message: expect.stringMatching(/INFER_GATEWAY_PROT[^]*INFER_ROUTER_PORT/) as string });
});

test("logs are kept per process", () => {
  expect(readFileSync(join(home.logs, "redis.log"), "utf8")).toContain("Ready to accept connections");
});

async function setInRedis(result: UpResult, value: string): Promise<void> {
  await withRedis(result, (redis) => redis.set("k", value));
}
const getFromRedis = (result: UpResult): Promise<string | null> => withRedis(result, (redis) => redis.get("k"));
async function withRedis<T>({ servers }: UpResult, run: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(servers.find(({ service }) => service === "redis")?.url ?? "");
  try {
    return await run(redis);
  } finally {
    redis.disconnect();
  }
}
