/** Logins at servers that somebody else runs: made there as their owner, and told to each service in a file of variables. */
import { join } from "node:path";

import { Redis } from "ioredis";

import { replaceFile } from "#infra/embedded/replaceFile.ts";
import { SetupError } from "#infra/embedded/setupError.ts";

import { ensurePassword, LOGINS, type LoginServer, passwordFile, userOf, withLogin } from "./logins.ts";
import { makePostgresLogins } from "./postgresLogins.ts";
import { redisUsers } from "./redisUsers.ts";

export interface GivenServers {
  /** As the owner of the tables, who may make roles. */
  readonly databaseUrl: string | undefined;
  /** As somebody who may use ACL. */
  readonly redisUrl: string | undefined;
}
export interface LoginFile {
  readonly name: string;
  readonly postgres: string | null;
  readonly redis: string | null;
  /** DATABASE_URL and REDIS_URL of the service. */
  readonly file: string;
}
export const loginFiles = (root: string): LoginFile[] =>
  LOGINS.map((login) => ({ name: login.name, postgres: login.database.length > 0 ? userOf("postgres", login) : null, redis: login.redis.length > 0 ? userOf("redis", login) : null, file: join(root, "logins", `${login.name}.env`) }));

const loginsOf = (server: LoginServer) => LOGINS.filter(({ database, redis }) => (server === "postgres" ? database : redis).length > 0);

/** New passwords for all. At servers of our own they take effect with `up`. */
export function renewPasswords(root: string): void {
  for (const server of ["postgres", "redis"] as const) for (const { name } of [{ name: "owner" }, ...loginsOf(server)]) ensurePassword(root, server, name, { anew: true });
}

/** Resolves to whether Redis keeps its users when it is restarted. Safe to repeat. Throws a `SetupError`. */
export async function makeGivenLogins(root: string, prefix: string, { databaseUrl, redisUrl }: GivenServers): Promise<{ readonly isRedisKept: boolean }> {
  if (databaseUrl !== undefined) await makePostgresLogins(databaseUrl, (name) => ensurePassword(root, "postgres", name));
  const isRedisKept = redisUrl === undefined || (await makeRedisUsers(root, redisUrl, prefix));
  for (const login of LOGINS) {
    const lines = [
      ...(databaseUrl === undefined || login.database.length === 0 ? [] : [`DATABASE_URL=${withLogin(databaseUrl, userOf("postgres", login), ensurePassword(root, "postgres", login.name))}`]),
      ...(redisUrl === undefined || login.redis.length === 0 ? [] : [`REDIS_URL=${withLogin(redisUrl, userOf("redis", login), ensurePassword(root, "redis", login.name))}`]),
    ];
    if (lines.length > 0) replaceFile(join(root, "logins", `${login.name}.env`), `${lines.join("\n")}\n`);
  }
  return { isRedisKept };
}

export const redisAclFile = (root: string): string => join(root, "logins", "redis-users.acl");

async function makeRedisUsers(root: string, url: string, prefix: string): Promise<boolean> {
  const users = redisUsers(prefix, (name) => ensurePassword(root, "redis", name));
  replaceFile(redisAclFile(root), users.map(({ user, rules }) => `user ${user} ${rules.join(" ")}\n`).join(""));
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0, connectTimeout: 5_000, commandTimeout: 5_000 });
  const said: Error[] = [];
  redis.on("error", (error) => { said.push(error); }); // why it does not connect
  try {
    await redis.connect();
    for (const { user, rules } of users) await redis.call("ACL", "SETUSER", user, "reset", ...rules);
    return await redis.call("ACL", "SAVE").then(() => true, () => false); // it has no ACL file
  } catch (error) {
    const reason = said[0] ?? error;
    throw new SetupError(`users of Redis: ${reason instanceof Error ? reason.message : String(reason)}`, "Run it as a user who may use ACL: REDIS_URL names it.", { cause: error });
  } finally {
    redis.disconnect();
  }
}

export const passwordFiles = (root: string, { name, postgres, redis }: LoginFile): string[] =>
  [...(postgres === null ? [] : [passwordFile(root, "postgres", name)]), ...(redis === null ? [] : [passwordFile(root, "redis", name)])];
