/** Replays that send something, killed with SIGKILL in their midst and begun again with the same arguments: each request is sent once, and the totals are those of a run that nobody killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";

import { Pool } from "pg";
import { afterAll, afterEach, beforeAll, expect, inject, it, vi } from "vitest";

import { TIERS } from "#infra/bench/doorsWorld.ts";
import { generatedEvent } from "#infra/bench/generatedEvents.ts";
import { callInferctl } from "#infra/cli/callInferctl.ts";
import { type ModelServer, prompt, type Script, startModelServer } from "#infra/e2e/modelServer.ts";
import { writeTierFile } from "#infra/e2e/tierFile.ts";
import { anyFreePort } from "#infra/embedded/freePort.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { startTestRoles, testRole, type TestRole, type TestRoles } from "#infra/testRoles.ts";
import { connectInferClient, type InferClient } from "#producers/client/inferClient.ts";
import { router } from "#router/router.ts";
import { footerLine, headerLine, lineOf } from "#shared/audit/exportFormat.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";
import { auditSink } from "#sinks/audit/auditSink.ts";
import { worker } from "#workers/worker.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-killed-"));
let broker: TestBroker;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
let models: ModelServer;
let roles: TestRoles;
let client: InferClient;
let environment: Record<string, string>;

const workers = (): TestRole[] => TIERS.map(({ name: tier }, place) => ({
  name: `worker-${tier}`,
  start: async (env, context) => testRole(worker).start({ ...env, INFER_WORKER_TIER: tier, INFER_WORKER_PORT: String((await anyFreePort()) - place) }, context),
}));

beforeAll(async () => {
  [broker, database, models] = await Promise.all([startTestBroker(TIERS.map(({ name, slots = 8 }) => ({ name, slots }))), makeTestDatabase(inject("adminDatabaseUrl"), "killed"), startModelServer()]);
  pool = new Pool({ connectionString: database.url, max: 2 });
  environment = { NATS_URL: broker.url, REDIS_URL: `${inject("redisUrl")}/13`, DATABASE_URL: database.url, INFER_TIERS_FILE: writeTierFile(join(folder, "tiers.json"), models.url, TIERS), INFER_HOME: join(folder, "home") };
  roles = await startTestRoles([testRole(router), ...workers(), testRole(auditSink)], { ...environment, INFER_RECONCILE_EVERY_S: "0" });
  client = await connectInferClient({ url: broker.url, maxTries: 1 });
});
afterAll(async () => {
  await client.close();
  const areFine = await roles.stop();
  await Promise.all([models.close(), pool.end(), broker.remove()]);
  await database.dropAtOnce();
  rmSync(folder, { recursive: true });
  expect(areFine).toEqual(areFine.map(() => true));
});
const children = new Set<ChildProcess>();
afterEach(() => { for (const child of children) child.kill("SIGKILL"); });

/** Asks, and waits for all outcomes. */
const ask = (tenant_id: string, numbers: readonly number[], script: Script): Promise<unknown> =>
  Promise.all(numbers.map((i) => client.infer({ request_id: `r-${i}`, tenant_id, user_id: "u", policy: "cascade", input: prompt(`${tenant_id}-${i}`, script), budget: 1, deadline_ms: 120_000 })));
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Messages of a stream by subject, of subjects that have `part`. */
async function messagesOf(stream: string, part: string): Promise<ReadonlyMap<string, number>> {
  const { state } = await broker.broker.jsm.streams.info(stream, { subjects_filter: ">" });
  return new Map(Object.entries(state.subjects ?? {}).filter(([subject]) => subject.includes(part)));
}
const sentBy = async (run: string): Promise<ReadonlyMap<string, number>> => messagesOf("REQUESTS", `.replay-${run}-`);

/** As a process of its own, which gets SIGKILL once `isDue`. */
async function killedReplay(isDue: () => Promise<boolean>, ...args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, ["--import", "tsx", "infra/cli/main.ts", "replay", "--json", ...args], { env: { PATH: process.env["PATH"], ...environment }, stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  const said = Promise.all([text(child.stdout), text(child.stderr)]);
  const exit = once(child, "exit");
  await waitUntil(async () => {
    if (child.exitCode !== null) throw new Error(`it ended before it was killed: ${(await said).join("\n")}`);
    return (await isDue()) ? true : undefined;
  }, { deadlineMs: 60_000, describe: () => "it has not come so far" });
  child.kill("SIGKILL");
  expect(await exit).toEqual([null, "SIGKILL"]);
  children.delete(child);
  expect((await said)[0]).toBe("");
}
async function replay(...args: readonly string[]) {
  const { code, printed, notes } = await callInferctl(["replay", "--json", ...args], environment);
  if (!printed.startsWith("{")) throw new Error(`no report (${code}): ${printed} ${notes}`);
  return { code, report: JSON.parse(printed) as { readonly run_id: string; readonly requests: number; readonly now: object; readonly spent_usd: number } };
}

const EVENTS = 700; // two batches
/** An export of which some lines cannot be read, and whose inputs are in another file, except for some. */
function recordedFiles(): { readonly events: string; readonly inputs: string; readonly asked: readonly number[] } {
  const random = seededRandom(5);
  const { terms: _terms, latency_slo_ms: _slo, input: _input, ...plain } = generatedEvent(0);
  const lines = upTo(EVENTS).map((i) => (i % 97 === 5 ? "no event\n" : lineOf(i + 1, { ...plain, tenant_id: "killed", request_id: `r-${i}`, policy: "cascade", task: null, budget_nano_usd: nanoUsd(1e9), accepted_at_ms: 1_800_000_000_000 + i })));
  const content = [headerLine({ type: "audit_export.v1", made_at: "2026-11-29T12:00:00.000Z", prefix: "infer", source: "COMPLETIONS", redacted: false, schema: "completion.v1" }), ...lines].join("");
  const asked = upTo(EVENTS).filter((i) => i % 97 !== 5 && i % 50 !== 7);
  const scripts: readonly Script[] = [{ small: { confidence: 0.99 } }, { small: { confidence: 0.5 }, medium: { confidence: 0.95 } }, { small: { confidence: 0.5 }, medium: { confidence: 0.6 } }, { small: { status: 500 }, medium: { status: 500 }, large: { status: 500 } }];
  const inputs = asked.map((i) => JSON.stringify({ tenant_id: "killed", request_id: `r-${i}`, input: prompt(`killed-${i}`, scripts[Math.floor(random() ** 2 * scripts.length)] ?? {}) }));
  const files = { events: join(folder, "events.jsonl"), inputs: join(folder, "inputs.jsonl"), asked };
  writeFileSync(files.events, `${content}${footerLine({ type: "audit_export_end.v1", events: lines.length, first_seq: 1, last_seq: EVENTS, sha256: createHash("sha256").update(content).digest("hex") })}`);
  writeFileSync(files.inputs, inputs.join("\n"));
  return files;
}

const { events, inputs, asked } = recordedFiles();
const LIVE = [events, "--mode", "live", "--inputs", inputs, "--confirm", `${asked.length} requests`];
let whole: Awaited<ReturnType<typeof replay>>;

it("live: what nobody kills", async () => {
  whole = await replay(...LIVE, "--run", "whole", "--max", "--concurrency", "64");
  expect(whole.report).toMatchObject({ end: "all", requests: asked.length, unanswered: 0, skipped: { no_input: 14 }, unreadable: { not_json: 8 } });
});

it("live: killed again and again, it sends each recorded request once, and comes to the totals of a run that nobody killed", async () => {
  const place = join(folder, "live.json");
  const killed = [...LIVE, "--run", "killed", "--rate", "400", "--concurrency", "32", "--resume", place];
  const hasSent = async (from: number): Promise<boolean> => (await sentBy("killed")).size >= from;
  const keptRequests = (): number => (JSON.parse(readFileSync(place, "utf8")) as { found: { tally: { requests: number } } }).found.tally.requests;
  const point = 20 + Math.floor(400 * seededRandom(Date.now())()); // anywhere in the first batch
  await killedReplay(() => hasSent(point), ...killed);
  expect(keptRequests(), `killed at ${point}`).toBe(0);
  await killedReplay(async () => (await hasSent(540)) && keptRequests() > 0, ...killed); // after the first batch
  const ended = await replay(...killed);

  const sent = await sentBy("killed");
  expect([...sent.keys()].sort(), `killed at ${point}`).toEqual(asked.map((i) => `infer.request.killed.replay-killed-r-${i}`).sort());
  expect(new Set(sent.values())).toEqual(new Set([1]));
  expect(asked.filter((i) => models.calls(`killed-${i}`, "small").length !== 2)).toEqual([]); // with the run above
  expect(ended.code).toBe(whole.code);
  expect(ended.report).toEqual({ ...whole.report, run_id: "killed", now: { ...whole.report.now, latency_p50_ms: expect.any(Number) as number, latency_p95_ms: expect.any(Number) as number } });
  expect(await replay(...killed)).toEqual(ended); // there is nothing left to do
});

it("live: what is recorded between the kill and the second start is none of the run, and neither are its own requests", async () => {
  const COUNT = 30;
  const script: Script = { small: { confidence: 0.99 } };
  const HELD = 999; // accepted before all others, it ends after the kill
  const held = ask("open", [HELD], { small: { confidence: 0.99, hold: "open" } });
  await models.awaitCalls(`open-${HELD}`, 1);
  await ask("open", upTo(COUNT), script);
  const sentAre = async (numbers: readonly number[]): Promise<void> => { expect([...(await sentBy("open")).keys()].sort()).toEqual(numbers.map((i) => `infer.request.open.replay-open-r-${i}`).sort()); };
  const args = ["--mode", "live", "--tenant", "open", "--run", "open", "--confirm", `${COUNT} requests`];
  const resumable = [...args, "--rate", "20", "--resume", join(folder, "open.json")];
  await killedReplay(async () => (await sentBy("open")).size >= 10, ...resumable);
  models.release("open");
  await Promise.all([held, ask("open", [100, 101], script)]);
  expect((await replay(...resumable)).report).toMatchObject({ end: "all", requests: COUNT, skipped: {} });
  await sentAre(upTo(COUNT));
  // Without a place the source is read anew, and the id of the run is what keeps it from sending again.
  const anew = ["--mode", "live", "--tenant", "open", "--run", "open", "--max", "--confirm", `${COUNT + 3} requests`];
  expect((await replay(...anew)).report).toMatchObject({ end: "all", requests: COUNT + 3, skipped: {} });
  await sentAre([...upTo(COUNT), HELD, 100, 101]);
});

it("shadow: killed twice, it asks each tier once, and its books and totals are those of a run that nobody killed", async () => {
  const COUNT = 30;
  await ask("shadowed", upTo(COUNT), { small: { confidence: 0.99 } });
  const args = ["--mode", "shadow", "--tenant", "shadowed", "--tiers", "all", "--rate", "20", "--concurrency", "4", "--budget", "1", "--resume", join(folder, "shadow.json")];
  const jobs = async (): Promise<ReadonlyMap<string, number>> => messagesOf("SHADOW_JOBS", ".shadowed.");
  const before = (await jobs()).size;
  for (const point of [6, 16]) await killedReplay(async () => (await jobs()).size - before >= point, ...args);
  const { code, report } = await replay(...args);
  expect(code).toBe(0);
  expect(report).toMatchObject({ end: "all", requests: COUNT, unlabelled: 0, unanswered: 0, presumed_usd: 0, skipped: {}, calls: { medium: COUNT, large: COUNT }, agreement: { small: { labels: COUNT } } });
  for (const tier of ["small", "medium", "large"]) expect(upTo(COUNT).filter((i) => models.calls(`shadowed-${i}`, tier).length !== 1)).toEqual([]);
  const bookedUsd = async (): Promise<number> => Number((await pool.query<{ cost: string | null }>("SELECT sum(cost_nano_usd)::text AS cost FROM ledger WHERE kind = 'shadow' AND tenant_id = 'shadowed'")).rows[0]?.cost) / 1e9;
  await vi.waitFor(async () => { expect(await bookedUsd()).toBeCloseTo(report.spent_usd, 9); }, { timeout: 20_000, interval: 100 });
});
