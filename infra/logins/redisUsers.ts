/** The users of Redis as its ACL file has them, one a line. No password is in it. */
import { aclRules } from "#shared/redis/permissions.ts";

import { LOGINS, redisHash, userOf } from "./logins.ts";

export interface RedisUser {
  readonly user: string;
  /** As ACL SETUSER takes them. */
  readonly rules: readonly string[];
}
export const redisUsers = (prefix: string, passwordOf: (name: string) => string): RedisUser[] =>
  LOGINS.filter(({ redis }) => redis.length > 0).map((login) => ({ user: userOf("redis", login), rules: ["on", redisHash(passwordOf(login.name)), ...aclRules(login.redis, prefix)] }));

/** Of a server of our own: its owner is the default user, who may do everything and has a password. */
export const aclFile = (prefix: string, passwordOf: (name: string) => string): string =>
  [{ user: "default", rules: ["on", redisHash(passwordOf("owner")), "~*", "&*", "+@all"] }, ...redisUsers(prefix, passwordOf)].map(({ user, rules }) => `user ${user} ${rules.join(" ")}\n`).join("");
