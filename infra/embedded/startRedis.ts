/** A redis-server with an append-only file, on 127.0.0.1 only. */
import { mkdirSync } from "node:fs";

import type { ServerLogins } from "#infra/logins/ownLogins.ts";

import { LOOPBACK } from "./freePort.ts";
import { runServer, type RunningServer, type StartOptions } from "./runningServer.ts";

/** Budget counters must not vanish: when it is full, Redis refuses writes instead of evicting. */
const MAX_MEMORY = "256mb";

export interface RedisOptions extends StartOptions {
  /** Its users, and the password of its owner. Missing: whoever reaches it may do everything. */
  readonly logins?: ServerLogins["redis"] | undefined;
}

/** Throws a `SetupError` with the end of the log. */
export async function startRedis(options: RedisOptions): Promise<RunningServer> {
  const { binary, port, dataDir, logFile, endsWithUs, logins } = options;
  mkdirSync(dataDir, { recursive: true });
  const settings = {
    port, bind: LOOPBACK, dir: dataDir, daemonize: "no", appendonly: "yes", appendfsync: "everysec", save: "",
    maxmemory: MAX_MEMORY, "maxmemory-policy": "noeviction",
    ...(logins === undefined ? {} : { aclfile: logins.aclFile }),
  };
  const plan = {
    service: "redis", program: binary.path, args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]),
    env: binary.libraryPath === undefined ? {} : { LD_LIBRARY_PATH: binary.libraryPath }, url: `redis://${LOOPBACK}:${port}`,
    dataDir, logFile, endsWithUs, stopSignal: "SIGTERM", readyDeadlineMs: 60_000, passwordFile: logins?.passwordFile,
  } as const;
  return runServer(plan, options);
}
