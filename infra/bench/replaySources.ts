/** `npm run bench:replay-sources`: how fast audit events are read from each source, and that memory does not grow with their number. */
import { createReadStream, mkdtempSync, realpathSync, rmSync, statSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { Pool } from "pg";

import { startTestBroker } from "#infra/embedded/testBroker.ts";
import { startTestServer } from "#infra/embedded/testServers.ts";
import type { AuditSource } from "#shared/audit/auditSource.ts";
import { openCompletionsSource } from "#shared/audit/completionsSource.ts";
import { exportPlace, openExportFile } from "#shared/audit/exportFile.ts";
import { checkFiles, fileSource } from "#shared/audit/fileSource.ts";
import { openTableSource } from "#shared/audit/tableSource.ts";
import { makeBatchInsert } from "#shared/db/batchInsert.ts";
import { migrateDatabase } from "#shared/db/migrate.ts";
import { makePool } from "#shared/db/pool.ts";
import { attempts, requests } from "#shared/db/schema/audit.ts";
import { inTransaction } from "#shared/db/transaction.ts";
import { makeCompletionsReader } from "#shared/messaging/readCompletions.ts";
import { toRows } from "#sinks/audit/toRows.ts";

import { generatedEvent } from "./generatedEvents.ts";

const HELP = `Fills COMPLETIONS and the audit of servers that it starts itself with made-up events, and reads them from the stream, from the audit, and from an export of the stream.

  npm run bench:replay-sources -- [--events <n>]

  --events   of each source (default 1000000, which take 3 GB in the stream; 1 GB of disk for the audit's tables for each 250,000)

Memory: the resident memory of this process, the highest of the first tenth and the highest of the rest. CPU: of this process. Ends with 1 when a source lacks an event, or memory grows by more than a half and 100 MB.`;
const CHUNK = 2_000;
const MB = 2 ** 20;
const { values } = parseArgs({ options: { events: { type: "string", default: "1000000" }, help: { type: "boolean" } } });
const say = (line: string): void => { process.stdout.write(`${line}\n`); };
const running = new AbortController().signal;

interface Measured {
  readonly name: string;
  readonly events: number;
  readonly ms: number;
  readonly cpuMs: number;
  readonly firstMb: number;
  readonly restMb: number;
}
async function measured(name: string, total: number, read: (onEvents: (count: number) => void) => Promise<void>): Promise<Measured> {
  let events = 0, firstMb = 0, restMb = 0;
  const startedMs = performance.now(), cpu = process.cpuUsage();
  await read((count) => {
    events += count;
    const rssMb = process.memoryUsage.rss() / MB;
    if (events <= total / 10) firstMb = Math.max(firstMb, rssMb);
    else restMb = Math.max(restMb, rssMb);
  });
  const { user, system } = process.cpuUsage(cpu);
  return { name, events, ms: performance.now() - startedMs, cpuMs: (user + system) / 1_000, firstMb, restMb };
}
const reading = (source: AuditSource) => async (onEvents: (count: number) => void): Promise<void> => {
  for await (const { records, unreadable } of source.batches({ signal: running })) {
    if (unreadable.length > 0) throw new Error(`not read: ${JSON.stringify(unreadable[0])}`);
    onEvents(records.length);
  }
};
const numbersFrom = (first: number, total: number): number[] => Array.from({ length: Math.min(CHUNK, total - first) }, (_, i) => first + i);

async function fillStream(nats: NatsConnection, total: number): Promise<void> {
  const js = jetstream(nats);
  for (let first = 0; first < total; first += CHUNK) {
    await Promise.all(numbersFrom(first, total).map((i) => {
      const event = generatedEvent(i);
      return js.publish(`infer.completion.${event.tenant_id}.${event.request_id}`, JSON.stringify(event), { timeout: 60_000 });
    }));
  }
}
async function fillAudit(pool: Pool, total: number): Promise<void> {
  const [insertRequests, insertAttempts] = [makeBatchInsert(requests), makeBatchInsert(attempts)];
  for (let first = 0; first < total; first += CHUNK) {
    const rows = numbersFrom(first, total).map((i) => toRows(generatedEvent(i), i + 1));
    await inTransaction(pool, async (client) => {
      await insertRequests(client, rows.map(({ request }) => request));
      await insertAttempts(client, rows.flatMap((row) => [...row.attempts]));
    });
  }
  await pool.query("ANALYZE requests, attempts"); // as Postgres does by itself within a minute
}

async function run(total: number): Promise<boolean> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "infer-replay-sources-")));
  const broker = await startTestBroker([]);
  const postgres = await startTestServer("postgres");
  const all: Measured[] = [];
  try {
    await migrateDatabase(postgres.url);
    const pool = makePool(postgres.url, "bench", () => undefined, { statementTimeoutMs: 120_000 });
    await fillStream(broker.nats, total);
    const wanted = { prefix: "infer", tenantId: null, fromSeq: null, toSeq: null, sinceMs: null, untilMs: null };
    const stream = await openCompletionsSource(await makeCompletionsReader(broker.nats), wanted);
    all.push(await measured("COMPLETIONS", total, reading(stream)));
    const name = join(folder, "events.jsonl.gz");
    all.push(await measured("export, compressed", total, async (onEvents) => {
      const file = await openExportFile({ place: exportPlace(name), command: "bench", resumes: false, header: { type: "audit_export.v1", made_at: new Date().toISOString(), prefix: "infer", source: "COMPLETIONS", redacted: false, schema: "completion.v1" } });
      for await (const { records, cursor } of stream.batches({ signal: running })) {
        await file.add(records, cursor);
        onEvents(records.length);
      }
      await file.finish();
    }));
    const file = { name, open: () => createReadStream(name, { highWaterMark: 2 ** 18 }) };
    all.push(await measured("file, checked", total, async (onEvents) => { onEvents((await checkFiles([file], running)).lines); }));
    all.push(await measured("file, read", total, reading(fileSource([file], { total }))));
    say(`the export has ${(statSync(name).size / MB).toFixed(0)} MB`);
    await fillAudit(pool, total);
    all.push(await measured("the audit", total, reading(await openTableSource(pool, { ...wanted, untilMs: Date.now() + 86_400_000 }))));
    await pool.end();
  } finally {
    await broker.remove();
    await postgres.remove();
    rmSync(folder, { recursive: true, force: true });
  }
  say(`${total.toLocaleString("en")} events; ${cpus().length} x ${cpus()[0]?.model ?? ""}, Node ${process.version}\n`);
  say("source                events/s  CPU us/event  memory MB, first tenth  and the rest");
  for (const { name, events, ms, cpuMs, firstMb, restMb } of all) say(`${name.padEnd(20)}${Math.round((1_000 * events) / ms).toLocaleString("en").padStart(10)}${((1_000 * cpuMs) / events).toFixed(1).padStart(14)}${firstMb.toFixed(0).padStart(24)}${restMb.toFixed(0).padStart(14)}`);
  return all.every(({ events, firstMb, restMb }) => events === total && (firstMb === 0 || restMb <= 1.5 * firstMb + 100));
}

if (values.help === true) say(HELP);
else process.exitCode = (await run(Number(values.events))) ? 0 : 1;
