/** The same events from COMPLETIONS, from the audit and from an export, through the commands. */
import { mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

import { jetstream } from "@nats-io/jetstream";
import type { Pool } from "pg";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { generatedEvent } from "#infra/bench/generatedEvents.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import type { AuditSource } from "#shared/audit/auditSource.ts";
import { type Chosen, chosenRecords } from "#shared/audit/chosenRecords.ts";
import { openCompletionsSource } from "#shared/audit/completionsSource.ts";
import { openTableSource } from "#shared/audit/tableSource.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { makePool } from "#shared/db/pool.ts";
import { makeCompletionsReader } from "#shared/messaging/readCompletions.ts";
import { toRows } from "#sinks/audit/toRows.ts";
import { makeAuditWriter } from "#sinks/audit/writeBatch.ts";

import { callInferctl } from "../callInferctl.ts";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "infer-sources-")));
const EVENTS = 620;
const events = Array.from({ length: EVENTS }, (_, i) => generatedEvent(i));
let broker: TestBroker;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
beforeAll(async () => {
  broker = await startTestBroker([]);
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "sources");
  pool = makePool(database.url, "test", () => undefined);
  const js = jetstream(broker.nats);
  for (const event of events) await js.publish(`infer.completion.${event.tenant_id}.${event.request_id}`, JSON.stringify(event));
  const writer = makeAuditWriter(pool);
  for (let from = 0; from < EVENTS; from += 200) expect(await writer.write(events.slice(from, from + 200).map((event, i) => toRows(event, from + i + 1)))).toEqual(events.slice(from, from + 200).map(() => ({ ok: true })));
});
afterAll(async () => {
  await pool.end();
  await database.drop();
  await broker.remove();
  rmSync(folder, { recursive: true, force: true });
});

let count = 0;
async function exported(...args: string[]) {
  const out = join(folder, `${++count}.jsonl.gz`);
  const called = await callInferctl(["export", "--out", out, "--json", ...args], { INFER_HOME: join(folder, "home"), NATS_URL: broker.server.url, DATABASE_URL: database.url });
  if (called.code !== 0) return { ...called, records: [], out };
  const lines = gunzipSync(readFileSync(out)).toString("utf8").split("\n").slice(1, -2);
  return { ...called, out, records: lines.map((line) => JSON.parse(line) as { seq: number; completion: unknown }) };
}
const seqs = ({ records }: { readonly records: readonly { seq: number }[] }): number[] => records.map(({ seq }) => seq);
/** What the audit has no column for. */
const inTheAudit = (event: Completion): unknown => {
  const { webhook: _webhook, ...kept } = event;
  return kept;
};

it("the stream, the audit and an export hold the same", async () => {
  const [stream, audit] = [await exported(), await exported("--from-audit")];
  expect(stream).toMatchObject({ code: 0 });
  expect(stream.records).toEqual(events.map((completion, i) => ({ seq: i + 1, completion })));
  expect(audit.records).toEqual(events.map((completion, i) => ({ seq: i + 1, completion: inTheAudit(completion) })));
  expect((await exported(stream.out)).records).toEqual(stream.records);
});

it.each(["stream", "--from-audit"])("a part of it: %s", async (source) => {
  const from = source === "stream" ? [] : [source];
  expect(seqs(await exported(...from, "--from-seq", "600"))).toEqual(Array.from({ length: 21 }, (_, i) => 600 + i));
  expect(seqs(await exported(...from, "--from-seq", "7", "--to-seq", "9"))).toEqual([7, 8, 9]);
  expect(seqs(await exported(...from, "--limit", "3"))).toEqual([1, 2, 3]);
  expect(seqs(await exported(...from, "--tenant", "tenant-7", "--limit", "2"))).toEqual([8, 28]);
  expect(seqs(await exported(...from, "--until", "2026-01-01"))).toEqual([]);
  expect(seqs(await exported(...from, "--since", "2026-01-01"))).toHaveLength(EVENTS);
});

it("of the audit by the time at which a request ended", async () => {
  const [from, to] = [events[300]?.completed_at_ms ?? 0, events[310]?.completed_at_ms ?? 0].map((ms) => new Date(ms).toISOString());
  expect(seqs(await exported("--from-audit", "--since", from ?? "", "--until", to ?? ""))).toEqual(Array.from({ length: 10 }, (_, i) => 301 + i));
});

it("whoever goes on from the start of a source, or from any batch of it, reads what that one had", async () => {
  const { signal } = new AbortController();
  const from = async (source: AuditSource, after: string): Promise<(number | null)[]> => {
    const read: (number | null)[] = [];
    for await (const { records } of source.batches({ signal, after })) read.push(...records.map(({ seq }) => seq));
    return read;
  };
  const endedAt = (i: number): number => events[i]?.completed_at_ms ?? NaN;
  const ofTable = (sinceMs: number, untilMs: number) => openTableSource(pool, { tenantId: null, fromSeq: null, toSeq: null, sinceMs, untilMs });
  const ofStream = async (fromSeq: number, toSeq: number) => openCompletionsSource(await makeCompletionsReader(broker.nats), { prefix: "infer", tenantId: null, fromSeq, toSeq, sinceMs: null, untilMs: null });
  const [first, later] = [300, 500].map((most) => ({ tenantId: null, limit: most })) as [Chosen, Chosen];
  for (const [source, other] of [[await ofTable(endedAt(10), endedAt(600)), await ofTable(endedAt(400), Date.now())], [await ofStream(11, 600), await ofStream(401, EVENTS)]] as const) {
    const wanted = Array.from({ length: 590 }, (_, i) => 11 + i);
    expect(await from(other, source.start)).toEqual(wanted);
    for await (const { cursor, records } of source.batches({ signal })) {
      wanted.splice(0, records.length);
      expect(await from(other, cursor)).toEqual(wanted);
    }
    expect(await from(chosenRecords(other, first), chosenRecords(source, later).start)).toEqual(Array.from({ length: 300 }, (_, i) => 11 + i));
  }
});

it("an event that cannot be read is named and counted, and --strict ends at it", async () => {
  await jetstream(broker.nats).publish("infer.completion.t1.later", JSON.stringify({ ...generatedEvent(0), type: "completion.v2" }));
  const { code, records, printed, notes } = await exported("--from-seq", String(EVENTS));
  expect([code, records.length, JSON.parse(printed)]).toMatchObject([0, 1, { not_read: { newer_version: 1 } }]);
  expect(notes).toContain(`#${EVENTS + 1}: completion.v2 is of a later release`);
  expect(await exported("--from-seq", String(EVENTS), "--strict")).toMatchObject({ code: 65 });
});

it("a server that cannot be reached is 69", async () => {
  const away = { INFER_HOME: join(folder, "home"), NATS_URL: "nats://127.0.0.1:1", DATABASE_URL: "postgresql://127.0.0.1:1/infer" };
  expect(await callInferctl(["export", "--out", join(folder, "x.jsonl")], away)).toMatchObject({ code: 69 });
  expect(await callInferctl(["export", "--out", join(folder, "x.jsonl"), "--from-audit"], away)).toMatchObject({ code: 69 });
});

it("leaves out, and counts, what is of an erased user, from wherever it comes: also of an export that was made before", async () => {
  const before = await exported();
  const [{ tenant_id, user_id } = events[0] as Completion] = events.filter((event) => event.user_id !== null);
  const isTheirs = (event: Completion) => event.tenant_id === tenant_id && event.user_id === user_id;
  const theirs = events.filter(isTheirs).length;
  expect(theirs).toBeGreaterThan(0);
  const erased = await callInferctl(["tenants", "erase", tenant_id, "--user", user_id ?? "", "--yes", "--json"], { INFER_HOME: join(folder, "home"), NATS_URL: broker.server.url, DATABASE_URL: database.url, REDIS_URL: inject("redisUrl") });
  expect(erased).toMatchObject({ code: 0 });
  for (const found of [await exported(), await exported(before.out)]) {
    expect(found).toMatchObject({ code: 0 });
    expect(found.records).toHaveLength(EVENTS - theirs);
    expect(found.records.some(({ completion }) => isTheirs(completion as Completion))).toBe(false);
  }
});
