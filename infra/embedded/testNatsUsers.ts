import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { NatsConnection } from "@nats-io/transport-node";

import { makeRoleUsers, makeTenantUser, userFilesIn } from "#infra/nats/natsUsers.ts";
import { serverUsers } from "#infra/nats/serverUsers.ts";
import { readUsers } from "#infra/nats/userList.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import type { RoleUser } from "#shared/messaging/permissions.ts";
import { inboxOf, type TierSlots } from "#shared/messaging/topology.ts";
import { seedFileIn } from "#shared/runtime/natsSeed.ts";

import { startTestServer } from "./testServers.ts";

export interface TestServerWithUsers {
  readonly url: string;
  readonly connectRole: (role: RoleUser) => Promise<NatsConnection>;
  readonly connectTenant: (tenantId: string) => Promise<NatsConnection>;
  readonly remove: () => Promise<void>;
}

/** A NATS server of a test file's own, as it is configured where users are asked for: those of all roles and of these tenants. With all streams. */
export async function startTestServerWithUsers(tiers: readonly TierSlots[], tenants: readonly string[]): Promise<TestServerWithUsers> {
  const root = mkdtempSync(join(tmpdir(), "infer-nats-users-"));
  const files = userFilesIn(root);
  const names = tiers.map(({ name }) => name);
  makeRoleUsers(files, names, { now: () => new Date() });
  const seeds = new Map(tenants.map((tenant_id) => [tenant_id, makeTenantUser(files, { tenant_id, name: "test" }, new Date()).seed]));
  const config = serverUsers(readUsers(files.list).users, { prefix: "infer", tiers: names });
  const server = await startTestServer("nats", { users: { config, seedFile: seedFileIn(files.seeds, "admin") } });
  const connectRole = (role: RoleUser) => connectNats({ url: server.url, name: role, nkeySeed: readFileSync(seedFileIn(files.seeds, role), "utf8").trim(), inboxPrefix: inboxOf(role) });
  const admin = await connectRole("admin");
  await ensureTopology(admin, { prefix: "infer", tiers, completionsMaxAgeMs: 86_400_000 });
  await admin.close();
  return {
    url: server.url, connectRole,
    connectTenant: (tenantId) => connectNats({ url: server.url, name: tenantId, nkeySeed: seeds.get(tenantId), inboxPrefix: inboxOf(tenantId) }),
    async remove() {
      await server.remove();
      rmSync(root, { recursive: true, force: true });
    },
  };
}
