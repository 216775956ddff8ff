import type { NatsConnection } from "@nats-io/transport-node";

import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import type { TierSlots } from "#shared/messaging/topology.ts";

import { startTestServer, TEST_SERVER_NAME } from "./testServers.ts";

export interface TestBroker {
  readonly url: string;
  /** For tests that kill or stop it. */
  readonly server: Awaited<ReturnType<typeof startTestServer>>;
  readonly nats: NatsConnection;
  readonly broker: Awaited<ReturnType<typeof brokerOver>>;
  readonly remove: () => Promise<void>;
}

/** A NATS server of a test file's own, with all streams and durables under the prefix `infer`. `remove` takes it away. */
export async function startTestBroker(tiers: readonly TierSlots[]): Promise<TestBroker> {
  const server = await startTestServer("nats");
  const nats = await connectNats({ url: server.url, name: "test" });
  if (nats.info?.server_name !== TEST_SERVER_NAME) throw new Error(`this is not the test's own server: ${server.url}`);
  await ensureTopology(nats, { prefix: "infer", tiers, completionsMaxAgeMs: 86_400_000 });
  const remove = async () => {
    await nats.close();
    await server.remove();
  };
  return { url: server.url, server, nats, broker: await brokerOver(nats, "infer"), remove };
}
