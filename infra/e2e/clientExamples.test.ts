/** The examples of the client, each run as a user runs it. */
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { projectFolder } from "#infra/embedded/homeFolder.ts";
import { runProgram } from "#infra/embedded/runProgram.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";

import { startSystem, type System } from "./system.ts";

let system: System;
let dropDatabase: () => Promise<void>;
beforeAll(async () => {
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_examples");
  dropDatabase = database.drop;
  system = await startSystem({ isSingleProcess: true, env: { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/8` } });
});
afterAll(async () => {
  await system.remove();
  await dropDatabase();
});

const EXAMPLES: [file: string, doors: string[], says: RegExp][] = [
  ["http", ["gateway"], /^completed: spam by small for [\d.e-]+ USD$/],
  ["nats", ["nats"], /^completed: (sp|h)am$/],
  ["streaming", ["gateway", "nats"], /^(sp|h)am\ncompleted by mail-large in \d+ ms$/],
  ["fireAndCollect", ["gateway", "nats"], /^4 outcomes for 0\.\d{9} USD$/],
];
test.each(EXAMPLES.flatMap(([file, doors, says]) => doors.map((door) => [file, door, says] as const)))("%s.ts runs against the %s", async (file, door, says) => {
  const args = ["--import", "tsx", `producers/client/examples/${file}.ts`, system.url(door)];
  expect(await runProgram(process.execPath, args, { cwd: projectFolder(), timeoutMs: 60_000 })).toMatch(says);
});
