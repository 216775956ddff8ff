/** `npm run bench:replay-sources`: verify of very many completions from each source, by the command as it is typed: how fast, in how much memory, and that it changes nothing anywhere. */
import { mkdtempSync, realpathSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { Redis } from "ioredis";
import type { Pool } from "pg";

import { textTable } from "#infra/cli/textTable.ts";
import { anyFreePort } from "#infra/embedded/freePort.ts";
import { startTestBroker } from "#infra/embedded/testBroker.ts";
import { startTestServer } from "#infra/embedded/testServers.ts";
import { verifyRequest } from "#router/evaluation/verify/verifyRequest.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { makeBatchInsert } from "#shared/db/batchInsert.ts";
import { migrateDatabase } from "#shared/db/migrate.ts";
import { makePool } from "#shared/db/pool.ts";
import { attempts, requests } from "#shared/db/schema/audit.ts";
import { inTransaction } from "#shared/db/transaction.ts";
import { openModelStore } from "#shared/messaging/modelStore.ts";
import { openTierFileStore } from "#shared/messaging/tierFileStore.ts";
import { toRows } from "#sinks/audit/toRows.ts";
import { makeAuditWriter } from "#sinks/audit/writeBatch.ts";

import { changes, type Stand, standOfAll } from "./standOfAll.ts";
import { makeVerifyWorld, type World } from "./verifyWorld.ts";
import { watchCommand, type WatchedRun } from "./watchedCommand.ts";

const HELP = `Fills COMPLETIONS and the audit of servers that it starts itself with completions of requests that were really decided (20,000, each 50 times under other ids), exports them,
and runs \`inferctl replay --mode verify\` on the stream, on the audit and on the file.

  npm run bench:replay-sources -- [--events <n>] [--sources <file,stream,audit>]

  --events   of each source (default 1000000, at most 1200000: 4 GB in the stream, 5 in Postgres, 0.4 in the file)
  --sources  some of them, for runs in pieces

MB: the most of the process's resident memory in each third of the time in which it read events. REQUESTS/S: while it read; CPU: of the whole process, a file's first
reading included. Ends with 1 when an event is not decided again as it was; when anything is changed in any stream, bucket, table or key, in the consumers or in what was charged, when a
backend was called, Redis was connected to, or a message was on a live subject; or when the last third has 10 % more memory than the first (reading of 10 s and more).`;
const MADE = 20_000;
const CHUNK = 1_000;
/** Of the events, as the audit sink books them; of the others there are audit rows alone. */
const BOOKED = 20_000;
const KEYS = 1_000;
const MOST_GROWTH = 1.1;
const LEAST_JUDGED_MS = 10_000;
const MODE = ["replay", "--mode", "verify", "--strict", "--json"];
const { values } = parseArgs({ options: { events: { type: "string", default: "1000000" }, sources: { type: "string", default: "file,stream,audit" }, help: { type: "boolean" } } });
const say = (line: string): void => { process.stdout.write(`${line}\n`); };
const tell = (line: string): void => { process.stderr.write(line); };

/** The first ones are made; the others are these again, each under an id by which chance draws the same. */
function eventsOf({ next, versions }: World, total: number): (i: number) => Completion {
  const made = Array.from({ length: Math.min(MADE, total) }, next);
  return (i) => {
    const event = made[i % made.length] as Completion;
    for (let tried = i < made.length ? 0 : 1; ; tried++) {
      const again = tried === 0 ? event : { ...event, request_id: `r-${i}-${tried}` };
      if (verifyRequest(again, versions).kind === "same") return again;
    }
  };
}

interface Filled {
  readonly total: number;
  readonly stream: boolean;
  /** Else the booked ones alone. */
  readonly audit: boolean;
}
async function fill(nats: NatsConnection, pool: Pool, eventAt: (i: number) => Completion, { total, stream, audit }: Filled): Promise<void> {
  const js = jetstream(nats);
  const [insertRequests, insertAttempts] = [makeBatchInsert(requests), makeBatchInsert(attempts)];
  const books = makeAuditWriter(pool);
  const publish = async (events: readonly Completion[]): Promise<void> => {
    await Promise.all(events.map((event) => js.publish(`infer.completion.${event.tenant_id}.${event.request_id}`, JSON.stringify(event), { timeout: 60_000 })));
  };
  const write = async (events: readonly Completion[], first: number): Promise<void> => {
    const rows = events.map((event, i) => toRows(event, first + i + 1));
    if (first >= BOOKED && !audit) return;
    if (first < BOOKED) {
      const wrong = (await books.write(rows)).find(({ ok }) => !ok);
      if (wrong !== undefined) throw new Error(JSON.stringify(wrong));
      return;
    }
    await inTransaction(pool, async (client) => {
      await insertRequests(client, rows.map(({ request }) => request));
      await insertAttempts(client, rows.flatMap((row) => [...row.attempts]));
    });
  };
  let onTheWay: Promise<unknown> = Promise.resolve();
  const startedMs = performance.now();
  for (let first = 0; first < total; first += CHUNK) {
    const events = Array.from({ length: Math.min(CHUNK, total - first) }, (_, i) => eventAt(first + i));
    await onTheWay; // the servers work while the next ones are made
    onTheWay = Promise.all([stream ? publish(events) : null, write(events, first)]);
    if (first % (25 * CHUNK) === 0) tell(`${first} of ${total} made, ${((performance.now() - startedMs) / 1_000).toFixed(0)} s\n`);
  }
  await onTheWay;
  await pool.query("ANALYZE"); // as Postgres does by itself within a minute
}

/** Of a server that a tier file names, and that nobody has a reason to call. */
async function countCalls(): Promise<{ readonly url: string; readonly calls: () => number; readonly close: () => void }> {
  let calls = 0;
  const port = await anyFreePort();
  const server = createServer((_request, response) => void response.writeHead(500).end()).on("connection", () => { calls++; });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${port}/v1`, calls: () => calls, close: () => { server.close(); } };
}

interface Verified {
  readonly source: string;
  readonly run: WatchedRun;
  readonly requestsPerS: number;
  /** The most resident memory in each third of the reading. */
  readonly thirdsMb: readonly number[];
  readonly problems: readonly string[];
}
function verified(source: string, total: number, run: WatchedRun, changed: readonly string[]): Verified {
  const found = (run.printed === "" ? {} : JSON.parse(run.printed)) as { readonly requests?: number; readonly same?: number; readonly requests_per_s?: number };
  const readFromMs = run.saidAtMs("ok checking") ?? 0;
  const readMs = run.ms - readFromMs;
  const thirdsMb = [0, 1, 2].map((third) => Math.max(0, ...run.samples.filter(({ ms }) => Math.floor((3 * (ms - readFromMs)) / readMs) === third).map(({ rssMb }) => rssMb)));
  const [first = 0, , last = 0] = thirdsMb;
  const problems = [
    ...(run.code === 0 && found.requests === total && found.same === total ? [] : [`exit code ${run.code ?? "none"}, ${run.printed}`]),
    ...changed,
    ...(readMs >= LEAST_JUDGED_MS && last > MOST_GROWTH * first ? [`memory grew from ${first.toFixed(0)} to ${last.toFixed(0)} MB`] : []),
  ];
  return { source, run, requestsPerS: found.requests_per_s ?? 0, thirdsMb, problems };
}

const ARGUMENTS = { file: [], stream: [], audit: ["--from-audit"] } as const;
type SourceName = keyof typeof ARGUMENTS;
const isSource = (name: string): name is SourceName => Object.hasOwn(ARGUMENTS, name);

async function run(total: number, names: readonly SourceName[]): Promise<boolean> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "infer-replay-sources-")));
  const backend = await countCalls();
  const [broker, postgres, redisServer] = [await startTestBroker([]), await startTestServer("postgres"), await startTestServer("redis")];
  const all: Verified[] = [];
  let stand: Stand = {};
  try {
    await migrateDatabase(postgres.url);
    const pool = makePool(postgres.url, "bench", () => undefined, { statementTimeoutMs: 300_000 });
    const redis = new Redis(redisServer.url);
    await redis.mset(Object.fromEntries(Array.from({ length: KEYS }, (_, i) => [`infer:bench:${i}`, "kept"])));
    const world = makeVerifyWorld({ seed: 1, traffic: "typical", backendUrl: backend.url });
    await (await openModelStore(broker.nats, "infer")).put(world.model);
    await (await openTierFileStore(broker.nats, "infer")).put(world.file);
    await fill(broker.nats, pool, eventsOf(world, total), { total, stream: names.some((name) => name !== "audit"), audit: names.includes("audit") });

    let live = 0;
    for (const subjects of ["infer.>", "$KV.>"]) broker.nats.subscribe(subjects, { callback: () => { live++; } });
    const environment = { INFER_HOME: join(folder, "home"), NATS_URL: broker.url, DATABASE_URL: postgres.url, REDIS_URL: redisServer.url };
    const watched = { jsm: broker.broker.jsm, pool, redis, others: () => ({ "calls of a backend": backend.calls(), "messages on live subjects": live }) };
    const file = join(folder, "events.jsonl.gz");
    if (names.includes("file")) {
      const exported = await watchCommand(["export", "--out", file, "--json"], environment, tell);
      if (exported.code !== 0) throw new Error(`export ended with ${exported.code ?? "nothing"}`);
      say(`exported in ${(exported.ms / 1_000).toFixed(0)} s: ${(statSync(file).size / 2 ** 20).toFixed(0)} MB, compressed`);
    }
    for (const name of names) {
      stand = await standOfAll(watched);
      const run = await watchCommand([...MODE, ...ARGUMENTS[name], ...(name === "file" ? [file] : [])], environment, tell);
      await broker.nats.flush();
      all.push(verified(name, total, run, changes(stand, await standOfAll(watched))));
      tell(`${JSON.stringify({ ...all.at(-1), run: { ...run, samples: undefined } })}\n`);
    }
    redis.disconnect();
    await pool.end();
  } finally {
    await Promise.all([broker.remove(), postgres.remove(), redisServer.remove()]);
    backend.close();
    rmSync(folder, { recursive: true, force: true });
  }
  const n = (value: number): string => Math.round(value).toLocaleString("en");
  say(`${total.toLocaleString("en")} completions; ${cpus().length} x ${cpus()[0]?.model ?? ""}, Node ${process.version}`);
  say(textTable(["SOURCE", "REQUESTS/S", "CPU us/REQUEST", "WHOLE s", "MB, FIRST THIRD", "SECOND", "LAST", "CHANGED"], all.map(({ source, run, requestsPerS, thirdsMb, problems }) =>
    [source, n(requestsPerS), ((1_000 * run.cpuMs) / total).toFixed(1), (run.ms / 1_000).toFixed(0), ...thirdsMb.map(n), problems.length === 0 ? "nothing" : "see below"])));
  say(inAll(stand));
  for (const { source, problems } of all) for (const problem of problems) say(`${source}: ${problem}`);
  return all.every(({ problems }) => problems.length === 0);
}

/** What was there, and stayed. */
function inAll(stand: Stand): string {
  const sum = (pattern: RegExp): string => Object.entries(stand).reduce((all, [name, value]) => all + (pattern.test(name) ? value : 0), 0).toLocaleString("en");
  const count = (pattern: RegExp): number => Object.keys(stand).filter((name) => pattern.test(name)).length;
  return [
    `before and after each: ${sum(/^stream .*, messages$/)} messages in ${count(/^stream .*, messages$/)} streams and buckets with ${sum(/^JetStream, consumers$/)} consumers, ${sum(/^table /)} rows in ${count(/^table /)} tables,`,
    `  ${sum(/^table .*\.ledger, rows$/)} lines of the ledger with ${sum(/charged$/)} nano-dollars charged, ${sum(/^Redis, keys$/)} keys in Redis;`,
    `  ${sum(/^calls /)} calls of a backend, ${sum(/^messages on live/)} messages on live subjects`,
  ].join("\n");
}

if (values.help === true) say(HELP);
else process.exit((await run(Number(values.events), values.sources.split(",").filter(isSource))) ? 0 : 1); // deadlines of a million publishes are still waited for
