/** `npm run bench:reports`: how long a report takes over a made-up month. */
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import type { Pool } from "pg";

import { projectFolder } from "#infra/embedded/homeFolder.ts";
import { runProgram } from "#infra/embedded/runProgram.ts";
import { startTestServer } from "#infra/embedded/testServers.ts";
import { type Attempt, Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import shadowFixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { Report, ReportBy } from "#shared/contracts/report.ts";
import { Shadow } from "#shared/contracts/shadow.ts";
import { makeBatchInsert } from "#shared/db/batchInsert.ts";
import { migrateDatabase } from "#shared/db/migrate.ts";
import { makePool } from "#shared/db/pool.ts";
import { ledger, ledgerRequests } from "#shared/db/schema/books.ts";
import { inTransaction } from "#shared/db/transaction.ts";
import { bookedRequestOf, linesOfCompletion, linesOfShadow } from "#shared/ledger/linesOf.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

const HELP = `Books a made-up month in a Postgres that it starts itself, and times \`inferctl report\` as it is typed, the start of Node included, by each group.

  npm run bench:reports -- [--completions <n>] [--rounds <n>] [--json]

  --completions  of November 2026 (default 200000), beside half as many of October, which no report here is of
  --rounds       of each report; the slowest counts (default 5)

A third of the requests escalates, 15 % are cached, 5 % have a shadow with a label; 50 tenants, 2,000 users. Ends with 1 when one report takes 2 s or more.`;

const MOST_MS = 2_000;
const BATCH = 5_000;
const COMPLETION = Completion.parse(fixture);
const SHADOW = Shadow.parse(shadowFixture);
const SECOND = COMPLETION.attempts[1] as Attempt;
const DAY_MS = 86_400_000;

const { values } = parseArgs({ options: { completions: { type: "string", default: "200000" }, rounds: { type: "string", default: "5" }, json: { type: "boolean" }, help: { type: "boolean" } } });
async function run(completions: number, rounds: number): Promise<void> {
  const server = await startTestServer("postgres");
  try {
    await migrateDatabase(server.url);
    const pool = makePool(server.url, "bench", () => undefined);
    const startedAtMs = performance.now();
    await book(pool, completions, Date.parse("2026-11-01T00:00:00Z"), 30);
    await book(pool, Math.round(completions / 2), Date.parse("2026-10-01T00:00:00Z"), 31);
    await pool.query("ANALYZE ledger, ledger_requests, shadows"); // as Postgres does by itself within a minute
    const seconds = (performance.now() - startedAtMs) / 1_000;
    const { rows: [counted] } = await pool.query<{ lines: number; megabytes: number }>("SELECT (SELECT count(*)::int FROM ledger) AS lines, round((pg_total_relation_size('ledger') + pg_total_relation_size('ledger_requests')) / 1e6)::int AS megabytes");
    await pool.end();
    const reports = [];
    for (const by of ReportBy.options) reports.push({ by, ...(await timed(server.url, by, rounds)) });
    const machine = `${cpus().length} x ${cpus()[0]?.model.trim() ?? "?"}, Node ${process.versions.node}`;
    if (values.json === true) process.stdout.write(`${JSON.stringify({ machine, completions, ...counted, reports })}\n`);
    else {
      process.stdout.write([
        machine,
        `${completions} completions of a month, booked with half as many of the month before: ${counted?.lines ?? 0} lines, ${counted?.megabytes ?? 0} MB with indexes, in ${seconds.toFixed(0)} s`,
        ...reports.map(({ by, groups, medianMs, mostMs }) => `inferctl report --by ${by.padEnd(6)}  ${String(groups).padStart(5)} groups  median ${String(Math.round(medianMs)).padStart(5)} ms, slowest of ${rounds} ${String(Math.round(mostMs)).padStart(5)} ms`),
      ].map((line) => `${line}\n`).join(""));
    }
    process.exitCode = reports.every(({ mostMs }) => mostMs < MOST_MS) ? 0 : 1;
  } finally {
    await server.remove();
  }
}

async function timed(url: string, by: ReportBy, rounds: number): Promise<{ readonly groups: number; readonly medianMs: number; readonly mostMs: number }> {
  const times: number[] = [];
  let groups = 0;
  for (let i = 0; i < rounds; i++) {
    const startedAtMs = performance.now();
    const printed = await runProgram(process.execPath, [join(projectFolder(), "dist/inferctl.js"), "report", "--by", by, "--from", "2026-11-01", "--to", "2026-12-01", "--json"], { cwd: projectFolder(), env: { ...process.env, DATABASE_URL: url }, timeoutMs: 60_000 });
    times.push(performance.now() - startedAtMs);
    const report = Report.parse(JSON.parse(printed));
    groups = report.rows.length + report.rows_left_out;
  }
  times.sort((a, b) => a - b);
  return { groups, medianMs: times[Math.floor(times.length / 2)] ?? 0, mostMs: times.at(-1) ?? 0 };
}

const [insertLines, insertRequests] = [makeBatchInsert(ledger), makeBatchInsert(ledgerRequests)];
const LABEL = "INSERT INTO shadows (tenant_id, request_id, policy, kept_tier, kept_model, kept_confidence, reference_tier, agreement, cost_nano_usd, cost_is_partial, at, stream_seq) SELECT *, 'cascade', 'small', 's-1', 0.9, 'large', 0.8, 0, false, $3::timestamptz, 1 FROM unnest($1::text[], $2::text[])";

async function book(pool: Pool, count: number, fromMs: number, days: number): Promise<void> {
  const random = seededRandom(fromMs);
  for (let first = 0; first < count; first += BATCH) {
    const events = Array.from({ length: Math.min(BATCH, count - first) }, () => completion(random, fromMs + Math.floor(random() * days * DAY_MS)));
    const sampled = events.filter(() => random() < 0.05);
    const shadows = sampled.map(({ tenant_id, request_id, accepted_at_ms }): Shadow => ({ ...SHADOW, tenant_id, request_id, at_ms: accepted_at_ms + 1_000 }));
    await inTransaction(pool, async (client) => {
      const lines = events.map((event, i) => linesOfCompletion(event, first + i));
      await insertRequests(client, events.map((event, i) => bookedRequestOf(event, first + i, lines[i] ?? [])));
      await insertLines(client, [...lines.flat(), ...shadows.flatMap((event, i) => linesOfShadow(event, first + i))]);
      await client.query(LABEL, [sampled.map(({ tenant_id }) => tenant_id), sampled.map(({ request_id }) => request_id), new Date(fromMs + DAY_MS).toISOString()]);
    });
  }
}

function completion(random: () => number, acceptedAtMs: number): Completion {
  const draw = (most: number): number => Math.floor(random() * most);
  const attempt = (number: number, tier: string, most: number): Attempt => ({ ...SECOND, attempt: number, tier, model: `${tier}-1`, cost_nano_usd: nanoUsd(1 + draw(most)) });
  const isCached = random() < 0.15, escalates = random() < 1 / 3;
  const attempts = isCached ? [] : [attempt(1, "small", 1e6), ...(escalates ? [attempt(2, "large", 1e8)] : [])];
  const tier = escalates ? "large" : "small";
  return {
    ...COMPLETION, tenant_id: `tenant-${draw(50)}`, request_id: `${acceptedAtMs.toString(36)}-${draw(1e9).toString(36)}`, user_id: `user-${draw(2_000)}`, policy: random() < 0.9 ? "cascade-routing" : "cascade", outcome: random() < 0.98 ? "completed" : "failed",
    tier, model: `${tier}-1`, attempts, decisions: [], baseline_cost_nano_usd: nanoUsd(1 + draw(1e8)), accepted_at_ms: acceptedAtMs,
    ...(isCached ? { cache: { kind: "exact" as const, stored_at_ms: acceptedAtMs, age_ms: 0, source_request_id: "earlier" } } : {}),
  };
}

if (values.help === true) process.stdout.write(`${HELP}\n`);
else await run(Number(values.completions), Number(values.rounds));
