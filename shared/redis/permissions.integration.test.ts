/** Every user of Redis tries what it must not do, and does its work, on a server with the ACLs that are made for it. */
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";

import { startTestServer } from "#infra/embedded/testServers.ts";

import { aclRules, REDIS_SERVICES, type RedisService, redisUser } from "./permissions.ts";

let server: Awaited<ReturnType<typeof startTestServer>>;
let owner: Redis;
const users = new Map<RedisService, Redis>();

beforeAll(async () => {
  server = await startTestServer("redis");
  owner = new Redis(server.url);
  for (const service of REDIS_SERVICES) {
    await owner.call("ACL", "SETUSER", redisUser(service), "reset", "on", ">secret", ...aclRules([service], "infer"));
    users.set(service, new Redis(server.url, { username: redisUser(service), password: "secret", connectionName: "test" }));
  }
  await owner.set("infer:cache:{t1}:k", "v");
  await owner.set("infer:limit:{t1}:tenant:requests:t1", "1 1");
  await owner.hset("infer:ledger:{infer}:state", "epoch", "e");
  await owner.lpush("infer:latency:small", "1");
});
afterAll(async () => {
  for (const redis of [owner, ...users.values()]) redis.disconnect();
  await server.remove();
});
const call = (service: RedisService, line: string): Promise<unknown> => {
  const [command = "", ...rest] = line.split(" ");
  return users.get(service)?.call(command, ...rest) ?? Promise.reject(new Error("no such user"));
};

const DANGEROUS = ["FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET maxmemory", "CONFIG SET maxmemory 1", "SHUTDOWN NOSAVE", "ACL LIST", "ACL WHOAMI", "SCRIPT FLUSH", "SAVE", "REPLICAOF NO ONE", "MONITOR", "CLIENT KILL TYPE normal", "CLIENT LIST", "SUBSCRIBE a", "PUBLISH a b", "FUNCTION LIST", "MODULE LIST", "SWAPDB 0 1", "RANDOMKEY", "DUMP infer:cache:{t1}:k", "SORT infer:latency:small"];
it.each(REDIS_SERVICES.flatMap((service) => DANGEROUS.map((line) => [service, line] as const)))("%s may not %s", async (service, line) => {
  await expect(call(service, line)).rejects.toThrow(/^NOPERM/);
});

it.each<[RedisService, string]>([
  ["gateway", "GET other:key"], ["gateway", "GET infer:ledger:{infer}:state"], ["gateway", "HGET infer:ledger:{infer}:state epoch"], ["gateway", "LRANGE infer:latency:small 0 1"],
  ["gateway", "DEL infer:limit:{t1}:tenant:requests:t1"], ["gateway", "SCAN 0"], ["gateway", "EVAL return(redis.call('DEL',KEYS[1])) 1 infer:limit:{t1}:x"], ["gateway", "EVAL return(redis.call('GET','infer:ledger:x')) 0"],
  ["router", "GET other:key"], ["worker", "DEL infer:limit:{t1}:x"], ["admin", "DEL infer:limit:{t1}:x"], ["admin", "DEL infer:cache:{t1}:k"], ["router", "LPUSH infer:latency:small 1"], ["router", "DEL infer:latency:small"], ["router", "EVALSHA x 1 other:key"], ["router", "HSET infer:cache:{t1}:k a b"], ["router", "FLUSHDB"],
  ["worker", "GET infer:limit:{t1}:tenant:requests:t1"], ["worker", "HGET infer:ledger:{infer}:state epoch"], ["worker", "LRANGE infer:latency:small 0 1"], ["worker", "EVAL return(redis.call('HINCRBY',KEYS[1],'spent',-1)) 1 infer:ledger:{infer}:a"], ["worker", "SET infer:latency:small 1"],
  ["admin", "HSET infer:ledger:{infer}:state epoch f"], ["admin", "DEL infer:ledger:{infer}:state"], ["admin", "GET infer:cache:{t1}:k"], ["admin", "EVAL return(1) 0"],
])("%s may not %s", async (service, line) => {
  await expect(call(service, line)).rejects.toThrow(/NOPERM|user executing the script can/);
});

it.each<[RedisService, string, unknown]>([
  ["gateway", "GET infer:cache:{t1}:k", "v"], ["gateway", "EVAL return(redis.call('GET',KEYS[1])) 1 infer:cache:{t1}:k", "v"], ["gateway", "TIME", expect.anything()],
  ["router", "HGET infer:ledger:{infer}:state epoch", "e"], ["router", "LRANGE infer:latency:small 0 0", ["1"]], ["router", "SCAN 0 COUNT 1", expect.anything()],
  ["worker", "LPUSH infer:latency:small 2", 2], ["worker", "SET infer:cache:{t2}:k w", "OK"], ["admin", "HGET infer:ledger:{infer}:state epoch", "e"],
])("%s may %s", async (service, line, reply) => {
  expect(await call(service, line)).toEqual(reply);
});

it("one process that runs all of them has their rights together, and no more", async () => {
  await owner.call("ACL", "SETUSER", "infer_all", "reset", "on", ">secret", ...aclRules(["gateway", "router", "worker"], "infer"));
  const all = new Redis(server.url, { username: "infer_all", password: "secret" });
  expect([await all.get("infer:cache:{t1}:k"), await all.hget("infer:ledger:{infer}:state", "epoch"), (await all.lrange("infer:latency:small", 0, -1)).length > 0]).toEqual(["v", "e", true]);
  for (const [command, ...rest] of [["FLUSHALL"], ["KEYS", "*"], ["DEL", "infer:limit:{t1}:tenant:requests:t1"], ["GET", "other:key"]] as const) await expect(all.call(command, ...rest)).rejects.toThrow(/NOPERM/);
  all.disconnect();
});
