/**
 * Before the integration and end-to-end tests: finds (or fetches, once) the servers' programs, and starts one Redis and
 * one Postgres that the test files share; each file takes a key prefix or a database of its own. A file that needs NATS
 * starts its own server: it takes 0.3 s, and stream names are fixed.
 */
import type { TestProject } from "vitest/node";

import { startTestServers } from "./embedded/testServers.ts";

declare module "vitest" {
  interface ProvidedContext {
    redisUrl: string;
    /** A database that tests must not write to: they make their own beside it. */
    adminDatabaseUrl: string;
  }
}

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const { urls, stop } = await startTestServers(process.env, (line) => { process.stderr.write(`  ${line}\n`); });
  project.provide("redisUrl", urls.REDIS_URL ?? "");
  project.provide("adminDatabaseUrl", urls.DATABASE_URL ?? "");
  return stop;
}
