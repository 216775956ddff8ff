/**
 * All three servers at once: each given by a URL, or started here. With `forTests` they listen on free ports, keep their
 * data in a temp folder that `stop` removes, and end with this process. Otherwise they outlive it.
 */
import { mkdtempSync, chmodSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { ServerLogins } from "#infra/logins/ownLogins.ts";

import { anyFreePort, chooseFreePorts, isPortFree } from "./freePort.ts";
import { type Environment, folderFor, type Home, postgresUser, PROJECT_NAME } from "./homeFolder.ts";
import { loginUrl } from "./loginUrl.ts";
import type { RunningServer, StartOptions } from "./runningServer.ts";
import type { ServerInfo } from "./serverInfo.ts";
import { type Located, SERVICE_NAMES, type ServerBinary, type ServiceName, SERVICES } from "./services.ts";
import { SetupError } from "./setupError.ts";
import { fileStoreFor, type NatsUsers, startNats } from "./startNats.ts";
import { createDatabase, startPostgres } from "./startPostgres.ts";
import { startRedis } from "./startRedis.ts";
import { locateAll } from "./thisMachine.ts";

export interface StartServersOptions {
  readonly home: Home;
  readonly environment: Environment;
  /** `documented`: 4222, 6379, 5432, or a free one for each that is taken (`onProgress` says so). */
  readonly ports: "documented" | "free";
  readonly forTests: boolean;
  readonly durability?: "fast" | "strict" | undefined;
  /** What the streams of NATS may hold. */
  readonly streamsGib?: number | undefined;
  /** Of NATS. Missing: it is open. */
  readonly natsUsers?: NatsUsers | undefined;
  /** Of Redis and Postgres. Missing: they are open. */
  readonly logins?: ServerLogins | undefined;
  /** Only these; the rest is running already. */
  readonly only?: readonly ServiceName[] | undefined;
  readonly onProgress?: ((line: string) => void) | undefined;
  /** Where a server was before; tried ahead of the documented port, so that running roles find it again. */
  readonly formerPorts?: Partial<Record<ServiceName, number>> | undefined;
  /** Each server as soon as it has a process, or is given. */
  readonly onServer?: ((info: ServerInfo) => void) | undefined;
}

export interface Servers {
  readonly servers: ServerInfo[];
  /** The variables that the roles and the tests read. */
  readonly urls: Partial<Record<"NATS_URL" | "REDIS_URL" | "DATABASE_URL", string>>;
  /** Only what was started here; given servers are left alone. Safe to repeat. */
  readonly stop: () => Promise<void>;
}

/** Nothing stays running when one fails. The database that DATABASE_URL names exists afterwards. */
export async function startServers(options: StartServersOptions): Promise<Servers> {
  const { only = SERVICE_NAMES, forTests } = options;
  const located = await locateAll(only, { environment: options.environment, home: options.home, onProgress: options.onProgress });
  const folder = forTests ? makeRunFolder(options.home) : undefined;
  const results = await Promise.allSettled(located.map((one) => startOne(one, options, folder)));
  const started = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const stop = async (): Promise<void> => {
    await Promise.all(started.map(async ({ running }) => running?.stop()));
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  };
  const failure = results.find((result) => result.status === "rejected");
  if (failure !== undefined) {
    await stop();
    throw failure.reason;
  }
  return { servers: started.map(({ info }) => info()), urls: urlsOf(started.map(({ info }) => info())), stop };
}

interface Started {
  readonly info: () => ServerInfo;
  readonly running?: RunningServer;
}

export const urlsOf = (servers: readonly ServerInfo[]): Servers["urls"] => Object.fromEntries(servers.map(({ service, url }) => [SERVICES[service].urlVariable, url]));

async function startOne(located: Located, options: StartServersOptions, testFolder: string | undefined): Promise<Started> {
  if (located.provider === "url") {
    const { service, provider, version, url } = located;
    const info: ServerInfo = { service, provider, version, url, where: SERVICES[service].urlVariable };
    options.onServer?.(info);
    if (service === "postgres") await createDatabase(url);
    return { info: () => info };
  }
  const running = await startBinary(located, options, testFolder);
  try {
    if (located.service === "postgres") await createDatabase(loginUrl(running.info()));
  } catch (err) {
    await running.stop();
    throw err;
  }
  return { info: running.info, running };
}

/** A port that was free may be taken when the server binds it; another one is tried then. */
async function startBinary(binary: ServerBinary, options: StartServersOptions, testFolder: string | undefined): Promise<RunningServer> {
  for (let triesLeft = 3; ; triesLeft -= 1) {
    const port = await choosePort(binary.service, options);
    try {
      return await startOnPort(binary, port, options, testFolder);
    } catch (err) {
      const isPortTaken = err instanceof SetupError && /address already in use|could not bind/i.test(err.message);
      if (!isPortTaken || triesLeft === 1) throw err;
    }
  }
}

async function choosePort(service: ServiceName, { ports, formerPorts, onProgress }: StartServersOptions): Promise<number> {
  const former = formerPorts?.[service];
  if (former !== undefined && (await isPortFree(former))) return former;
  if (ports === "free") return anyFreePort();
  const { documentedPort, title } = SERVICES[service];
  const port = await chooseFreePorts(documentedPort, 1);
  if (port !== documentedPort) onProgress?.(`port ${documentedPort} is taken: ${title} listens on ${port}`);
  return port;
}

function startOnPort(binary: ServerBinary, port: number, options: StartServersOptions, testFolder: string | undefined): Promise<RunningServer> {
  const { home, durability, streamsGib, natsUsers, logins, onServer } = options;
  const { service } = binary;
  const start: StartOptions = {
    binary, port, onSpawn: onServer,
    dataDir: testFolder === undefined ? dataFolder(service, home) : join(testFolder, service),
    logFile: testFolder === undefined ? join(home.logs, `${service}.log`) : join(testFolder, `${service}.log`),
    endsWithUs: testFolder === undefined ? undefined : { removes: testFolder },
  };
  if (service === "nats") return startNats({ ...start, durability, ...(streamsGib === undefined ? {} : { maxFileStoreBytes: fileStoreFor(streamsGib) }), users: natsUsers, serverName: testFolder === undefined ? "infer" : "infer-test" });
  if (service === "redis") return startRedis({ ...start, logins: logins?.redis });
  return startPostgres({ ...start, logins: logins?.postgres, withoutFsync: testFolder !== undefined });
}

const dataFolder = (service: ServiceName, home: Home): string =>
  service === "postgres" ? join(folderFor(postgresUser(), join(home.data, "pg"), home, "data"), service) : join(home.data, service);

/** Open to all to pass through: Postgres may run as another user than we. */
export function makeRunFolder(home: Home): string {
  const parent = folderFor(postgresUser(), tmpdir(), home, "tmp");
  const folder = mkdtempSync(join(parent, `${PROJECT_NAME}-test-`));
  chmodSync(folder, 0o711);
  return folder;
}
