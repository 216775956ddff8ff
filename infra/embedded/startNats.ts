/** A nats-server with JetStream on file storage, on 127.0.0.1 only. */
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { SERVICES_ACCOUNT } from "#infra/nats/serverUsers.ts";

import { STREAMS_GIB } from "#shared/messaging/topology.ts";

import { LOOPBACK } from "./freePort.ts";
import { replaceFile } from "./replaceFile.ts";
import { runServer, type RunningServer, type StartOptions } from "./runningServer.ts";

export interface NatsOptions extends StartOptions {
  /** `strict`: fsync before each ack, so that what is acked survives a power loss too. `fast` survives a crash of the process. */
  readonly durability?: "fast" | "strict" | undefined;
  /** Shown by every client as the server's name; a test checks it before it writes. */
  readonly serverName?: string | undefined;
  /** Bytes. The sum of all streams' `max_bytes` has to stay below it. */
  readonly maxFileStoreBytes?: number | undefined;
  /** One of several servers that hold copies of each other's streams. Clients learn only of the addresses that they were given. */
  readonly cluster?: { readonly port: number; readonly routePorts: readonly number[] } | undefined;
  /** Who may do what. Missing: whoever reaches the server may do everything. */
  readonly users?: NatsUsers | undefined;
}
export interface NatsUsers {
  /** As `serverUsers` makes it. */
  readonly config: string;
  /** Of `admin`, who asks whether the server answers. */
  readonly seedFile: string;
}

/** Beside the streams: buckets, consumers, and what a store needs for itself. */
const STORE_ROOM = 1.25;
export const fileStoreFor = (streamsGib: number): number => Math.ceil(streamsGib * STORE_ROOM + 1) * 2 ** 30;
const MAX_PAYLOAD_BYTES = 2 ** 20;

/** Throws a `SetupError` with the end of the log. 0.1-0.3 s. */
export async function startNats(options: NatsOptions): Promise<RunningServer> {
  const { binary, port, dataDir, logFile, endsWithUs, users } = options;
  mkdirSync(dataDir, { recursive: true });
  const configFile = join(dataDir, "nats.conf");
  writeFileSync(configFile, natsConfig(options));
  if (users !== undefined) replaceFile(usersFileIn(dataDir), users.config);
  keepStreams(storeIn(dataDir), users === undefined ? OPEN_ACCOUNT : SERVICES_ACCOUNT);
  const plan = {
    service: "nats", program: binary.path, args: ["--config", configFile], env: {}, url: `nats://${LOOPBACK}:${port}`,
    dataDir, logFile, endsWithUs, stopSignal: "SIGTERM", readyDeadlineMs: 60_000, seedFile: users?.seedFile,
  } as const;
  return runServer(plan, options);
}

const USERS_FILE = "users.conf";
/** What the server reads again at SIGHUP. */
export const usersFileIn = (dataDir: string): string => join(dataDir, USERS_FILE);
const storeIn = (dataDir: string): string => join(dataDir, "store");
/** Of a server without users. */
const OPEN_ACCOUNT = "$G";

/** Streams lie in a folder by account: they go along when users are asked for, and when no longer. */
function keepStreams(store: string, account: string): void {
  const [wanted, other] = [account, account === OPEN_ACCOUNT ? SERVICES_ACCOUNT : OPEN_ACCOUNT].map((name) => join(store, "jetstream", name));
  if (wanted !== undefined && other !== undefined && !existsSync(wanted) && existsSync(other)) renameSync(other, wanted);
}

/** JSON strings are valid in this format too, so a folder with a space or a quote is no problem. */
function natsConfig({ port, dataDir, durability = "fast", serverName = "infer", maxFileStoreBytes = fileStoreFor(STREAMS_GIB), cluster, users }: NatsOptions): string {
  return `# Written at every start by infra/embedded/startNats.ts. No monitoring port is opened.
host: "${LOOPBACK}"
port: ${port}
server_name: ${JSON.stringify(serverName)}
max_payload: ${MAX_PAYLOAD_BYTES}
jetstream {
  store_dir: ${JSON.stringify(storeIn(dataDir))}
  max_file_store: ${maxFileStoreBytes}
${durability === "strict" ? "  sync_interval: always\n" : ""}}
${cluster === undefined ? "" : `cluster {
  name: "infer"
  host: "${LOOPBACK}"
  port: ${cluster.port}
  no_advertise: true
  routes: ${JSON.stringify(cluster.routePorts.map((other) => `nats://${LOOPBACK}:${other}`))}
}
`}${users === undefined ? "" : `include ${JSON.stringify(USERS_FILE)}\n`}`;
}
