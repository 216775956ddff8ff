/** `npm run bench:console`: how long the console's views, and its page in a real browser, take over a million completions, and what keeping their sums costs the audit sink. */
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { Redis } from "ioredis";
import type { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";

import { findChromium, NO_CHROMIUM } from "#infra/e2e/browser.ts";
import { projectFolder } from "#infra/embedded/homeFolder.ts";
import { startTestServer } from "#infra/embedded/testServers.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { TierFile } from "#shared/contracts/tiers.ts";
import { migrateDatabase } from "#shared/db/migrate.ts";
import { makePool } from "#shared/db/pool.ts";
import { makeCallers } from "#shared/http/callers.ts";
import { toRows } from "#sinks/audit/toRows.ts";
import { makeAuditWriter } from "#sinks/audit/writeBatch.ts";
import { buildConsole } from "#sinks/console/app.ts";
import { makeLiveFeed } from "#sinks/console/liveFeed.ts";
import { NO_ROUTING } from "#sinks/console/routingNow.ts";
import { unknownTiers } from "#sinks/console/tierStates.ts";

import { median, type PageLoad, timePageLoads } from "./pageLoad.ts";

const HELP = `Fills a Postgres that it starts itself with completions of 30 days, and times each view of the console's API, several filters each, and
the overview in a Chromium with an empty cache.

  npm run bench:console -- [--completions <n>] [--rounds <n>] [--database <url>] [--json]

  --completions  default 1000000
  --database     an empty one, or one that an earlier run has filled, which is filled no further
  --rounds       of each view, after one that is not counted (default 9); of the page 10

20 tenants, of which the largest has a quarter; 30 % escalate, 15 % are cached, 2 % have a shadow, 30 % a latency SLO, 0.5 % fail. Then it writes 80,000 more as the audit sink does, with and without
the triggers that keep the sums. CPU is that of Postgres and of the console together: what a view takes when nothing else wants the machine. Ends with 1 when a view's median is
200 ms or more, or that of the page's figures a second.`;

const MOST_MS = 200, MOST_PAGE_MS = 1_000;
const CHUNK = 50_000;
const FROM = "2026-11-01T00:00:00Z";
const PAGE_LOADS = 10;
const PAGES = ["/console", `/console?from=${FROM}`];
const NOW = Date.parse("2026-11-30T23:20:00Z");
const TIERS = TierFile.parse(tierFixture);
const log = pino({ level: "silent" });

const { values } = parseArgs({ options: { completions: { type: "string", default: "1000000" }, rounds: { type: "string", default: "9" }, database: { type: "string" }, json: { type: "boolean" }, help: { type: "boolean" } } });
const say = (line: string): void => { process.stderr.write(`${line}\n`); };

/** One chunk's facts, drawn from the number of each. `$1`, `$2`: first and last; `$3`: all. */
const FACTS = `
  CREATE TEMP TABLE made ON COMMIT DROP AS
  SELECT i, 'tenant-' || floor(20 * r[1] ^ 2)::int AS tenant_id, 'r' || lpad(i::text, 9, '0') AS request_id, 'user-' || floor(500 * r[2])::int AS user_id,
    date_trunc('milliseconds', timestamptz '${FROM}' + (i::float8 / $3) * interval '29 days 23 hours' ) AS at,
    CASE WHEN r[3] < 0.9 THEN 'cascade-routing' ELSE 'cascade' END AS policy,
    CASE WHEN r[4] < 0.15 THEN 'cached' WHEN r[4] < 0.1505 THEN 'rejected' WHEN r[4] < 0.45 THEN 'escalated' WHEN r[4] < 0.455 THEN 'failed' ELSE 'plain' END AS kind,
    (1 + floor(1e5 * r[5]))::bigint AS small_cost, (1e6 + floor(1e7 * r[6]))::bigint AS large_cost, (2e6 + floor(1e7 * r[7]))::bigint AS baseline, round(exp(3 + 6 * r[8]))::int AS latency_ms, r[9] < 0.02 AS is_sampled, r[10] AS agreement, CASE WHEN r[11] < 0.3 THEN 1000 END AS latency_slo_ms
  FROM (SELECT i, ARRAY(SELECT random() FROM generate_series(1, 11) WHERE i = i) AS r FROM generate_series($1::int, $2::int) AS i) AS drawn`;
const TIER = "CASE kind WHEN 'escalated' THEN 'large' WHEN 'cached' THEN 'large' WHEN 'plain' THEN 'small' END";
const OUTCOME = "CASE kind WHEN 'rejected' THEN 'rejected' WHEN 'failed' THEN 'failed' ELSE 'completed' END";
const COST = "CASE kind WHEN 'escalated' THEN small_cost + large_cost WHEN 'plain' THEN small_cost WHEN 'failed' THEN small_cost ELSE 0 END";
const ERROR = "CASE kind WHEN 'failed' THEN 'deadline_exceeded' WHEN 'rejected' THEN 'budget_exceeded' END";
const CACHE = "CASE kind WHEN 'cached' THEN 'exact' END";
const DECISIONS = JSON.stringify(Completion.parse(fixture).decisions).replaceAll("'", "''");
const INSERTS = [
  `INSERT INTO requests (tenant_id, request_id, user_id, outcome, error_code, policy, tier, model, confidence, cost_nano_usd, baseline_tier, baseline_cost_nano_usd, attempt_count, latency_ms, latency_slo_ms, accepted_at, completed_at, origin, output, cache, decisions, trace_id, stream_seq)
   SELECT tenant_id, request_id, user_id, ${OUTCOME}, ${ERROR}, policy, ${TIER}, ${TIER} || '-1', 0.9, ${COST}, 'large', baseline, CASE kind WHEN 'escalated' THEN 2 WHEN 'plain' THEN 1 WHEN 'failed' THEN 1 ELSE 0 END, latency_ms, latency_slo_ms, at, at + make_interval(secs => latency_ms / 1000.0), 'gateway-1', 'an answer of some words',
     CASE kind WHEN 'cached' THEN '{"kind":"exact","stored_at_ms":1,"age_ms":1,"source_request_id":"earlier"}'::jsonb END, '${DECISIONS}'::jsonb, md5(i::text), i FROM made`,
  `INSERT INTO attempts (tenant_id, request_id, attempt, tier, model, outcome, error_code, is_sound, confidence, confidence_source, tries, input_tokens, output_tokens, usage_source, cost_nano_usd, cost_is_partial, started_at, latency_ms)
   SELECT tenant_id, request_id, n, CASE n WHEN 1 THEN 'small' ELSE 'large' END, CASE n WHEN 1 THEN 'small-1' ELSE 'large-1' END, 'answered', NULL, true, 0.9, 'logprobs', 1, 100, 10, 'reported', CASE n WHEN 1 THEN small_cost ELSE large_cost END, false, at, latency_ms / 2.0
   FROM made JOIN generate_series(1, 2) AS n ON (kind IN ('plain', 'failed') AND n = 1) OR kind = 'escalated'`,
  `INSERT INTO ledger_requests (tenant_id, request_id, at, user_id, policy, tier, model, outcome, cache, baseline_tier, baseline_cost_nano_usd, cost_is_partial, paid_nano_usd, paid_to_answer_tier_nano_usd, paid_to_answer_model_nano_usd, attempted, latency_ms, latency_slo_ms, error_code, stream_seq)
   SELECT tenant_id, request_id, at, user_id, policy, ${TIER}, ${TIER} || '-1', ${OUTCOME}, ${CACHE}, 'large', baseline, false, ${COST}, CASE kind WHEN 'escalated' THEN large_cost WHEN 'plain' THEN small_cost ELSE 0 END, CASE kind WHEN 'escalated' THEN large_cost WHEN 'plain' THEN small_cost ELSE 0 END,
     CASE kind WHEN 'escalated' THEN 'small,large' WHEN 'plain' THEN 'small' WHEN 'failed' THEN 'small' ELSE '' END, latency_ms, latency_slo_ms, ${ERROR}, i FROM made`,
  `INSERT INTO ledger (tenant_id, request_id, kind, part, user_id, tier, model, policy, cost_nano_usd, is_charged, cost_is_partial, is_to_answer_tier, is_to_answer_model, at, stream, stream_seq)
   SELECT tenant_id, request_id, 'attempt', n::text, user_id, CASE n WHEN 1 THEN 'small' ELSE 'large' END, CASE n WHEN 1 THEN 'small-1' ELSE 'large-1' END, policy, CASE n WHEN 1 THEN small_cost ELSE large_cost END, true, false, kind = 'plain' OR n = 2, kind = 'plain' OR n = 2, at, 'COMPLETIONS', i
   FROM made JOIN generate_series(1, 2) AS n ON (kind IN ('plain', 'failed') AND n = 1) OR kind = 'escalated'
   UNION ALL SELECT tenant_id, request_id, 'shadow', 'large', NULL, 'large', 'large-1', policy, baseline, false, false, false, false, at + interval '1 second', 'SHADOWS', i FROM made WHERE is_sampled AND kind = 'plain'`,
  `INSERT INTO shadows (tenant_id, request_id, policy, kept_tier, kept_model, kept_confidence, reference_tier, agreement, cost_nano_usd, cost_is_partial, tiers, at, stream_seq)
   SELECT tenant_id, request_id, policy, 'small', 'small-1', 0.9, 'large', agreement, baseline, false,
     jsonb_build_array(jsonb_build_object('tier', 'small', 'model', 'small-1', 'is_kept', true, 'is_shadow', false, 'agreement_with_baseline', agreement, 'cost_nano_usd', small_cost), jsonb_build_object('tier', 'large', 'model', 'large-1', 'is_kept', false, 'is_shadow', true, 'cost_nano_usd', baseline)),
     at + interval '1 second', i FROM made WHERE is_sampled AND kind = 'plain'`,
];

async function fill(pool: Pool, completions: number): Promise<void> {
  const startedAtMs = performance.now();
  for (let first = 1; first <= completions; first += CHUNK) {
    const client = await pool.connect();
    try {
      await client.query("BEGIN; SET LOCAL synchronous_commit = off");
      await client.query("SELECT setseed($1)", [(first % 1_000) / 1_000]);
      await client.query(FACTS, [first, Math.min(first + CHUNK - 1, completions), completions]);
      for (const sql of INSERTS) await client.query(sql);
      await client.query("COMMIT");
    } finally {
      client.release();
    }
    say(`${Math.min(first + CHUNK - 1, completions)} of ${completions} completions, ${((performance.now() - startedAtMs) / 1_000).toFixed(0)} s`);
  }
  say("VACUUM ANALYZE, as Postgres does by itself within minutes");
  for (const table of ["requests", "attempts", "ledger", "ledger_requests", "shadows", "request_hours", "line_hours"]) await pool.query(`VACUUM ANALYZE ${table}`);
}

const ago = (hours: number): string => new Date(NOW - hours * 3_600_000).toISOString();
const DAY = {}, WEEK = { from: ago(7 * 24) }, MONTH = { from: ago(30 * 24) }, HOURS = { from: ago(6) };
const WHOLE: readonly (readonly [filter: string, query: Readonly<Record<string, string>>])[] = [
  ["24 h", DAY], ["6 h", HOURS], ["7 days", WEEK], ["30 days", MONTH], ["30 days, largest tenant", { ...MONTH, tenant_id: "tenant-0" }], ["30 days, small tenant", { ...MONTH, tenant_id: "tenant-19" }], ["30 days, a tier", { ...MONTH, tier: "large" }],
];
const LISTS: typeof WHOLE = [
  ["the latest", DAY], ["30 days, of a tenant", { ...MONTH, tenant_id: "tenant-19" }], ["30 days, a tier", { ...MONTH, tier: "large" }], ["30 days, failed", { ...MONTH, outcome: "failed" }], ["30 days, rejected", { ...MONTH, outcome: "rejected" }],
  ["30 days, degraded: none", { ...MONTH, outcome: "degraded" }], ["30 days, a policy, escalated", { ...MONTH, policy: "cascade", escalated: "true" }], ["30 days, slower than 8 s", { ...MONTH, min_latency_ms: "8000" }], ["30 days, slower than any", { ...MONTH, min_latency_ms: "9000000" }],
  ["a page in the middle", { ...MONTH, before: Buffer.from(JSON.stringify([ago(15 * 24), "r", "t"])).toString("base64url") }], ["200 of a tenant, failed", { ...MONTH, tenant_id: "tenant-3", outcome: "failed", limit: "200" }],
];
const VIEWS: readonly (readonly [view: string, path: string, filter: string, query: Readonly<Record<string, string>>])[] = [
  ...["overview", "series", "frontier", "flow", "latency"].flatMap((path) => WHOLE.map(([filter, query]) => [path, path, filter, query] as const)),
  ...LISTS.map(([filter, query]) => ["requests", "requests", filter, query] as const),
  ["requests", "requests", "by its id", { request_id: "r000500000" }], ["one request", "requests/TENANT/r000500000", "", {}], ["budgets", "budgets", "", {}], ["tiers", "tiers", "", {}],
];

interface Timed {
  readonly view: string;
  readonly filter: string;
  readonly p50Ms: number;
  readonly mostMs: number;
  /** Median, of Postgres's processes for these connections and of this process. */
  readonly cpuMs: number;
  readonly bytes: number;
}

async function timeViews(url: string, redisUrl: string, rounds: number, pool: Pool): Promise<{ readonly timed: readonly Timed[]; readonly loads: readonly PageLoad[] }> {
  const reader = makePool(url, "bench", () => undefined, { service: "console", statementTimeoutMs: 120_000, isReader: true });
  const clients = await Promise.all(Array.from({ length: 4 }, () => reader.connect()));
  const backends = await Promise.all(clients.map(async (client) => (await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid, set_config('max_parallel_workers_per_gather', '0', false)")).rows[0]?.pid ?? 0));
  for (const client of clients) client.release();
  const redis = new Redis(redisUrl);
  const end = new AbortController();
  const tiers = () => unknownTiers(TIERS, NOW);
  const app = await buildConsole({
    api: { pool: reader, redis, prefix: "infer", tierFile: TIERS, routing: () => NO_ROUTING, tiers, live: makeLiveFeed({ pool: reader, tiers, log, signal: end.signal }), now: () => NOW, queryMs: 120_000 },
    callers: makeCallers({ directory: { holderOf: () => Promise.resolve(null), standingOf: () => Promise.resolve(null) }, isKeyless: true, log }), isKeyless: true, pageFolder: join(projectFolder(), "dist/console"), registry: new Registry(), problems: () => [], log,
  });
  const { rows: [one] } = await pool.query<{ tenant_id: string }>("SELECT tenant_id FROM requests WHERE request_id = 'r000500000' OR request_id = (SELECT min(request_id) FROM requests) ORDER BY request_id DESC LIMIT 1");
  const timed: Timed[] = [];
  for (const [view, path, filter, query] of VIEWS) {
    const times: number[] = [], cpu: number[] = [];
    let bytes = 0;
    for (let round = 0; round <= rounds; round++) {
      const startedAtMs = performance.now(), cpuBefore = cpuMsOf(backends);
      const answer = await app.inject({ url: `/console/api/${path.replace("TENANT", one?.tenant_id ?? "")}?${new URLSearchParams(query).toString()}`, headers: { host: "localhost" } });
      if (round > 0) {
        times.push(performance.now() - startedAtMs);
        cpu.push(cpuMsOf(backends) - cpuBefore);
      }
      if (answer.statusCode !== 200 && !(answer.statusCode === 404 && path.includes("TENANT"))) throw new Error(`${path} ${filter}: ${answer.statusCode} ${answer.body}`);
      bytes = answer.rawPayload.length;
    }
    times.sort((a, b) => a - b);
    cpu.sort((a, b) => a - b);
    timed.push({ view, filter, cpuMs: cpu[Math.floor(cpu.length / 2)] ?? 0, p50Ms: times[Math.floor(times.length / 2)] ?? 0, mostMs: times.at(-1) ?? 0, bytes });
    say(rowOf(timed.at(-1)));
  }
  const loads = await timePage(await app.listen({ host: "127.0.0.1", port: 0 }));
  end.abort();
  await app.close();
  redis.disconnect();
  await reader.end();
  return { timed, loads };
}
/** Without what a gateway adds in passing it on. */
async function timePage(origin: string): Promise<readonly PageLoad[]> {
  const program = findChromium(process.env);
  if (program === null) {
    say(`the page is not timed: ${NO_CHROMIUM}`);
    return [];
  }
  return timePageLoads({ program, origin, paths: PAGES, loads: PAGE_LOADS });
}
const pageRow = ({ path, figuresMs, allMs, fileBytes }: PageLoad): string => {
  const ms = (values: readonly number[]) => `${median(values).toFixed(0)} ms, at most ${Math.max(...values).toFixed(0)}`;
  return `page ${path}: its figures after ${ms(figuresMs)}; every panel after ${ms(allMs)} (${figuresMs.length} loads, empty cache, ${fileBytes} bytes of files)`;
};

const rowOf = (one: Timed | undefined): string => (one === undefined ? "" : `${one.view.padEnd(12)} ${one.filter.padEnd(30)} ${one.p50Ms.toFixed(0).padStart(7)} ${one.mostMs.toFixed(0).padStart(7)} ${one.cpuMs.toFixed(0).padStart(7)} ${String(one.bytes).padStart(9)}`);

/** Since they began, without what they waited. */
function cpuMsOf(pids: readonly number[]): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000 + pids.reduce((sum, pid) => sum + Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e6, 0);
}

const WRITTEN = 10_000, BATCH = 500;
interface Written {
  /** Completions per second, the fastest of the turns. */
  readonly perS: number;
  /** Of a batch, the least of the turns: Postgres's, and with it the sink's own. */
  readonly postgresMs: number;
  readonly allMs: number;
}
async function timeWriter(url: string, pool: Pool): Promise<{ readonly withSums: Written; readonly without: Written }> {
  const sink = makePool(url, "bench", () => undefined, { service: "audit_sink", statementTimeoutMs: 60_000, connections: 1 });
  const { rows: [backend] } = await sink.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  const pids = [backend?.pid ?? 0];
  const writer = makeAuditWriter(sink);
  const base = Completion.parse(fixture);
  let seq = 2_000_000_000;
  const write = async (): Promise<Written> => {
    const startedAtMs = performance.now(), allBefore = cpuMsOf(pids), ownBefore = cpuMsOf([]);
    for (let done = 0; done < WRITTEN; done += BATCH) {
      await writer.write(Array.from({ length: BATCH }, () => {
        seq += 1;
        return toRows({ ...base, tenant_id: `tenant-${Math.floor(20 * ((seq * 7919) % 1_000 / 1_000) ** 2)}`, request_id: `w${seq}`, accepted_at_ms: NOW + (seq % 5_000_000), completed_at_ms: NOW + (seq % 5_000_000) + 40 }, seq);
      }));
    }
    const allMs = cpuMsOf(pids) - allBefore, batches = WRITTEN / BATCH;
    return { perS: (WRITTEN / (performance.now() - startedAtMs)) * 1_000, allMs: allMs / batches, postgresMs: (allMs - (cpuMsOf([]) - ownBefore)) / batches };
  };
  const none: Written = { perS: 0, postgresMs: Infinity, allMs: Infinity };
  const best = { withSums: none, without: none };
  for (let round = 0; round < 4; round++) {
    for (const how of ["withSums", "without"] as const) {
      for (const table of ["ledger", "ledger_requests"]) await pool.query(`ALTER TABLE ${table} ${how === "withSums" ? "ENABLE" : "DISABLE"} TRIGGER roll_up`);
      const one = await write();
      best[how] = { perS: Math.max(best[how].perS, one.perS), postgresMs: Math.min(best[how].postgresMs, one.postgresMs), allMs: Math.min(best[how].allMs, one.allMs) };
    }
  }
  for (const table of ["ledger", "ledger_requests"]) await pool.query(`ALTER TABLE ${table} ENABLE TRIGGER roll_up`);
  await sink.end();
  return best;
}

async function run(completions: number, rounds: number): Promise<void> {
  const [server, redis] = await Promise.all([values.database === undefined ? startTestServer("postgres") : null, startTestServer("redis")]);
  const url = values.database ?? server?.url ?? "";
  try {
    await migrateDatabase(url);
    const pool = makePool(url, "bench", () => undefined, { statementTimeoutMs: 600_000 });
    const { rows: [there] } = await pool.query<{ is_filled: boolean }>("SELECT EXISTS (SELECT FROM requests) AS is_filled");
    if (there?.is_filled !== true) await fill(pool, completions);
    const { rows: [counted] } = await pool.query<{ sums: number; megabytes: number; sums_megabytes: number }>("SELECT (SELECT count(*)::int FROM request_hours) + (SELECT count(*)::int FROM line_hours) AS sums, round(pg_database_size(current_database()) / 1e6)::int AS megabytes, round((pg_total_relation_size('request_hours') + pg_total_relation_size('line_hours')) / 1e6)::int AS sums_megabytes");
    const { timed: views, loads } = await timeViews(url, redis.url, rounds, pool);
    const writer = await timeWriter(url, pool);
    await pool.end();
    const machine = `${cpus().length} x ${cpus()[0]?.model.trim() ?? "?"}, Node ${process.versions.node}`;
    if (values.json === true) process.stdout.write(`${JSON.stringify({ machine, completions, ...counted, views, loads, writer })}\n`);
    else {
      process.stdout.write([
        machine, `${completions} completions of 30 days, ${counted?.megabytes ?? 0} MB, of which ${counted?.sums ?? 0} rows of sums ${counted?.sums_megabytes ?? 0} MB`,
        `${"VIEW".padEnd(12)} ${"FILTER".padEnd(30)} ${"P50 MS".padStart(7)} ${"MAX MS".padStart(7)} ${"CPU MS".padStart(7)} ${"BYTES".padStart(9)}`, ...views.map(rowOf), ...loads.map(pageRow),
        ...([["with sums", writer.withSums], ["without", writer.without]] as const).map(([how, one]) => `audit sink ${how}: ${one.perS.toFixed(0)} completions/s; CPU of a batch of ${BATCH}: Postgres ${one.postgresMs.toFixed(0)} ms, with the sink ${one.allMs.toFixed(0)} ms`),
      ].map((line) => `${line}\n`).join(""));
    }
    process.exitCode = views.every(({ p50Ms }) => p50Ms < MOST_MS) && loads.every(({ figuresMs }) => median(figuresMs) < MOST_PAGE_MS) ? 0 : 1;
  } finally {
    await Promise.all([server?.remove(), redis.remove()]);
  }
}

if (values.help === true) process.stdout.write(`${HELP}\n`);
else await run(Number(values.completions), Number(values.rounds));
