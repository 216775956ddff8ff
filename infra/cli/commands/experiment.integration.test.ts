/** `inferctl experiment` against a NATS server and a database of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { makeExperimentStore } from "#shared/messaging/experimentStore.ts";

import { callInferctl } from "../callInferctl.ts";
import { EXIT_USAGE } from "../exitCodes.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-experiment-"));
let server: Awaited<ReturnType<typeof startTestServer>>;
let nats: NatsConnection;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
beforeAll(async () => {
  server = await startTestServer("nats");
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "cli_experiment");
});
afterAll(async () => {
  await nats.close();
  await server.remove();
  await database.drop();
  rmSync(folder, { recursive: true });
});

async function experiment(...args: string[]): Promise<{ code: number; output: string }> {
  const { code, printed, errors } = await callInferctl(["experiment", ...args], { NATS_URL: server.url, DATABASE_URL: database.url, INFER_HOME: folder });
  return { code, output: `${printed}${errors}` };
}
const ASKED = ["--name", "cheap-1", "--control", "cascade", "--canary", "cheapest"];

it("begins one, says how it stands, and ends it", async () => {
  expect(await experiment("list")).toMatchObject({ code: 0, output: expect.stringContaining("no experiment yet") as string });
  expect(await experiment("start", ...ASKED, "--share", "20%", "--tenant", "acme", "--unit", "user", "--cost-margin", "35%", "--late-margin", "none", "--late-after", "2000")).toMatchObject({ code: 0, output: expect.stringContaining("experiment cheap-1 is running; routers follow within seconds. It is rolled back by itself when its canary is worse by more than 2 points of quality, or fails more than 2 points more, or costs more than 35 % more per request than the control.") as string });
  expect(await makeExperimentStore(nats, "infer").latest()).toMatchObject({
    kind: "canary", arms: [{ name: "control", policy: "cascade", share: 0.8 }, { name: "canary", policy: "cheapest", share: 0.2 }], scope: { tenants: ["acme"] }, unit: "user", metric: { quality: "feedback", max_loss: 0.02, risk: 0.05, max_late: null, late_after_ms: 2_000, max_extra_cost: 0.35 }, max_requests: 100_000, status: "running",
  });
  const { code, output } = await experiment("status");
  expect([code, output]).toEqual([0, expect.stringMatching(/^canary cheap-1: running, [^]*\ncanary: evidence that it loses more than 2 points: 1\.00 of 22\.2 needed to roll it back\n[^]*canary: evidence that it costs more than 35 % more per request than control: 1\.00 of 600\.0 needed\ncanary: too few labels to compare it with control\. No request was given to an arm yet/) as string]);
  expect(await experiment("start", ...ASKED.with(1, "cheap-2"))).toMatchObject({ code: EXIT_USAGE, output: expect.stringContaining("one at a time") as string });
  expect(await experiment("stop")).toMatchObject({ code: 0, output: expect.stringContaining("cheap-1 is stopped") as string });
  expect(await experiment("stop")).toMatchObject({ code: EXIT_USAGE, output: expect.stringContaining("over already") as string });
  expect(await experiment("start", ...ASKED)).toMatchObject({ code: EXIT_USAGE, output: expect.stringContaining("another --name") as string });
  expect(await experiment("list")).toMatchObject({ code: 0, output: expect.stringMatching(/cheap-1 +canary +stopped .* control=cascade 80 %, canary=cheapest 20 % +by inferctl/) as string });
});

it.each<[string, string[], string]>([
  ["without a name", ["start", "--control", "cascade", "--canary", "cheapest"], "--name is missing"],
  ["of a policy that there is not", ["start", ...ASKED.with(5, "best")], "there is no policy best"],
  ["of a model that there is not", ["start", ...ASKED, "--model", "v9"], "there is no model v9"],
  ["with a share that is none", ["start", ...ASKED, "--share", "much"], "--share much: not of the form 10% or 0.1"],
  ["with all of the requests", ["start", ...ASKED, "--share", "100%"], "arms"],
  ["by agreement where nothing is shadowed", ["start", ...ASKED.with(5, "always-small"), "--quality", "shadow"], "not shadowed"],
  ["with a limit of cost that is none", ["start", ...ASKED, "--cost-margin", "much"], "--cost-margin much: not of the form 10% or 0.1"],
  ["with a limit of latency that is none", ["start", ...ASKED, "--late-after", "2s"], "--late-after 2s: must be a number above 0"],
  ["that runs for ever", ["start", ...ASKED, "--days", "9999"], "at most 365"],
  ["that there is not", ["status", "other"], "there is no experiment other"],
])("refuses one %s", async (_name, args, problem) => {
  expect(await experiment(...args)).toMatchObject({ code: EXIT_USAGE, output: expect.stringContaining(problem) as string });
});
