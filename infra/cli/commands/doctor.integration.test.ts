/** `inferctl doctor` against a NATS server, a Redis and a database of its own: what is right, and what is broken on purpose. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { Pool } from "pg";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { writeTierFile } from "#infra/e2e/tierFile.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { ensureConsumer } from "#shared/messaging/ensureTopology.ts";
import { sourcesOf } from "#shared/messaging/topology.ts";

import { callInferctl } from "../callInferctl.ts";
import type { CheckedFinding } from "../doctor/finding.ts";

const KEY = "sk-very-secret-0123456789";
const folder = mkdtempSync(join(tmpdir(), "infer-doctor-"));
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let own: TestBroker;
let pool: Pool;
let tiersFile: string;

const call = (environment: Record<string, string> = {}) => callInferctl(["doctor", "--json"], { DATABASE_URL: database.url, REDIS_URL: inject("redisUrl"), NATS_URL: own.url, INFER_HOME: folder, INFER_TIERS_FILE: tiersFile, INFER_COMPLETIONS_MAX_AGE_HOURS: "24", ...environment });
async function doctor(environment: Record<string, string> = {}) {
  const { code, printed } = await call(environment);
  const { problems, findings } = JSON.parse(printed) as { problems: number; findings: CheckedFinding[] };
  const of = (check: string, level: string) => findings.filter((one) => one.check === check && one.level === level).map(({ what }) => what);
  return { code, problems, findings, of };
}

beforeAll(async () => {
  [database, own] = await Promise.all([makeTestDatabase(inject("adminDatabaseUrl"), "cli_doctor"), startTestBroker([{ name: "small", slots: 8 }])]);
  pool = new Pool({ connectionString: database.url, max: 1 });
  tiersFile = writeTierFile(join(folder, "tiers.json"), "http://127.0.0.1:9/v1", [{ name: "small", usd_per_million: 1 }]);
});
afterAll(async () => {
  await pool.end();
  await own.remove();
  await database.drop();
  rmSync(folder, { recursive: true });
});

it("finds a system as it should be without a problem", async () => {
  const { code, findings, of } = await doctor();
  expect(findings.filter(({ level }) => level === "problem")).toEqual([]);
  expect(code).toBe(0);
  expect([of("NATS", "ok").length, of("Postgres", "ok").length, of("permissions", "ok").length, of("clocks", "ok").length, of("books", "ok").length, of("dead letters", "ok").length]).toEqual([3, 2, 2, 1, 1, 1]);
  expect(of("clocks", "ok")[0]).toMatch(/^this machine's is within \d+ ms of NATS, Redis, Postgres$/);
});

it("names a stream of other settings, a consumer of other settings and one that is gone, a right that was taken back, row-level security that is off, and money that differs", async () => {
  const { jsm } = own.broker;
  await jsm.streams.update("JOBS", { max_bytes: 1024 ** 2 });
  await jsm.consumers.delete("JOBS", "worker-small");
  await jsm.consumers.update("REQUESTS", "router-requests", { ack_wait: 1_000_000_000, max_deliver: 9, max_ack_pending: 10, filter_subject: "infer.request.acme.>" });
  await pool.query("REVOKE SELECT ON tenants FROM infer_gateway; ALTER TABLE requests NO FORCE ROW LEVEL SECURITY; ALTER TABLE ledger DISABLE TRIGGER append_only");
  await pool.query("INSERT INTO reconcile_differences (key, part, kind, difference) VALUES ('k', 'p', 'line_differs', '{}')");
  const { code, problems, of } = await doctor();
  expect([code, problems]).toEqual([4, 7]);
  expect(of("NATS", "problem")).toEqual([expect.stringMatching(/^stream JOBS has other settings: max_bytes: wanted 3092250624, is 1048576$/), "consumers are missing: worker-small on JOBS",
    'consumer router-requests on REQUESTS has other settings: filter_subject: wanted "infer.request.>", is "infer.request.acme.>"; ack_wait: wanted 15000000000, is 1000000000; max_deliver: wanted 4, is 9; max_ack_pending: wanted 4000, is 10']);
  await ensureConsumer(jsm, sourcesOf("infer").routerRequests); // as inferctl topology does
  expect((await doctor()).of("NATS", "problem")).toHaveLength(2);
  expect(of("permissions", "problem")).toEqual(["Postgres does not grant what is needed: infer_gateway: SELECT on tenants"]);
  expect(of("Postgres", "problem")).toEqual(["row-level security does not keep tenants apart on requests", "nothing keeps from changing what is append-only: ledger"]);
  expect(of("books", "problem")).toEqual(["open differences: line_differs (1)"]);
});

it("goes on where servers are away and the configuration is wrong, says so once, and prints no secret", async () => {
  const { code, of, findings } = await doctor({ NATS_URL: "nats://127.0.0.1:1", REDIS_URL: `redis://:${KEY}@127.0.0.1:1`, INFER_DURABILTY: "fast" });
  expect(code).toBe(4);
  expect(of("configuration", "problem")[0]).toContain("INFER_DURABILTY: no such variable");
  expect([of("NATS", "problem"), of("Redis", "problem")]).toEqual([[expect.stringContaining("NATS cannot be reached")], [expect.stringContaining("Redis cannot be reached")]]);
  expect(of("dead letters", "warning")).toEqual(["not looked at, since NATS cannot be reached"]);
  expect(of("Postgres", "ok").length).toBe(1);
  expect(JSON.stringify(findings)).not.toContain(KEY);
});

it("says of a model's server that workers may not reach it, and of a key that is not set which variable it is", async () => {
  const hosted = writeTierFile(join(folder, "hosted.json"), "http://10.0.0.1/v1", [{ name: "small", usd_per_million: 1 }]);
  const { of } = await doctor({ INFER_TIERS_FILE: hosted });
  expect(of("models", "problem")).toEqual([expect.stringMatching(/^small: its base_url http:\/\/10\.0\.0\.1\/v1 is not a public address$/)]);
  expect((await doctor({ INFER_TIERS_FILE: "infra/config/tiers.hosted.yaml" })).of("configuration", "problem")[0]).toMatch(/[A-Z_]+_KEY: not set/);
});
