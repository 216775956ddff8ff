import { jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { pino } from "pino";
import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { type ModelStore, openModelStore } from "#shared/messaging/modelStore.ts";
import { modelBucket, streamOfBucket } from "#shared/messaging/topology.ts";
import { modelVersion } from "#shared/runtime/readModel.ts";

import { followModel, NO_ROUTING, type Routing } from "./followModel.ts";

const TIERS = [{ name: "small", slots: 1 }, { name: "large", slots: 1 }];
/** A model of its own for each name. */
function model(name: string, tiers = TIERS.map((tier) => tier.name)): RoutingModelFile {
  const file: RoutingModelFile = {
    type: "routing_model.v1", version: "", created_at: "2026-11-24T00:00:00Z", tiers, baseline_tier: "large", target: 0.97, risk: 0.05, latency_slo_ms: null,
    classes: { names: [], centroids: [] }, calibration: tiers.map(() => null), levels: [], operating: { cascade_routing_level: null, predictive_level: null, cascade_keep_from: 0.9 },
    data: { fingerprint: name, rows: 1, sources: [] }, metrics: { cascade_routing: null, predictive: null, cascade: null },
  };
  return { ...file, version: modelVersion(file) };
}
const versionOf = (name: string) => model(name).version;
const [V1, V2, V3, V9] = ["v1", "v2", "v3", "v9"].map(versionOf) as [string, string, string, string];
let server: Awaited<ReturnType<typeof startTestServer>>;
let nats: NatsConnection;
let store: ModelStore;
let followed: () => Routing;
const changes: { version: string | null; isUsed: boolean }[] = [];
const ending = new AbortController();
const PATIENCE = { timeout: 10_000, interval: 50 };
beforeAll(async () => {
  server = await startTestServer("nats");
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: TIERS, completionsMaxAgeMs: 86_400_000 });
  store = await openModelStore(nats, "infer");
  followed = await followModel({ nats, prefix: "infer", tierFile: { tiers: TIERS, baseline_tier: "large" }, log: pino({ level: "silent" }), observe: (change) => void changes.push(change) }, { signal: ending.signal, onClose: () => undefined });
});
afterAll(async () => {
  ending.abort();
  await nats.close();
  await server.remove();
});

it("has no model before one is active", () => { expect(followed()).toEqual(NO_ROUTING); });

it("takes what is activated within seconds, and goes back with it", async () => {
  for (const name of ["v1", "v2"]) {
    const { version } = model(name);
    await store.put(model(name));
    await store.activate(version);
    await vi.waitFor(() => { expect(followed().model?.version).toBe(version); }, PATIENCE);
  }
  expect(await store.versions()).toEqual([V1, V2].sort());
  const before = await store.active();
  const again = await store.activate(V2); // an activation of its own, of which there is nothing to take back
  expect([again.previous, again.activated_at > (before?.activated_at ?? "")]).toEqual([before?.previous, true]);
  expect(await store.rollback()).toMatchObject({ version: V1, previous: [] });
  await vi.waitFor(() => { expect(followed().model?.version).toBe(V1); }, PATIENCE);
  expect(await store.rollback()).toBeNull();
});

it("does not lose a change to another that was made meanwhile", async () => {
  await store.put(model("v3"));
  const results = await Promise.allSettled([store.activate(V2), store.activate(V3)]);
  const won = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const active = await store.active();
  expect(won).toContainEqual(active);
  for (const { version } of won) expect([active?.version, ...(active?.previous ?? [])]).toContain(version);
  while ((await store.active())?.version !== V1) await store.rollback();
  await vi.waitFor(() => { expect(followed().model?.version).toBe(V1); }, PATIENCE);
});

const FOREIGN = model("foreign", ["tiny", "huge"]);
const OTHER_BASELINE = ((file) => ({ ...file, version: modelVersion(file) }))({ ...model("other baseline"), baseline_tier: "small" });
const MISFIT = ((file) => ({ ...file, version: modelVersion(file) }))({ ...model("misfit"), calibration: [null] });
const putRaw = async (version: string, value: object) => { await (await new Kvm(nats).open(modelBucket("infer").name)).put(`model.${version}`, JSON.stringify(value)); };
it.each([
  ["other tiers", () => store.put(FOREIGN), FOREIGN.version],
  ["another baseline", () => store.put(OTHER_BASELINE), OTHER_BASELINE.version],
  ["content that cannot be read", () => putRaw("broken", {}), "broken"],
  ["content that was edited", () => putRaw(versionOf("edited"), { ...model("edited"), target: 0.5 }), versionOf("edited")],
  ["parts that do not fit each other", () => putRaw(MISFIT.version, MISFIT), MISFIT.version],
  ["a version that is not there", () => Promise.resolve(), "absent"],
])("keeps the model before it when the active one is of %s, and says so once", async (_name, prepare, version) => {
  await prepare();
  await store.activate(version);
  await vi.waitFor(() => { expect(changes).toContainEqual({ version, isUsed: false }); }, PATIENCE);
  expect(followed().model?.version).toBe(V1);
  await store.rollback();
  await vi.waitFor(() => { expect(changes.at(-1)).toEqual({ version: V1, isUsed: true }); }, PATIENCE);
  expect(changes.filter((change) => change.version === version)).toHaveLength(1);
});

it("reads what was stored uncompressed", async () => {
  await putRaw(versionOf("plain"), model("plain"));
  expect(await store.get(versionOf("plain"))).toEqual(model("plain"));
  await putRaw("elsewhere", model("plain"));
  await expect(store.get("elsewhere")).rejects.toThrow(`model.elsewhere holds another version: ${versionOf("plain")}`);
});

it("has none after a deactivation, and the one before it again after a rollback", async () => {
  expect(await store.deactivate()).toMatchObject({ version: null, previous: [V1] });
  await vi.waitFor(() => { expect(followed()).toEqual(NO_ROUTING); }, PATIENCE);
  expect(changes.at(-1)).toEqual({ version: null, isUsed: true });
  expect(await store.deactivate()).toBeNull();
  expect(await store.rollback()).toMatchObject({ version: V1, previous: [] });
  await vi.waitFor(() => { expect(followed().model?.version).toBe(V1); }, PATIENCE);
  await store.deactivate();
  await store.activate(V2);
  expect(await store.rollback()).toMatchObject({ version: null, previous: [V1] });
  await vi.waitFor(() => { expect(followed()).toEqual(NO_ROUTING); }, PATIENCE);
  await store.rollback();
  await vi.waitFor(() => { expect(followed().model?.version).toBe(V1); }, PATIENCE);
});

it("keeps its model when the bucket was lost and made anew", async () => {
  const jsm = await jetstreamManager(nats);
  await jsm.streams.delete(streamOfBucket(modelBucket("infer").name));
  await ensureTopology(nats, { prefix: "infer", tiers: TIERS, completionsMaxAgeMs: 86_400_000 });
  const anew = await openModelStore(nats, "infer");
  expect(await anew.active()).toBeNull();
  await anew.put(model("v9"));
  expect(followed().model?.version).toBe(V1);
  await anew.activate(V9);
  await vi.waitFor(() => { expect(followed().model?.version).toBe(V9); }, PATIENCE);
});
