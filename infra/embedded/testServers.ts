/**
 * Servers for tests. A suite shares one set (`startTestServers`, in vitest's global set-up); a test that kills a server
 * starts one of its own (`startTestServer`). Programs are shared with `make up` (`.infer/servers`), data never.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";

import type { ServerLogins } from "#infra/logins/ownLogins.ts";

import { anyFreePort } from "./freePort.ts";
import { type Environment, openHome } from "./homeFolder.ts";
import { loginUrl } from "./loginUrl.ts";
import type { RunningServer } from "./runningServer.ts";
import type { ServerBinary, ServiceName } from "./services.ts";
import { type NatsOptions, startNats } from "./startNats.ts";
import { createDatabase, startPostgres } from "./startPostgres.ts";
import { startRedis } from "./startRedis.ts";
import { makeRunFolder, type Servers, startServers } from "./startServers.ts";
import { locateBinary } from "./thisMachine.ts";

/** The name of every NATS server that is started for tests: check it before you write. */
export const TEST_SERVER_NAME = "infer-test";

export interface TestServerOptions extends Pick<NatsOptions, "durability" | "maxFileStoreBytes" | "users" | "cluster"> {
  /** Default: `TEST_SERVER_NAME`. Servers of a cluster need names of their own. */
  readonly serverName?: string | undefined;
  readonly environment?: Environment | undefined;
  /** Of Redis and Postgres. Missing: they are open. */
  readonly logins?: ServerLogins | undefined;
  /** Of the data; default: the folder of everything that the server has. It stays. */
  readonly dataIn?: string | undefined;
  /** Skips the look-up, about 20 ms. */
  readonly binary?: ServerBinary | undefined;
}

/** NATS, Redis and Postgres on free ports, with the database `infer`; 1.5-2 s. URLs in the environment are honoured. */
export function startTestServers(environment: Environment, onProgress?: (line: string) => void): Promise<Servers> {
  return startServers({ home: openHome(environment), environment, ports: "free", forTests: true, onProgress });
}

export type TestServer = RunningServer & { readonly remove: () => Promise<void> };

/**
 * One server of the test's own, on a free port with data in a temp folder. `kill`, `stop` and `restart` keep the data;
 * `remove` stops it and takes the folder away, as does the end of this process.
 */
export async function startTestServer(service: ServiceName, options: TestServerOptions = {}): Promise<TestServer> {
  const { environment = process.env, durability, maxFileStoreBytes, users, logins, cluster, dataIn, serverName = TEST_SERVER_NAME } = options;
  const home = openHome(environment);
  const binary = options.binary ?? (await locateBinary(service, { environment, home }));
  const folder = makeRunFolder(home);
  const start = { binary, port: await anyFreePort(), dataDir: join(dataIn ?? folder, service), logFile: join(folder, `${service}.log`), endsWithUs: { removes: folder } };
  const server = await startAs(service, { ...start, durability, maxFileStoreBytes, users, cluster, serverName }, logins).catch((err: unknown) => {
    rmSync(folder, { recursive: true, force: true });
    throw err;
  });
  const remove = async (): Promise<void> => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  return { ...server, remove };
}

/** Servers whose streams can have a copy on each; any of them answers for all. */
export async function startTestCluster(size: 3 | 5, options: Pick<TestServerOptions, "durability" | "maxFileStoreBytes"> = {}): Promise<TestServer[]> {
  const ports = await Promise.all(Array.from({ length: size }, anyFreePort));
  return Promise.all(ports.map((port, place) => startTestServer("nats", { ...options, serverName: `${TEST_SERVER_NAME}-${place + 1}`, cluster: { port, routePorts: ports.filter((other) => other !== port) } })));
}

async function startAs(service: ServiceName, options: NatsOptions, logins: ServerLogins | undefined): Promise<RunningServer> {
  if (service === "nats") return startNats(options);
  if (service === "redis") return startRedis({ ...options, logins: logins?.redis });
  const postgres = await startPostgres({ ...options, logins: logins?.postgres, withoutFsync: true });
  await createDatabase(loginUrl(postgres.info()));
  return postgres;
}
