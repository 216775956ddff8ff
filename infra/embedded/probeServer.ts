/** Asks a running server for its version, through the client that the roles use. */
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, nkeyAuthenticator } from "@nats-io/transport-node";
import { Redis } from "ioredis";
import pg from "pg";
import { z } from "zod";

import type { NatsLogin } from "./natsLogin.ts";
import { parseVersion } from "./serverVersion.ts";
import type { ServiceName } from "./services.ts";

const TIMEOUT_MS = 3_000;

/** Throws when it does not answer, refuses the login, or cannot do the work (NATS without JetStream). */
export async function probeServer(service: ServiceName, url: string, login?: NatsLogin): Promise<string> {
  const printed = await PROBES[service](url, login);
  const version = parseVersion(printed);
  if (version === undefined) throw new Error(`cannot read a version from "${printed}"`);
  return version;
}

/** The same server, another database. */
export function withDatabase(url: string, database: string): string {
  const other = new URL(url);
  other.pathname = `/${database}`;
  return other.href;
}

/** Postgres error codes, e.g. `3D000`: the database does not exist. */
export const pgCodeOf = (err: unknown): string | undefined => z.object({ code: z.string() }).safeParse(err).data?.code;

const PROBES: Record<ServiceName, (url: string, login?: NatsLogin) => Promise<string>> = {
  nats: async (url, given) => {
    const { host, protocol, username, password } = new URL(url);
    const nkey = given === undefined ? {} : { authenticator: nkeyAuthenticator(new TextEncoder().encode(given.nkeySeed)), inboxPrefix: given.inboxPrefix };
    const login = username === "" ? nkey : { user: decodeURIComponent(username), pass: decodeURIComponent(password) };
    const nats = await connect({ servers: `${protocol}//${host}`, ...login, timeout: TIMEOUT_MS, reconnect: false });
    try {
      await jetstreamManager(nats, { timeout: TIMEOUT_MS }); // throws without JetStream
      return nats.info?.version ?? "";
    } finally {
      await nats.close();
    }
  },
  redis: async (url) => {
    const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null, connectTimeout: TIMEOUT_MS, maxRetriesPerRequest: 0 });
    redis.on("error", () => undefined); // `connect` rejects with it
    try {
      await redis.connect();
      return /redis_version:(\S+)/.exec(await redis.info("server"))?.[1] ?? "";
    } finally {
      redis.disconnect();
    }
  },
  postgres: async (url) => {
    try {
      return await postgresVersion(url);
    } catch (err) {
      if (pgCodeOf(err) !== "3D000") throw err;
      return await postgresVersion(withDatabase(url, "postgres")); // `createDatabase` has yet to run
    }
  },
};

async function postgresVersion(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: TIMEOUT_MS, query_timeout: TIMEOUT_MS });
  client.on("error", () => undefined); // `connect` and `query` reject with it
  try {
    await client.connect();
    const { rows } = await client.query<{ server_version: string }>("SHOW server_version");
    return rows[0]?.server_version ?? "";
  } finally {
    await client.end().catch(() => undefined);
  }
}
