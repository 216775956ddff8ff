import { DiscardPolicy, jetstream, type JetStreamClient, jetstreamManager, type JetStreamManager, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, it } from "vitest";

import { startTestServer, type TestServer } from "#infra/embedded/testServers.ts";

import { connectNats } from "./connect.ts";
import { type CompletionsBatch, type CompletionsReader, gapsOf, makeCompletionsReader } from "./readCompletions.ts";
import { REPLAY_READERS } from "./topology.ts";

let server: TestServer;
let nats: NatsConnection;
let jsm: JetStreamManager;
let js: JetStreamClient;
let reader: CompletionsReader;
const STORED = 1_300;
const LOST = [5, 6, 7, 640, STORED - 1];
const running = new AbortController().signal;

/** A stream from which messages can be taken, as age takes them. */
beforeAll(async () => {
  server = await startTestServer("nats");
  nats = await connectNats({ url: server.url, name: "test" });
  jsm = await jetstreamManager(nats);
  js = jetstream(nats);
  await jsm.streams.add({ name: "COMPLETIONS", subjects: ["infer.completion.*.*"], retention: RetentionPolicy.Limits, storage: StorageType.File, discard: DiscardPolicy.New, allow_direct: true });
  await publish(0, STORED);
  for (const seq of LOST) await jsm.streams.deleteMessage("COMPLETIONS", seq);
  reader = await makeCompletionsReader(nats);
});
afterAll(async () => {
  await nats.close();
  await server.remove();
});
async function publish(from: number, to: number): Promise<void> {
  for (let first = from; first < to; first += 100) await Promise.all(Array.from({ length: Math.min(100, to - first) }, (_, i) => js.publish(`infer.completion.t${(first + i) % 2}.r-${first + i}`, String(first + i))));
}
async function listOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
const read = (options: Partial<Parameters<CompletionsReader["read"]>[0]> = {}): Promise<CompletionsBatch[]> => listOf(reader.read({ prefix: "infer", tenantId: null, from: 1, to: STORED, signal: running, ...options }));
const seqsOf = (batches: readonly CompletionsBatch[]): number[] => batches.flatMap(({ messages }) => messages.map(({ seq }) => seq));
const all = Array.from({ length: STORED }, (_, i) => i + 1);
const consumers = async (): Promise<string[]> => (await listOf(jsm.consumers.list("COMPLETIONS"))).map(({ name }) => name);

it("gives what is there, in order, and names what is not", async () => {
  const kept = all.filter((seq) => !LOST.includes(seq));
  const batches = await read();
  expect(seqsOf(batches)).toEqual(kept);
  expect(batches.length).toBeGreaterThan(2);
  expect(batches.flatMap(({ gone }) => gone)).toEqual([{ from: 5, to: 7 }, { from: 640, to: 640 }, { from: STORED - 1, to: STORED - 1 }]);
  expect(batches.at(-1)?.nextSeq).toBe(STORED + 1);
  expect(await consumers()).toEqual([]);
});

it("goes on from any place, and ends where it is to end", async () => {
  expect(seqsOf(await read({ from: 600, to: 700 }))).toEqual(all.filter((seq) => seq >= 600 && seq <= 700 && seq !== 640));
  expect(await read({ from: 640, to: 640 })).toEqual([{ messages: [], gone: [{ from: 640, to: 640 }], nextSeq: 641 }]);
  expect(await read({ from: 8, to: 7 })).toEqual([]);
  expect((await read({ from: STORED - 1, to: STORED - 1 })).flatMap(({ gone }) => gone)).toEqual([{ from: STORED - 1, to: STORED - 1 }]);
});

it("gives one tenant's alone, without a word about gaps", async () => {
  const batches = await read({ tenantId: "t1" });
  expect(seqsOf(batches)).toEqual(all.filter((seq) => seq % 2 === 0 && !LOST.includes(seq)));
  expect(batches.flatMap(({ gone }) => gone)).toEqual([]);
  expect(await read({ tenantId: "nobody" })).toMatchObject([{ messages: [], nextSeq: STORED + 1 }]);
});

it("reads nothing that came after it began", async () => {
  const { lastSeq } = await reader.stand();
  await publish(lastSeq, lastSeq + 50);
  expect(seqsOf(await read({ from: lastSeq, to: lastSeq }))).toEqual([lastSeq]);
});

it("several at once each have all, none takes from another, and their number has a bound", async () => {
  const both = await Promise.all([read(), read()]);
  expect(seqsOf(both[0])).toEqual(seqsOf(both[1]));
  const open = REPLAY_READERS.map(() => reader.read({ prefix: "infer", tenantId: null, from: 1, to: STORED, signal: running }));
  for (const one of open) expect((await one.next()).done).toBe(false);
  const patient = read(); // a name is free once one has ended, or was killed
  const impatient = await makeCompletionsReader(nats, { namePatienceMs: 0 });
  await expect(impatient.read({ prefix: "infer", tenantId: null, from: 1, to: STORED, signal: running }).next()).rejects.toMatchObject({ code: "conflict" });
  await Promise.all(open.map((one) => one.return(undefined)));
  expect(seqsOf(await patient)).toEqual(seqsOf(both[0]));
  expect(await consumers()).toEqual([]);
});

it("goes on after its consumer was lost, and loses and repeats nothing", async () => {
  const seqs: number[] = [];
  for await (const { messages } of reader.read({ prefix: "infer", tenantId: null, from: 1, to: STORED, signal: running })) {
    seqs.push(...messages.map(({ seq }) => seq));
    for (const name of await consumers()) await jsm.consumers.delete("COMPLETIONS", name);
  }
  expect(seqs).toEqual(all.filter((seq) => !LOST.includes(seq)));
});

it("ends when it is asked to", async () => {
  const stop = new AbortController();
  const batches: CompletionsBatch[] = [];
  for await (const batch of reader.read({ prefix: "infer", tenantId: null, from: 1, to: STORED, signal: stop.signal })) {
    batches.push(batch);
    stop.abort();
  }
  expect(batches).toHaveLength(1);
  expect(await consumers()).toEqual([]);
});

it("finds a sequence by time", async () => {
  const stand = await reader.stand();
  const hundredth = await jsm.streams.getMessage("COMPLETIONS", { seq: 100 });
  const atMs = hundredth?.time.getTime() ?? NaN;
  const found = await reader.sequenceAt(stand, atMs);
  const timeOf = async (seq: number) => (await jsm.streams.getMessage("COMPLETIONS", { seq }))?.time.getTime() ?? NaN;
  expect(await timeOf(found)).toBeGreaterThanOrEqual(atMs);
  for (let seq = found - 1; seq >= 1; seq--) expect([seq, LOST.includes(seq) || (await timeOf(seq)) < atMs]).toEqual([seq, true]);
  expect(await reader.sequenceAt(stand, 0)).toBe(1);
  expect(await reader.sequenceAt(stand, Date.now() + 60_000)).toBe(stand.lastSeq + 1);
});

it.each([
  [[1, 2, 3], 1, 4, []],
  [[], 3, 3, []],
  [[], 3, 5, [{ from: 3, to: 4 }]],
  [[4, 7], 3, 9, [{ from: 3, to: 3 }, { from: 5, to: 6 }, { from: 8, to: 8 }]],
])("gaps of %j from %i to before %i", (seqs, from, end, gaps) => { expect(gapsOf(seqs, from, end)).toEqual(gaps); });
