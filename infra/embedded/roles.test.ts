import { expect, it } from "vitest";

import { servedBy } from "#shared/contracts/tiers.ts";
import { roleUsers } from "#shared/messaging/permissions.ts";
import { loadTierFile } from "#shared/runtime/loadConfig.ts";

import { planProcesses, type Ports, roleEnvironment, withSeeds, withSnapshotKeys } from "./roles.ts";

const tiers = loadTierFile({ tiersFile: "infra/config/tiers.yaml", pricesFile: "infra/config/prices.yaml" });
const ports: Ports = { INFER_GATEWAY_PORT: 1, INFER_GATEWAY_ADMIN_PORT: 7, INFER_ROUTER_PORT: 2, INFER_AUDIT_SINK_PORT: 3, INFER_METRICS_SINK_PORT: 4, INFER_WEBHOOK_SENDER_PORT: 5, INFER_CONSOLE_PORT: 8, INFER_WORKER_PORT: 6 };
const seedsOf = (isSingleProcess: boolean) =>
  withSeeds(planProcesses({ tiers, roleHost: "127.0.0.1", adminHost: "127.0.0.1" }, ports, isSingleProcess), "/seeds", roleUsers(servedBy(tiers).map(({ name }) => name))).map(({ name, env }) => [name, env["NATS_NKEY_SEED_FILE"]]);

it("gives each role the seed of its own NATS user alone, and none to one that has no user", () => {
  expect(seedsOf(false)).toEqual([
    ...["gateway", "router", ...servedBy(tiers).map(({ name }) => `worker-${name}`), "audit-sink", "metrics-sink"].map((role) => [role, `/seeds/${role}.nk`]), ["webhook-sender", undefined], ["console", "/seeds/console.nk"],
  ]);
});

it("gives one process of all roles the folder", () => { expect(seedsOf(true)).toEqual([["all-in-one", "/seeds"]]); });

it("gives the key of routers to the router alone", () => {
  const environment = { INFER_SNAPSHOT_KEYS_FILE: "/home/snapshot-keys", INFER_SNAPSHOT_KEYS: "k".repeat(32) };
  const knowing = withSnapshotKeys(planProcesses({ tiers, roleHost: "127.0.0.1", adminHost: "127.0.0.1" }, ports, false), environment).filter(({ env }) => Object.keys(env).some((name) => name in environment));
  expect(knowing).toMatchObject([{ name: "router", env: environment }]);
  expect(Object.keys(roleEnvironment(environment, { settings: { tiers, tiersFile: "t", pricesFile: "p", localModelsDir: "l" }, ports, urls: {} })).filter((name) => name in environment)).toEqual([]);
});
