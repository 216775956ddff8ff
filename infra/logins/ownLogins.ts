/** The logins of the Postgres and the Redis that `up` starts here, where INFER_AUTH is `keys`. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { Redis } from "ioredis";

import type { Home } from "#infra/embedded/homeFolder.ts";
import { loginUrl } from "#infra/embedded/loginUrl.ts";
import { isRunning } from "#infra/embedded/processIdentity.ts";
import { replaceFile } from "#infra/embedded/replaceFile.ts";
import type { PlannedProcess } from "#infra/embedded/roles.ts";
import type { ServerInfo } from "#infra/embedded/serverInfo.ts";
import { SERVICES } from "#infra/embedded/services.ts";

import { ensurePassword, loginOf, type LoginServer, passwordFile, scramVerifier, userOf, withLogin } from "./logins.ts";
import { makePostgresLogins } from "./postgresLogins.ts";
import { aclFile } from "./redisUsers.ts";

/** What the servers are started with. */
export interface ServerLogins {
  readonly postgres: { readonly passwordFile: string; /** What it keeps of its owner's password. */ readonly verifier: () => string };
  readonly redis: { readonly passwordFile: string; readonly aclFile: string };
}

const passwordsIn = (root: string, server: LoginServer) => (name: string): string => ensurePassword(root, server, name);

/** Makes passwords that are missing, and the file that Redis reads. A Redis that runs reads it again when it changed. */
export async function ownLogins({ root }: Pick<Home, "root">, prefix: string, running: readonly ServerInfo[]): Promise<ServerLogins> {
  const file = join(root, "logins", "redis.acl");
  const text = aclFile(prefix, passwordsIn(root, "redis"));
  const redis = running.find((server) => server.service === "redis" && server.passwordFile !== undefined && server.process !== undefined && isRunning(server.process));
  if (!existsSync(file) || readFileSync(file, "utf8") !== text) {
    replaceFile(file, text);
    if (redis !== undefined) await reload(loginUrl(redis)).catch(() => undefined); // it does not answer, and is started again
  }
  return {
    postgres: { passwordFile: passwordFile(root, "postgres", "owner"), verifier: () => scramVerifier(ensurePassword(root, "postgres", "owner")) },
    redis: { passwordFile: passwordFile(root, "redis", "owner"), aclFile: file },
  };
}

async function reload(url: string): Promise<void> {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0, connectTimeout: 3_000, commandTimeout: 3_000 });
  redis.on("error", () => undefined); // `connect` rejects with it
  try {
    await redis.connect();
    await redis.call("ACL", "LOAD");
  } finally {
    redis.disconnect();
  }
}

/** Once the services' roles are there. */
export async function makeOwnPostgresLogins({ root }: Pick<Home, "root">, servers: readonly ServerInfo[]): Promise<void> {
  const postgres = servers.find((server) => server.service === "postgres" && server.passwordFile !== undefined);
  if (postgres !== undefined) await makePostgresLogins(loginUrl(postgres), passwordsIn(root, "postgres"));
}

/** Each process gets its own login alone, at the servers that ask for one. */
export const withLogins = (plans: readonly PlannedProcess[], { root }: Pick<Home, "root">, servers: readonly ServerInfo[]): PlannedProcess[] =>
  plans.map((plan) => {
    const login = loginOf(plan.name);
    const env = Object.fromEntries(servers.flatMap(({ service, url, passwordFile: asks }) => {
      if (asks === undefined || service === "nats") return [];
      const has = service === "postgres" ? login?.database : login?.redis;
      const { urlVariable } = SERVICES[service];
      return login === undefined || has === undefined || has.length === 0 ? [] : [[urlVariable, withLogin(url, userOf(service, login), ensurePassword(root, service, login.name))]];
    }));
    return { ...plan, env: { ...plan.env, ...env } };
  });

/** Tells logins from others, and nothing of them. `null`: none are asked for. */
export function loginsHash(plans: readonly PlannedProcess[], servers: readonly ServerInfo[]): string | null {
  if (servers.every(({ passwordFile: asks }) => asks === undefined)) return null;
  return createHash("sha256").update(JSON.stringify(plans.map(({ name, env }) => [name, env["DATABASE_URL"], env["REDIS_URL"]]))).digest("hex").slice(0, 16);
}
