/** Replay of what real roles have done: as the third door, for labels, and without any effect. On real servers, by the command itself. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Redis } from "ioredis";
import { Pool } from "pg";
import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";

import { compareDoors, type DoorCase } from "#infra/bench/compareDoors.ts";
import { type Asked, requestsOf, TENANT, TIERS } from "#infra/bench/doorsWorld.ts";
import type { CliContext } from "#infra/cli/command.ts";
import { replayOf } from "#infra/cli/commands/replay.ts";
import { REPLAY_MODES } from "#infra/cli/replay/replayModes.ts";
import { PLAIN_SCREEN } from "#infra/cli/screen.ts";
import { type ModelServer, prompt, startModelServer } from "#infra/e2e/modelServer.ts";
import { writeTierFile } from "#infra/e2e/tierFile.ts";
import { anyFreePort } from "#infra/embedded/freePort.ts";
import { isDrained } from "#infra/embedded/isDrained.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { startTestRoles, testRole, type TestRole, type TestRoles } from "#infra/testRoles.ts";
import { connectInferClient, type InferClient, isInferError } from "#producers/client/inferClient.ts";
import { gateway } from "#producers/gateway/gateway.ts";
import { router } from "#router/router.ts";
import { Completion } from "#shared/contracts/events.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import { openTierFileStore } from "#shared/messaging/tierFileStore.ts";
import { completionSubject } from "#shared/messaging/topology.ts";
import { auditSink } from "#sinks/audit/auditSink.ts";
import { worker } from "#workers/worker.ts";

const COUNT = 40;
const ASKED = requestsOf(COUNT, 3);
const folder = mkdtempSync(join(tmpdir(), "infer-replay-"));
const STREAMS = ["REQUESTS", "JOBS", "RESULTS", "COMPLETIONS", "FEEDBACK", "SHADOW_JOBS", "SHADOWS", "DEAD_LETTERS"];

let broker: TestBroker;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
let redis: Redis;
let models: ModelServer;
let roles: TestRoles;
let environment: Record<string, string>;
/** Of COMPLETIONS: what came in by HTTP. */
let recorded: { readonly "from-seq": string; readonly "to-seq": string };

const workers = (): TestRole[] => TIERS.map(({ name: tier }, place) => ({
  name: `worker-${tier}`,
  start: async (env, context) => testRole(worker).start({ ...env, INFER_WORKER_TIER: tier, INFER_WORKER_PORT: String((await anyFreePort()) - place) }, context),
}));

beforeAll(async () => {
  [broker, database, models] = await Promise.all([startTestBroker(TIERS.map(({ name, slots = 8 }) => ({ name, slots }))), makeTestDatabase(inject("adminDatabaseUrl"), "replay"), startModelServer()]);
  pool = new Pool({ connectionString: database.url, max: 2 });
  const redisUrl = `${inject("redisUrl")}/12`;
  redis = new Redis(redisUrl);
  environment = { NATS_URL: broker.url, REDIS_URL: redisUrl, DATABASE_URL: database.url, INFER_TIERS_FILE: writeTierFile(join(folder, "tiers.json"), models.url, TIERS) };
  roles = await startTestRoles([testRole(gateway), testRole(router), ...workers(), testRole(auditSink)], { ...environment, INFER_SECRET: "s".repeat(32), INFER_RECONCILE_EVERY_S: "0" });
  const byHttp = await connectInferClient({ url: roles.urls.get("gateway") ?? "", maxTries: 1 });
  await waitUntil(() => byHttp.infer({ ...asked({ request_id: "ready" }), input: "ready" }).then(() => true as const, () => undefined), { deadlineMs: 50_000, everyMs: 200, describe: () => "the roles are not ready" });
  const from = (await lastSeqs())["COMPLETIONS"] ?? 0;
  await askAll(byHttp, "http");
  await byHttp.close();
  recorded = { "from-seq": String(from + 1), "to-seq": String((await lastSeqs())["COMPLETIONS"]) };
});
afterAll(async () => {
  const areFine = await roles.stop();
  redis.disconnect();
  await Promise.all([models.close(), pool.end(), broker.remove()]);
  await database.dropAtOnce();
  rmSync(folder, { recursive: true });
  expect(areFine).toEqual(areFine.map(() => true));
});

const asked = (over: Partial<Asked>): Asked => ({ ...(ASKED[0] as Asked), ...over });
const askAll = (client: InferClient, door: string): Promise<unknown> => Promise.all(ASKED.map((one) => client.infer({ ...one, request_id: `${door}-${one.request_id}` }).catch((error: unknown) => { if (!isInferError(error)) throw error; })));
async function lastSeqs(): Promise<Record<string, number>> {
  return Object.fromEntries(await Promise.all(STREAMS.map(async (stream) => [stream, (await broker.broker.jsm.streams.info(stream)).state.last_seq] as const)));
}
async function find(request_id: string): Promise<Completion> {
  const stored = await broker.broker.streams.last("COMPLETIONS", completionSubject("infer", { tenant_id: TENANT, request_id }));
  if (stored === null) throw new Error(`no completion of ${request_id}`);
  return Completion.parse(stored.json());
}
const countOf = async (table: string): Promise<number> => Number((await pool.query<{ count: string }>(`SELECT count(*) FROM ${table}`)).rows[0]?.count);

interface Ran {
  readonly code: number;
  readonly printed: string;
  readonly notes: string;
}
/** As it is typed. `tellsUntilStop`: Ctrl-C when progress has been told so often. */
async function replay(values: Readonly<Record<string, string | boolean>>, tellsUntilStop = Infinity): Promise<Ran> {
  const stop = new AbortController();
  const printed: string[] = [], notes: string[] = [];
  let told = 0;
  const context: CliContext = {
    environment: { ...environment, INFER_HOME: join(folder, "home") }, screen: PLAIN_SCREEN, print: (line) => { printed.push(line); },
    progress: { note: (line) => { notes.push(line); }, step: (_title, work) => work(), tell: (how) => { if (how.includes("under way") && ++told >= tellsUntilStop) stop.abort(); } },
    prepare: { topology: () => Promise.resolve(), migrations: () => Promise.resolve(0), localModels: () => Promise.resolve({ models: [], wasCached: true }) },
  };
  const command = replayOf(REPLAY_MODES, () => ({ signal: stop.signal, exitCode: () => 130, end: () => undefined }));
  const code = await command.run({ values: { ...recorded, json: true, ...values }, positionals: [] }, context).catch((error: unknown) => {
    if (!(error instanceof SetupError)) throw error;
    notes.push(error.message, error.nextStep);
    return error.exitCode;
  });
  return { code, printed: printed.join("\n"), notes: notes.join("\n") };
}
const reportOf = ({ printed, notes }: Ran) => {
  try {
    return JSON.parse(printed) as Record<string, unknown> & { requests: number; end: string; now: { outcomes: Record<string, number>; tiers: object; cost_usd: number }; spent_usd: number; skipped: Record<string, number> };
  } catch {
    throw new Error(`no report: ${printed} ${notes}`);
  }
};
const CONFIRM = `${COUNT} requests`;

describe("live", () => {
  it.each<[string, Record<string, string | boolean>, number, RegExp]>([
    ["nobody has confirmed it", {}, 64, new RegExp(`--confirm "${CONFIRM}"`)],
    ["another number was confirmed", { confirm: "7 requests" }, 64, /it is 40 requests/],
    ["nothing bounds it", { yes: true }, 64, /--yes needs --max-cost/],
    ["it is a dry run", { "dry-run": true, confirm: CONFIRM }, 0, /^$/],
  ])("sends nothing where %s, and says what it would cost", async (_what, values, code, said) => {
    const before = await lastSeqs();
    const ran = await replay({ mode: "live", max: true, ...values });
    expect(ran.code).toBe(code);
    expect(ran.notes).toMatch(said);
    if (values["yes"] === undefined && values["confirm"] !== "7 requests") expect(reportOf(ran)).toMatchObject({ requests: COUNT, tenants: [{ tenant_id: TENANT, requests: COUNT }], skipped: {} });
    expect(await lastSeqs()).toEqual(before);
  });

  it("is a door like the others: requests that came over HTTP, over NATS and by replay are decided alike", async () => {
    const byNats = await connectInferClient({ url: broker.url, maxTries: 1 });
    await askAll(byNats, "nats");
    await byNats.close();
    const ran = await replay({ mode: "live", max: true, run: "doors", confirm: CONFIRM });
    expect(reportOf(ran)).toMatchObject({ end: "all", requests: COUNT, unanswered: 0, same_path: COUNT, same_tier: COUNT, tier_mix_changed_by: 0 });
    const cases = await Promise.all(ASKED.map(async ({ request_id: id }): Promise<DoorCase> => ({ http: await find(`http-${id}`), nats: await find(`nats-${id}`), replayed: await find(`replay-doors-http-${id}`) })));
    const [version = ""] = cases.flatMap(({ http }) => http.decisions.flatMap(({ tier_file }) => tier_file ?? []));
    const kept = await (await openTierFileStore(broker.nats, "infer")).get(version);
    const file: TierFile | null = kept !== null && "file" in kept ? kept.file : null;
    expect(compareDoors(cases, { tierFiles: new Map([[version, file]]), models: new Map() })).toMatchObject({ requests: COUNT, differing: { nats: 0, replayed: 0 }, differing_pinned: 0, same_pinned: COUNT, first: null });
    expect(new Set(cases.map(({ http }) => http.outcome)).size).toBeGreaterThan(1);
    for (const { replayed, http } of cases) expect(replayed.metadata).toMatchObject({ replay_run: "doors", replay_of: http.request_id });
  });

  it("interrupted and gone on with comes to the same totals, and sends none twice", async () => {
    const resume = join(folder, "live.json");
    const values = { mode: "live", rate: "30", run: "twice", concurrency: "4", confirm: CONFIRM, resume };
    const before = await lastSeqs();
    const interrupted = await replay(values, 4);
    expect(interrupted.code).toBe(130);
    expect(reportOf(interrupted)).toMatchObject({ end: "interrupted" });
    expect(reportOf(interrupted).requests).toBeLessThan(COUNT);
    const whole = reportOf(await replay(values));
    const doors = reportOf(await replay({ mode: "live", max: true, run: "doors", confirm: CONFIRM })); // it was sent before: only its outcomes are looked up
    expect(whole).toMatchObject({ end: "all", requests: COUNT, now: { outcomes: doors.now.outcomes, tiers: doors.now.tiers, cost_usd: doors.now.cost_usd } });
    expect(((await lastSeqs())["REQUESTS"] ?? 0) - (before["REQUESTS"] ?? 0)).toBe(COUNT);
  });

  it("sends no more once it has cost more than it may", async () => {
    const before = await lastSeqs();
    const ran = await replay({ mode: "live", max: true, run: "dear", concurrency: "2", yes: true, "max-cost": "0.0001" });
    expect(ran.code).toBe(2);
    expect(reportOf(ran)).toMatchObject({ end: "max_cost" });
    expect(((await lastSeqs())["REQUESTS"] ?? 0) - (before["REQUESTS"] ?? 0)).toBeLessThan(COUNT);
  });

  it("asks what a file says, where one is named", async () => {
    const inputs = join(folder, "inputs.jsonl");
    writeFileSync(inputs, ASKED.map(({ request_id }) => JSON.stringify({ tenant_id: TENANT, request_id: `http-${request_id}`, input: prompt(`file-${request_id}`, {}) })).join("\n"));
    const ran = await replay({ mode: "live", max: true, run: "inputs", inputs, budget: "5", confirm: CONFIRM });
    expect(reportOf(ran)).toMatchObject({ end: "all", requests: COUNT });
    const attempts = await Promise.all(ASKED.map(async ({ request_id }) => (await find(`replay-inputs-http-${request_id}`)).attempts.length));
    expect(ASKED.map(({ request_id }) => models.calls(`file-${request_id}`).length)).toEqual(attempts);
    expect(Math.max(...attempts)).toBeGreaterThan(0);
  });

  it("asks another tenant under another policy", async () => {
    const ran = await replay({ mode: "live", max: true, run: "moved", "tenant-map": [`${TENANT}=moved`] as never, policy: "always-large", confirm: CONFIRM });
    expect(Object.keys(reportOf(ran).now.tiers).filter((tier) => tier !== "(none)")).toEqual(["large"]);
  });
});

describe("verify", () => {
  it("decides all again, and calls no backend, charges nothing and writes to no stream and no cache", async () => {
    for (const durable of ["sink-audit", "sink-audit-shadows"]) await vi.waitFor(async () => { expect(await isDrained(broker.broker.jsm, durable === "sink-audit" ? "COMPLETIONS" : "SHADOWS", durable)).toBe(true); }, { timeout: 20_000, interval: 50 });
    const calls = () => ASKED.reduce((sum, { input = "" }) => sum + models.calls((JSON.parse(input) as { name: string }).name).length, 0);
    const state = async () => ({ streams: await lastSeqs(), ledger: await countOf("ledger"), requests: await countOf("requests"), calls: calls() });
    const [before, keysBefore] = [await state(), new Set(await redis.keys("*"))];
    const ran = await replay({ mode: "verify" });
    expect(ran.code).toBe(0);
    expect(reportOf(ran)).toMatchObject({ requests: COUNT, differing: 0 });
    expect(await state()).toEqual(before);
    expect((await redis.keys("*")).filter((key) => !keysBefore.has(key))).toEqual([]);
    expect(before.calls).toBeGreaterThan(0);
  });
});

describe("shadow", () => {
  it("stops before the next request could pass the budget, and asks nobody then", async () => {
    const before = await lastSeqs();
    const ran = await replay({ mode: "shadow", tiers: "all", rate: "1000", budget: "0.000001" });
    expect(ran.code).toBe(2);
    expect(reportOf(ran)).toMatchObject({ end: "budget" });
    expect((await lastSeqs())["SHADOW_JOBS"]).toBe(before["SHADOW_JOBS"]);
  });

  it("gains a label for each kept answer, interrupted or not, on its own line of the books, which no tenant pays", async () => {
    const resume = join(folder, "shadow.json");
    const values = { mode: "shadow", tiers: "all", rate: "30", concurrency: "4", budget: "1", resume };
    const interrupted = await replay(values, 2);
    expect(interrupted.code).toBe(130);
    const whole = reportOf(await replay(values));
    const kept = (await Promise.all(ASKED.map(({ request_id }) => find(`http-${request_id}`)))).filter(({ outcome, policy }) => outcome === "completed" && policy?.startsWith("always-") === false);
    expect(whole).toMatchObject({ end: "all", unanswered: 0, skipped: { no_answer: COUNT - kept.length } });
    expect(whole.requests + (whole.skipped["labelled"] ?? 0)).toBe(kept.length);
    await vi.waitFor(async () => { expect(await countOf("shadows")).toBe(kept.length); }, { timeout: 20_000, interval: 100 });
    // Events of a shadow's other tiers are booked apart from its label.
    await vi.waitFor(async () => {
      const { rows } = await pool.query<{ cost: string; charged: boolean }>("SELECT sum(cost_nano_usd)::text AS cost, bool_or(is_charged) AS charged FROM ledger WHERE kind = 'shadow'");
      expect(rows[0]?.charged).toBe(false);
      expect(Number(rows[0]?.cost) / 1e9).toBeCloseTo(whole.spent_usd, 9);
    }, { timeout: 20_000, interval: 100 });
    const again = reportOf(await replay({ mode: "shadow", tiers: "all", rate: "1000", budget: "1" }));
    expect(again).toMatchObject({ end: "all", requests: 0, spent_usd: 0, skipped: { labelled: kept.length } });
  });
});
