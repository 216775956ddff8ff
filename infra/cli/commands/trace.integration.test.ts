/** `inferctl trace` against a NATS server and a database of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { makePool } from "#shared/db/pool.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { callInferctl } from "../callInferctl.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-trace-"));
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let own: TestBroker;
const trace = (...args: string[]) => callInferctl(["trace", ...args], { DATABASE_URL: database.url, NATS_URL: own.url, INFER_HOME: folder });

beforeAll(async () => {
  [database, own] = await Promise.all([makeTestDatabase(inject("adminDatabaseUrl"), "cli_trace"), startTestBroker([{ name: "small", slots: 1 }])]);
  const { publisher, acks } = own.broker;
  for (const tenant_id of ["acme", "globex"]) await publisher.emit(Completion.parse({ ...fixture, tenant_id, request_id: "both" }), newTraceparent());
  for (const subject of ["infer.request.acme.waits", "infer.request.acme.runs", "infer.job.small.acme.runs.1", "infer.result.acme.runs.1", "infer.batchjob.small.acme.runs.2"]) await acks.publish(subject, new Uint8Array());
  const pool = makePool(database.url, "test", () => undefined);
  await pool.query(`INSERT INTO requests (tenant_id, request_id, outcome, error_code, error_message, cost_nano_usd, attempt_count, latency_ms, accepted_at, completed_at, origin, decisions, trace_id, stream_seq)
    VALUES ('acme', 'audited', 'failed', 'poison', 'given up', 0, 0, 5, now(), now(), 'direct', '[]', 't', 1)`);
  await pool.end();
});
afterAll(async () => {
  await own.remove();
  await database.drop();
  rmSync(folder, { recursive: true });
});

it("shows what COMPLETIONS has, by tenant where several used the id", async () => {
  expect(await trace("both")).toMatchObject({ code: 64, errors: expect.stringMatching(/several tenants used this id[^]*--tenant/) as string });
  const { code, printed } = await trace("both", "--tenant", "globex");
  expect([code, printed]).toEqual([0, expect.stringMatching(/^both of tenant globex: completed on large[^]*1 small +\|#+ +\| waited 2 ms[^]*below 0\.800: handed on[^]*Decision after attempt 2/)]);
  const json = JSON.parse((await trace("both", "--tenant", "globex", "--json")).printed) as Record<string, object>;
  expect(json).toMatchObject({ state: "done", timeline: { saving_nano_usd: -30_000, attempts: [{ became: "failed" }, { became: "handed_on" }, { became: "kept" }] }, completion: { tenant_id: "globex" } });
  expect(Object.keys(json["completion"] ?? {})).not.toContain("output");
});

it("shows what the audit alone remembers", async () => {
  expect(await trace("audited")).toMatchObject({ code: 0, printed: expect.stringMatching(/^audited of tenant acme: failed[^]*poison: given up[^]*no model was asked/) as string });
});

it("says where one is that has not ended", async () => {
  expect(JSON.parse((await trace("runs", "--json")).printed)).toMatchObject({ state: "under_way", tenant_id: "acme", attempts: [{ attempt: 1, tier: "small", has_result: true }, { attempt: 2, tier: "small", has_result: false }] });
  expect((await trace("waits", "--tenant", "acme")).printed).toMatch(/^waits of tenant acme is under way: accepted 20[^]*not given to a tier yet$/);
});

it("tells a wrong id from one that is not there, and from servers that are not", async () => {
  expect((await trace("a b")).code).toBe(64);
  expect(await trace("never")).toMatchObject({ code: 1, errors: expect.stringContaining("there is no request never") as string });
  expect((await callInferctl(["trace", "x"], { DATABASE_URL: database.url, NATS_URL: "nats://127.0.0.1:1", INFER_HOME: folder })).code).toBe(69);
});
