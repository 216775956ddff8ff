/** What there is in NATS, Postgres and Redis, in numbers, so that a run that changes nothing can show it. */
import type { JetStreamManager } from "@nats-io/jetstream";
import type { Redis } from "ioredis";
import type { Pool } from "pg";

/** By name, as `stream COMPLETIONS, messages`. */
export type Stand = Readonly<Record<string, number>>;
export interface Watched {
  readonly jsm: JetStreamManager;
  readonly pool: Pool;
  readonly redis: Redis;
  /** What is counted elsewhere: calls of a backend, messages on live subjects. */
  readonly others: () => Stand;
}

export async function standOfAll({ jsm, pool, redis, others }: Watched): Promise<Stand> {
  return { ...(await standOfNats(jsm)), ...(await standOfPostgres(pool)), ...(await standOfRedis(redis)), ...others() };
}

/** What differs, in words. Pure. */
export const changes = (before: Stand, after: Stand): string[] =>
  [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => before[name] !== after[name]).map((name) => `${name}: ${before[name] ?? "none"} before, ${after[name] ?? "none"} after`);

/** Buckets are streams too. */
async function standOfNats(jsm: JetStreamManager): Promise<Stand> {
  const stand: Record<string, number> = {};
  for await (const { config, state } of jsm.streams.list()) {
    stand[`stream ${config.name}, messages`] = state.messages;
    stand[`stream ${config.name}, bytes`] = state.bytes;
    stand[`stream ${config.name}, last sequence`] = state.last_seq;
    stand[`stream ${config.name}, consumers`] = state.consumer_count;
  }
  const { streams, consumers, storage, memory } = await jsm.getAccountInfo();
  return { ...stand, "JetStream, streams": streams, "JetStream, consumers": consumers, "JetStream, bytes on disk": storage, "JetStream, bytes in memory": memory };
}

async function standOfPostgres(pool: Pool): Promise<Stand> {
  const stand: Record<string, number> = {};
  const { rows: tables } = await pool.query<{ name: string }>("SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1");
  for (const { name } of tables) stand[`table ${name}, rows`] = await numberOf(pool, `SELECT count(*) AS number FROM ${name}`);
  return { ...stand, "ledger, nano-dollars": await numberOf(pool, "SELECT coalesce(sum(cost_nano_usd), 0) AS number FROM ledger"), "ledger, nano-dollars charged": await numberOf(pool, "SELECT coalesce(sum(cost_nano_usd), 0) AS number FROM ledger WHERE is_charged") };
}
async function numberOf(pool: Pool, sql: string): Promise<number> {
  const { rows } = await pool.query<{ number: string }>(sql);
  return Number(rows[0]?.number);
}

async function standOfRedis(redis: Redis): Promise<Stand> {
  const connections = /total_connections_received:(\d+)/.exec(await redis.info("stats"))?.[1];
  return { "Redis, keys": await redis.dbsize(), "Redis, connections ever": Number(connections) };
}
