import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, expect, it } from "vitest";

import { startTestCluster, type TestServer } from "#infra/embedded/testServers.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";

import { connectNats } from "./connect.ts";
import { ensureTopology, type TopologyOptions } from "./ensureTopology.ts";
import { completionSubject, streamsOf } from "./topology.ts";

const REPLICATED: TopologyOptions = { prefix: "infer", tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000, replicas: 3 };
let servers: TestServer[];
beforeAll(async () => { servers = await startTestCluster(3); });
afterAll(() => Promise.all(servers.map((server) => server.remove())));

it("keeps a copy of each stream on three servers, refuses a second message on a subject and goes on when the leader dies", async () => {
  const nats = await connectNats({ url: servers.map(({ url }) => url).join(","), name: "test" });
  try {
    await ensureTopology(nats, REPLICATED);
    await ensureTopology(nats, REPLICATED);
    const jsm = await jetstreamManager(nats);
    const names = [...streamsOf("infer", 0).map(({ name }) => name), "KV_infer-tiers", "KV_infer-sweeper", "KV_infer-models"];
    for (const name of names) expect((await jsm.streams.info(name)).config.num_replicas, name).toBe(3);

    const publish = async (id: string) => (await nats.request(completionSubject("infer", { tenant_id: "t1", request_id: id }), "{}", { timeout: 2_000 })).json<{ seq?: number; error?: { err_code: number } }>();
    expect(await publish("before")).toMatchObject({ seq: 1 });
    const leader = (await jsm.streams.info("COMPLETIONS")).cluster?.leader;
    await servers.find(({ info }) => leader === `infer-test-${servers.findIndex((one) => one.info === info) + 1}`)?.kill();
    const after = await waitUntil(() => publish("after").then((ack) => (ack.seq === undefined && ack.error?.err_code !== 10_077 ? undefined : ack), () => undefined), { deadlineMs: 25_000, everyMs: 200, describe: () => "nothing is accepted without the leader" });
    expect(after.seq ?? after.error?.err_code).toBeDefined();
    expect(await publish("before")).toMatchObject({ error: { err_code: 10_077 } });
    expect((await jsm.streams.info("COMPLETIONS")).state.messages).toBe(2);
  } finally {
    await nats.close();
  }
});
