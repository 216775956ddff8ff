/** One suite that three client libraries pass against the gateway of the whole system, and against a model's server itself. */
import { readFile } from "node:fs/promises";

import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";

import { type RecordedServer, startRecordedServer } from "#infra/recorded/recordedServer.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";

import { ANSWERS, CASES, conformanceTable, expectedOf, MODEL, SERVER_NAMES, type Server, type ServerName } from "./conformanceCases.ts";
import { CLIENTS } from "./conformanceClients.ts";
import { startSystem, type System } from "./system.ts";

/** Tests of faults must not make the tier look broken to those that follow. */
const PATIENT = { failures_in_a_row: 1_000, open_for_ms: 100 };
const bugs: unknown[] = [];

let model: RecordedServer;
let system: System;
let dropDatabase: () => Promise<void>;
beforeAll(async () => {
  model = await startRecordedServer({ answers: ANSWERS, faults: [], seed: 1, timeScale: 1, firstTokenShare: 0.001, defaultLatencyMs: 0, port: 0, onBug: (error) => bugs.push(error) });
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_conformance");
  dropDatabase = database.drop;
  system = await startSystem({
    isSingleProcess: true, env: { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/6` },
    tiers: { serverUrl: `${model.url}/v1`, tiers: [{ name: MODEL, breaker: PATIENT }] },
  });
});
afterAll(async () => {
  await system.remove();
  await Promise.all([dropDatabase(), model.close()]);
  expect(bugs).toEqual([]);
});

const serverOf = (name: ServerName): Server => ({ upstreamUrl: model.url, baseUrl: `${name === "gateway" ? system.url("gateway") : model.url}/v1` });

describe.each(SERVER_NAMES)("%s", (name) => {
  describe.each(CLIENTS)("$name", (client) => {
    test.each(CASES)("$name", async (one) => {
      expect(await one.run(client, serverOf(name))).toBe(expectedOf(one, name, client.name));
    });
  });
});

test("the documentation has this table", async () => {
  expect(await readFile(new URL("../../docs/openai-compatibility.md", import.meta.url), "utf8")).toContain(conformanceTable());
});
