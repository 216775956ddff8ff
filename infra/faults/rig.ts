/**
 * The real system for fault tests: NATS, Redis, Postgres, two gateways, two routers, two workers for each of two tiers and an audit sink, each a process,
 * with a fault proxy on every way between them. Processes are addressed by name: `gateway-1`, `router-2`, `worker-cheap-1`, `audit-sink`, `nats`.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Redis } from "ioredis";

import { type Audit, type Broker, connectBroker, openAudit } from "#infra/e2e/callers.ts";
import { type TestTier, writeTierFile } from "#infra/e2e/tierFile.ts";
import { chooseFreePorts, LOOPBACK } from "#infra/embedded/freePort.ts";
import { projectFolder } from "#infra/embedded/homeFolder.ts";
import { signalProcess } from "#infra/embedded/processIdentity.ts";
import { startTestCluster, startTestServer, type TestServer } from "#infra/embedded/testServers.ts";
import { migrateDatabase } from "#shared/db/migrate.ts";
import { makePool } from "#shared/db/pool.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { createTenant } from "#shared/tenancy/tenants.ts";

import { type FaultyBackend, startFaultyBackend } from "./backend.ts";
import { mountPowerDisk, type PowerDisk } from "./powerDisk.ts";
import { type FaultProxy, startFaultProxy } from "./proxy.ts";
import { type Exit, makeRoleProcess, type RolePlan, type RoleProcess } from "./roleProcess.ts";
import { mountSmallDisk, type SmallDisk } from "./smallDisk.ts";

/** `nats-2` and `nats-3`: of a cluster. */
const NATS_NAMES = ["nats", "nats-2", "nats-3"] as const;
type NatsName = (typeof NATS_NAMES)[number];
export type ServerName = NatsName | "redis" | "postgres";
/** `logs`: of the roles' log files. */
export type DiskName = "nats" | "postgres" | "logs";
/** What a proxy leads to. `gateway-1` and `gateway-2` are reached by `client` alone. */
export type Target = ServerName | "backend" | `gateway-${number}`;

export interface RigOptions {
  /** In [0, 1), seeded. */
  readonly random: () => number;
  readonly durability?: "fast" | "strict";
  readonly maxFileStoreBytes?: number;
  /** NATS is three servers, each with a copy of every stream. */
  readonly isReplicated?: boolean;
  /** Default: `cheap` and `dear`, two workers each. */
  readonly tiers?: readonly TestTier[];
  readonly workersPerTier?: number;
  /** Disks of their own, which can be filled: bytes. `whyNoSmallDisk` says where that cannot be. */
  readonly smallDisks?: Partial<Readonly<Record<DiskName, number>>>;
  /** NATS has a disk that can lose its power: bytes. `whyNoPowerDisk` says where that cannot be. */
  readonly powerDiskBytes?: number;
  /** Of every role. */
  readonly env?: Readonly<Record<string, string>>;
}
export interface Rig {
  readonly folder: string;
  readonly backend: FaultyBackend;
  readonly server: (name: ServerName) => TestServer;
  readonly serverNames: readonly ServerName[];
  /** One that was asked for. */
  readonly disk: (name: DiskName) => SmallDisk;
  /** Of NATS, where it was asked for. */
  readonly powerDisk: () => PowerDisk;
  /** As `start`, `ready` and so on, by name. */
  readonly role: (name: string) => RoleProcess;
  /** Names of roles, in the order in which they are started; of one kind where it is named, as `router`. */
  readonly roles: (kind?: string) => readonly string[];
  /** Between a process, or `client`, and what it speaks to. All workers share one to the backend: `workers`. */
  readonly proxy: (from: string, to: Target) => FaultProxy;
  readonly proxies: (to?: Target) => readonly FaultProxy[];
  /** Of the gateways, behind their proxies. */
  readonly gatewayUrls: readonly string[];
  /** Of NATS, behind the clients' proxy. */
  readonly natsUrl: string;
  /** Sends a signal to a role or a server; of a server SIGKILL and SIGTERM wait for its end. */
  readonly signal: (name: string, signal: NodeJS.Signals) => Promise<void>;
  /** Kills it, if it runs, and starts it; waits until it is ready. `failpoint`: INFER_FAILPOINT of the new process. */
  readonly restart: (name: string, options?: { readonly failpoint?: string; readonly env?: Readonly<Record<string, string>>; readonly how?: "SIGKILL" | "SIGTERM" }) => Promise<void>;
  /** Takes all faults away and starts whatever does not run; waits until all are ready. */
  readonly heal: () => Promise<void>;
  /** How processes have ended, in order. Cleared by whoever has read it. */
  readonly exits: Exit[];
  /** Most bytes of each role since the last call. */
  readonly takePeakRss: () => Record<string, number>;
  /** Of us, past all proxies. */
  readonly broker: Broker;
  readonly audit: Audit;
  readonly redis: Redis;
  readonly close: () => Promise<void>;
}

export const TENANTS = ["t1", "t2", "t3", "t4", "t5"] as const;
/** The others have none. Far more than they spend: what is looked at is whether the books agree. */
export const BUDGETED: readonly string[] = TENANTS.slice(0, 3);
const BUDGET_USD = 10_000;
const TIERS: readonly TestTier[] = [{ name: "cheap", slots: 16 }, { name: "dear", slots: 16 }];
export const PREFIX = "infer";
const RSS_EVERY_MS = 500;
const COMPLETIONS_MAX_AGE_MS = 86_400_000;

export async function startRig({ random, durability = "fast", maxFileStoreBytes, isReplicated = false, tiers = TIERS, workersPerTier = 2, smallDisks = {}, powerDiskBytes, env = {} }: RigOptions): Promise<Rig> {
  const project = projectFolder();
  const dist = join(project, "dist");
  if (!existsSync(join(dist, "router.js"))) throw new Error(`${dist} has no build: run \`npm run build\` first`);
  const folder = mkdtempSync(join(tmpdir(), "infer-faults-"));
  mkdirSync(join(folder, "logs"));
  chmodSync(folder, 0o711); // Postgres may run as another user than we
  const closers: (() => unknown)[] = [() => { rmSync(folder, { recursive: true, force: true }); }];
  const close = async () => { for (const one of closers.splice(0).reverse()) await one(); };
  try {
    const disks = new Map<DiskName, SmallDisk>();
    for (const [name, bytes] of Object.entries(smallDisks) as [DiskName, number][]) {
      const disk = mountSmallDisk(join(folder, name === "logs" ? "logs" : `${name}-disk`), bytes);
      disks.set(name, disk);
      closers.push(() => { disk.unmount(); });
    }
    const powerDisk = powerDiskBytes === undefined ? null : mountPowerDisk(join(folder, "power-disk"), powerDiskBytes);
    closers.push(() => powerDisk?.unmount());
    const dataIn = (name: DiskName) => disks.get(name)?.folder ?? (name === "nats" ? powerDisk?.folder : undefined);
    const startedNats = isReplicated ? startTestCluster(3, { durability, maxFileStoreBytes }) : startTestServer("nats", { durability, maxFileStoreBytes, dataIn: dataIn("nats") }).then((one) => [one]);
    const [natsServers, redis, postgres] = await Promise.all([startedNats, startTestServer("redis"), startTestServer("postgres", { dataIn: dataIn("postgres") })]);
    powerDisk?.sync(); // its configuration, which is no message
    const servers = new Map<ServerName, TestServer>([...natsServers.map((one, place) => [NATS_NAMES[place] ?? missing("NATS server"), one] as const), ["redis", redis], ["postgres", postgres]]);
    const natsNames = NATS_NAMES.filter((name) => servers.has(name));
    const natsUrls = natsServers.map(({ url }) => url).join(",");
    closers.push(() => Promise.all([...servers.values()].map((one) => one.remove())));
    const backend = await startFaultyBackend();
    closers.push(() => backend.close());
    await prepare({ natsUrls, postgresUrl: postgres.url, replicas: isReplicated ? 3 : 1 }, tiers);

    const server = (name: ServerName) => servers.get(name) ?? missing(name);
    const proxies = new Map<string, { readonly to: Target; readonly proxy: FaultProxy }>();
    const addProxy = async (from: string, to: Target, target: number): Promise<number> => {
      const proxy = await startFaultProxy({ target: () => target, random });
      proxies.set(`${from}>${to}`, { to, proxy });
      closers.push(() => proxy.close());
      return proxy.port;
    };
    const tierFile = writeTierFile(join(folder, "tiers.json"), `http://${LOOPBACK}:${await addProxy("workers", "backend", backend.port)}/v1`, tiers);
    const addNatsProxies = async (from: string): Promise<string> => {
      const urls: string[] = [];
      for (const name of natsNames) urls.push(`nats://${LOOPBACK}:${await addProxy(from, name, server(name).port)}`);
      return urls.join(",");
    };
    const exits: Exit[] = [];
    const roles = new Map<string, RoleProcess>();
    const gatewayUrls: string[] = [];
    const planned = planRoles(tiers, workersPerTier);
    const firstPort = await chooseFreePorts(20_000 + Math.floor(Math.random() * 12_000), planned.length); // below those that the system gives to connections
    for (const [i, { name, program, portVariable, more = {}, portOffset = 0 }] of planned.entries()) {
      const port = firstPort + i;
      const plan: RolePlan = {
        name, program: join(dist, `${program}.js`), cwd: project, url: `http://${LOOPBACK}:${port}`, logFile: join(folder, "logs", `${name}.log`),
        env: {
          ...handedOn(), INFER_TIERS_FILE: tierFile, INFER_RECONCILE_EVERY_S: "0", INFER_EXPLORE_SHARE: "0", INFER_GATEWAY_ADMIN_PORT: "0", ...env, ...more, [portVariable]: String(port - portOffset),
          NATS_URL: await addNatsProxies(name),
          REDIS_URL: `redis://${LOOPBACK}:${await addProxy(name, "redis", redis.port)}`,
          DATABASE_URL: postgres.url.replace(`:${postgres.port}/`, `:${await addProxy(name, "postgres", postgres.port)}/`),
        },
      };
      roles.set(name, makeRoleProcess(plan, (exit) => void exits.push(exit)));
      if (program === "gateway") gatewayUrls.push(`http://${LOOPBACK}:${await addProxy("client", name as Target, port)}`);
    }
    const natsUrl = await addNatsProxies("client");
    const all = [...roles.values()];
    closers.push(async () => {
      for (const role of all) for (const signal of ["SIGKILL", "SIGCONT"] as const) role.signal(signal);
      await Promise.all(all.map((role) => role.ended()));
    });
    const killAll = () => { for (const role of all) role.signal("SIGKILL"); };
    process.once("exit", killAll);
    closers.push(() => process.off("exit", killAll));

    const broker = await connectBroker(natsUrls);
    closers.push(() => broker.close().catch(() => broker.nats.close()));
    const audit = openAudit(postgres.url);
    closers.push(() => audit.close());
    const ownRedis = new Redis(redis.url);
    ownRedis.on("error", () => undefined); // it is killed on purpose
    closers.push(() => { ownRedis.disconnect(); });
    let peaks: Record<string, number> = {};
    const sampler = setInterval(() => {
      for (const { plan: { name }, rssBytes } of all) peaks[name] = Math.max(peaks[name] ?? 0, rssBytes());
    }, RSS_EVERY_MS);
    closers.push(() => { clearInterval(sampler); });

    const role = (name: string) => roles.get(name) ?? missing(name);
    const restart: Rig["restart"] = async (name, { failpoint, env: more = {}, how = "SIGKILL" } = {}) => {
      if (isServer(name)) return server(name).restart();
      const one = role(name);
      one.signal(how);
      await one.ended();
      one.start({ ...more, ...(failpoint === undefined ? {} : { INFER_FAILPOINT: failpoint }) });
      await one.ready();
    };
    const rig: Rig = {
      folder, backend, server, serverNames: [...servers.keys()], disk: (name) => disks.get(name) ?? missing(`disk of ${name}`), powerDisk: () => powerDisk ?? missing("disk that can lose its power"), role, gatewayUrls, natsUrl, exits, broker, audit, redis: ownRedis, close, restart,
      roles: (kind) => [...roles.keys()].filter((name) => kind === undefined || name === kind || name.startsWith(`${kind}-`)),
      proxy: (from, to) => proxies.get(`${from}>${to}`)?.proxy ?? missing(`proxy from ${from} to ${to}`),
      proxies: (to) => [...proxies.values()].filter((one) => to === undefined || one.to === to).map(({ proxy }) => proxy),
      async signal(name, signal) {
        if (!isServer(name)) { role(name).signal(signal); return; }
        if (signal === "SIGKILL") await server(name).kill();
        else if (signal === "SIGTERM") await server(name).stop();
        else signalProcess(server(name).info().process ?? missing(name), signal);
      },
      async heal() {
        backend.heal();
        for (const disk of disks.values()) disk.free();
        for (const { proxy } of proxies.values()) proxy.heal();
        await Promise.all([...servers.values()].map(async (one) => {
          const { process: identity } = one.info();
          if (identity === undefined || !signalProcess(identity, "SIGCONT")) await one.restart();
        }));
        for (const one of all) {
          one.signal("SIGCONT");
          one.start();
        }
        await Promise.all(all.map((one) => one.ready()));
      },
      takePeakRss() {
        const taken = peaks;
        peaks = {};
        return taken;
      },
    };
    await rig.heal();
    return rig;
  } catch (error) {
    await close();
    throw error;
  }
}

const isServer = (name: string): name is ServerName => [...NATS_NAMES, "redis", "postgres"].includes(name);
function missing(name: string): never {
  throw new Error(`this system has no ${name}`);
}
const handedOn = (): Record<string, string> => Object.fromEntries(["PATH", "HOME", "LANG"].flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));

interface Planned {
  readonly name: string;
  readonly program: string;
  readonly portVariable: string;
  /** Of a worker: the variable names the first tier's port. */
  readonly portOffset?: number;
  readonly more?: Readonly<Record<string, string>>;
}
function planRoles(tiers: readonly TestTier[], workersPerTier: number): Planned[] {
  const both = [1, 2];
  const workers = tiers.flatMap((tier, place) => Array.from({ length: workersPerTier }, (_, i): Planned => ({
    name: `worker-${tier.name}-${i + 1}`, program: "worker", portVariable: "INFER_WORKER_PORT", portOffset: place, more: { INFER_WORKER_TIER: tier.name },
  })));
  return [
    ...both.map((n) => ({ name: `gateway-${n}`, program: "gateway", portVariable: "INFER_GATEWAY_PORT" })),
    ...both.map((n) => ({ name: `router-${n}`, program: "router", portVariable: "INFER_ROUTER_PORT" })),
    ...workers,
    { name: "audit-sink", program: "audit-sink", portVariable: "INFER_AUDIT_SINK_PORT" },
  ];
}

async function prepare({ natsUrls, postgresUrl, replicas }: { readonly natsUrls: string; readonly postgresUrl: string; readonly replicas: 1 | 3 }, tiers: readonly TestTier[]): Promise<void> {
  const nats = await connectNats({ url: natsUrls, name: "faults" });
  await ensureTopology(nats, { prefix: PREFIX, tiers: tiers.map(({ name, slots = 8 }) => ({ name, slots })), completionsMaxAgeMs: COMPLETIONS_MAX_AGE_MS, replicas }).finally(() => nats.close());
  await migrateDatabase(postgresUrl);
  const pool = makePool(postgresUrl, "faults", () => undefined);
  try {
    for (const tenant of TENANTS) {
      const settings = BUDGETED.includes(tenant) ? { budgets: { time_zone: "UTC", tenant: { month: { usd: BUDGET_USD, kind: "hard" as const } }, user: {}, key: {} } } : {};
      await createTenant({ pool, tenantId: null }, { kind: "inferctl" }, { tenant_id: tenant, settings });
    }
  } finally {
    await pool.end();
  }
}
