import { SERVICES } from "#infra/embedded/services.ts";
import { isAtLeast } from "#infra/embedded/serverVersion.ts";

import type { Place } from "../../place.ts";
import { type Check, type Finding, ok, problem, warning } from "../finding.ts";

/** Fields of INFO by their names. */
export type RedisInfo = ReadonlyMap<string, string>;

export const redis: Check<Place> = {
  title: "Redis",
  run: async (place) => {
    const opened = await place.redis().catch((error: unknown) => error as Error);
    if (opened instanceof Error) return [problem(opened.message, "Start it (inferctl up), or correct REDIS_URL. Requests without limits and budgets run without it.")];
    return judgeRedis(readInfo(await opened.redis.info()), opened.url);
  },
};

export const readInfo = (text: string): RedisInfo => new Map(text.split(/\r?\n/).flatMap((line) => {
  const [, name, value] = /^([a-z_0-9]+):(.*)$/.exec(line) ?? [];
  return name === undefined || value === undefined ? [] : [[name, value] as const];
}));

const FILLING_SHARE = 0.7, FULL_SHARE = 0.9;

export function judgeRedis(info: RedisInfo, url: string): Finding[] {
  const text = (name: string): string => info.get(name) ?? "unknown";
  const [version, policy, most, used] = [text("redis_version"), text("maxmemory_policy"), Number(info.get("maxmemory") ?? 0), Number(info.get("used_memory") ?? 0)];
  const share = most > 0 ? used / most : 0;
  const memory = most > 0 ? `${(100 * share).toFixed(0)} % of ${(most / 1024 ** 2).toFixed(0)} MiB used` : "no limit of memory";
  return [
    isAtLeast(version, SERVICES.redis.minimumVersion) ? ok(`Redis ${version} at ${url}, ${policy}, ${memory}`) : problem(`Redis ${version} at ${url} is too old: ${SERVICES.redis.minimumVersion} or newer is needed`, "Install a newer Redis, on the same data."),
    ...(policy === "noeviction" ? [] : [problem(`maxmemory-policy is ${policy}: budgets and limits may be thrown away when memory is short`, "Set it: redis-cli CONFIG SET maxmemory-policy noeviction, and in its configuration file.")]),
    ...(most > 0 ? [] : [warning("it has no limit of memory (maxmemory), and may take all of the machine's", "Set maxmemory, as 256mb, in its configuration file.")]),
    ...(share < FILLING_SHARE ? [] : [(share < FULL_SHARE ? warning : problem)(memory, "Give it more maxmemory; docs/cache.md says what takes room in it.")]),
    ...(info.get("aof_enabled") === "1" ? [] : [warning("it keeps no append-only file: what limits and budgets counted is lost when it ends, and looked up anew", "Set it: redis-cli CONFIG SET appendonly yes, and in its configuration file.")]),
    ...(info.get("aof_enabled") === "1" && info.get("aof_last_write_status") === "err" ? [problem("it cannot write its append-only file", "Look at its log, and whether its disk is full.")] : []),
    ...(info.get("loading") === "1" ? [warning("it is loading its data", "Wait until it has.")] : []),
  ];
}
