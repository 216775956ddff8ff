/**
 * Who may do what in Redis: the one list. The embedded server's ACL file and `inferctl logins` are made from it, and docs/security.md is (ADR 0028).
 * Scripts run with the rights of whoever calls them, so what they call is here too. Pure.
 */

/** Of those that use Redis. `admin`: who reads it for those who run the service, as `inferctl` does. */
export const REDIS_SERVICES = ["gateway", "router", "worker", "console", "admin"] as const;
export type RedisService = (typeof REDIS_SERVICES)[number];
export const redisUser = (service: string): string => `infer_${service}`;

/** What one part of the code does to its own keys, and to no other. */
export interface KeyRights {
  /** Of the keys, after INFER_PREFIX. */
  readonly area: "limit" | "latency" | "cache" | "ledger";
  readonly reads: boolean;
  readonly writes: boolean;
  readonly commands: readonly string[];
}

const LIMITS: KeyRights = { area: "limit", reads: true, writes: true, commands: ["eval", "evalsha", "get", "set"] };
const CACHE: KeyRights = { area: "cache", reads: true, writes: true, commands: ["eval", "get", "set", "pexpire", "del"] };
const LATENCIES_READ: KeyRights = { area: "latency", reads: true, writes: false, commands: ["lrange"] };
const LATENCIES_WRITTEN: KeyRights = { area: "latency", reads: true, writes: true, commands: ["lpush", "ltrim", "expire"] };
const BUDGETS_READ: KeyRights = { area: "ledger", reads: true, writes: false, commands: ["hget", "hmget", "zrange"] };
const BUDGETS: KeyRights = {
  area: "ledger", reads: true, writes: true,
  commands: ["eval", "evalsha", "hget", "hmget", "hexists", "hset", "hdel", "hincrby", "del", "expireat", "pexpireat", "zadd", "zrem", "zrange", "zrangebyscore", "sadd", "smembers"],
};

/** Commands that name no key. `info`: how much memory is free, and which server it is. `scan` shows names of keys of all kinds. */
const EVERYBODY = ["ping", "info", "select", "client|setname", "quit"] as const;
interface RedisRights {
  readonly keyless: readonly string[];
  readonly keys: readonly KeyRights[];
}
export const REDIS_RIGHTS: Readonly<Record<RedisService, RedisRights>> = {
  gateway: { keyless: [...EVERYBODY, "time"], keys: [LIMITS, CACHE] },
  router: { keyless: [...EVERYBODY, "time", "multi", "exec", "scan"], keys: [LIMITS, CACHE, LATENCIES_READ, BUDGETS] },
  worker: { keyless: [...EVERYBODY, "multi", "exec"], keys: [CACHE, LATENCIES_WRITTEN] },
  console: { keyless: [...EVERYBODY, "multi", "exec", "scan"], keys: [BUDGETS_READ] },
  admin: { keyless: [...EVERYBODY, "multi", "exec", "scan"], keys: [BUDGETS_READ] },
};

export const keyPattern = (prefix: string, { area }: Pick<KeyRights, "area">): string => `${prefix}:${area}:*`;

/** As ACL SETUSER takes them, after the password. Of several services, as one process has that runs them all, their rights together. */
export function aclRules(services: readonly RedisService[], prefix: string): string[] {
  const rights = services.map((service) => REDIS_RIGHTS[service]);
  const keyless = [...new Set(rights.flatMap((one) => one.keyless))].map((command) => `+${command}`);
  // A selector each: what is allowed on some keys is not on others.
  const selectors = [...new Set(rights.flatMap(({ keys }) => keys))].map((one) => {
    const access = one.writes ? "~" : "%R~";
    return `(-@all ${access}${keyPattern(prefix, one)} ${one.commands.map((command) => `+${command}`).join(" ")})`;
  });
  return ["resetkeys", "resetchannels", "-@all", ...keyless, ...selectors];
}
