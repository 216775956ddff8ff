import { jetstreamManager, type JetStreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { pino } from "pino";
import { afterAll, beforeAll, expect, it } from "vitest";

import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";

import { awaitTopology, connectNats } from "./connect.ts";
import { ensureTopology, missingTopology, type TopologyOptions } from "./ensureTopology.ts";
import { brokerOver } from "./openBroker.ts";
import { anyJob, batchWorkerSource, sourcesOf, streamsOf, workerSource } from "./topology.ts";

const DAY_MS = 86_400_000;
const WANTED: TopologyOptions = { prefix: "infer", tiers: [{ name: "small", slots: 2 }, { name: "large", slots: 1 }], completionsMaxAgeMs: DAY_MS };
let server: Awaited<ReturnType<typeof startTestServer>>;
let nats: NatsConnection;
let jsm: JetStreamManager;
beforeAll(async () => {
  server = await startTestServer("nats");
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  jsm = await jetstreamManager(nats);
});
afterAll(async () => {
  await nats.close();
  await server.remove();
});

it("says what is missing, and lets a role that waits go on once it is there", async () => {
  const needed = [sourcesOf("infer").routerRequests, workerSource("infer", { name: "small", slots: 2 })];
  expect(await missingTopology(jsm, "infer", needed)).toEqual(["consumer router-requests on stream REQUESTS", "consumer worker-small on stream JOBS", "bucket infer-tiers", "bucket infer-sweeper", "bucket infer-models"]);
  const lines: string[] = [];
  const waiting = awaitTopology(nats, { prefix: "infer", needed }, pino({ level: "warn" }, { write: (line: string) => void lines.push(line) }), new AbortController().signal);
  await ensureTopology(nats, WANTED);
  await waiting;
  expect(await missingTopology(jsm, "infer", needed)).toEqual([]);
  expect(lines.length).toBeLessThanOrEqual(1); // said once, if at all
});

it("stops waiting when the role is to end", async () => {
  const needed = [workerSource("infer", { name: "never", slots: 1 })];
  const shutdown = new AbortController();
  const waiting = awaitTopology(nats, { prefix: "infer", needed }, pino({ level: "silent" }), shutdown.signal);
  shutdown.abort();
  await waiting;
});

it("creates every stream, consumer and bucket, as the broker keeps them, and is harmless when repeated", async () => {
  await ensureTopology(nats, WANTED);
  await ensureTopology(nats, WANTED);
  for (const { name, ...wanted } of streamsOf("infer", DAY_MS)) expect((await jsm.streams.info(name)).config).toMatchObject(wanted);
  const durables = await Promise.all(["REQUESTS", "JOBS", "RESULTS", "COMPLETIONS", "ADVISORIES"].map(async (stream) => (await jsm.consumers.list(stream).next()).map(({ name }) => name)));
  expect(durables.flat().sort()).toEqual(["batch-worker-large", "batch-worker-small", "dead-letter-service", "router-requests", "router-results", "sink-audit", "sink-metrics", "worker-large", "worker-small"].sort());
  expect((await jsm.streams.info("KV_infer-tiers")).config.max_age).toBe(15_000 * 1e6);
});

it("refuses a stream with other settings and prints the difference, and changes it only when told to", async () => {
  const other = { ...WANTED, completionsMaxAgeMs: 2 * DAY_MS };
  await expect(ensureTopology(nats, other)).rejects.toThrow(/stream COMPLETIONS exists with other settings: max_age: wanted 172800000000000, is 86400000000000\. .*inferctl topology --update/);
  expect((await jsm.streams.info("COMPLETIONS")).config.max_age).toBe(DAY_MS * 1e6);
  await ensureTopology(nats, { ...other, update: true });
  expect((await jsm.streams.info("COMPLETIONS")).config.max_age).toBe(2 * DAY_MS * 1e6);
  await ensureTopology(nats, { ...WANTED, update: true });
});

it("gives a stream of before a lane for batch jobs its second subject when told to, and keeps what it holds", async () => {
  const stream = "JOBS";
  await ensureTopology(nats, WANTED);
  const { config } = await jsm.streams.info(stream);
  await Promise.all(["batch-worker-small", "batch-worker-large"].map((durable) => jsm.consumers.delete(stream, durable)));
  await jsm.streams.update(stream, { ...config, subjects: ["infer.job.*.*.*.*"] });
  const { acks, streams } = await brokerOver(nats, "infer");
  await acks.publish("infer.job.small.t1.kept.1", new Uint8Array());
  await expect(acks.publish("infer.batchjob.small.t1.r-1.1", new Uint8Array())).rejects.toMatchObject({ code: "broker_unavailable" });
  expect(await missingTopology(jsm, "infer", [batchWorkerSource("infer", { name: "small", slots: 2 })])).toEqual(["consumer batch-worker-small on stream JOBS"]);
  await expect(ensureTopology(nats, WANTED)).rejects.toThrow(/stream JOBS exists with other settings: subjects: .*batchjob.*inferctl topology --update/);
  await ensureTopology(nats, { ...WANTED, update: true });
  expect(await missingTopology(jsm, "infer", [batchWorkerSource("infer", { name: "small", slots: 2 })])).toEqual([]);
  expect(await acks.publish("infer.batchjob.small.t1.r-1.1", new Uint8Array())).toBe("stored");
  expect([await streams.last(stream, anyJob("infer", { tenant_id: "t1", request_id: "kept" }, 1)), await streams.last(stream, anyJob("infer", { tenant_id: "t1", request_id: "r-1" }, "*"))].map((message) => message?.subject)).toEqual(["infer.job.small.t1.kept.1", "infer.batchjob.small.t1.r-1.1"]);
});

it("adapts a consumer without losing its place", async () => {
  await ensureTopology(nats, { ...WANTED, tiers: [{ name: "small", slots: 100 }] });
  expect((await jsm.consumers.info("JOBS", "worker-small")).config.max_ack_pending).toBe(1_600);
  expect((await jsm.consumers.info("JOBS", "worker-large")).config.max_ack_pending).toBe(64); // left as it was
  await ensureTopology(nats, WANTED);
});

it("says what all streams together need where the server's store is too small for them", async () => {
  const small = await startTestServer("nats", { maxFileStoreBytes: 3 * 2 ** 30 });
  const connected = await connectNats({ url: small.url, name: "test" });
  await expect(ensureTopology(connected, WANTED)).rejects.toThrow(/^stream JOBS does not fit: all streams together may hold 11\.\d\d GiB.*INFER_STREAMS_GIB lower.*max_file_store/);
  await connected.close();
  await small.remove();
});

it("says that replicas need a cluster, and prints the difference for streams and buckets that have others", async () => {
  await expect(ensureTopology(nats, { ...WANTED, replicas: 3 })).rejects.toThrow(/stream REQUESTS exists with other settings: num_replicas: wanted 3, is 1\. .*inferctl topology --update/);
  await expect(ensureTopology(nats, { ...WANTED, replicas: 3, update: true })).rejects.toThrow(/stream REQUESTS: INFER_STREAM_REPLICAS=3 needs a cluster of at least 3 NATS servers/);
});
