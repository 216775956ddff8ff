/** `/readyz` of every role while one of the servers is away: 503 with the reason where it cannot work without it, 200 where it can, and 200 again after. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Client } from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";

import { writeTierFile } from "#infra/e2e/tierFile.ts";
import { signalProcess } from "#infra/embedded/processIdentity.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { startTestServer } from "#infra/embedded/testServers.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { startTestRoles, testRole, type TestRoles } from "#infra/testRoles.ts";
import { gateway } from "#producers/gateway/gateway.ts";
import { router } from "#router/router.ts";
import completion from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { migrateDatabase } from "#shared/db/migrate.ts";
import { completionSubject } from "#shared/messaging/topology.ts";
import { consoleSink } from "#sinks/console/consoleSink.ts";
import { auditSink } from "#sinks/audit/auditSink.ts";
import { metricsSink } from "#sinks/metrics/metricsSink.ts";
import { webhookSender } from "#sinks/webhooks/webhookSender.ts";
import { worker } from "#workers/worker.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-readiness-"));
let broker: TestBroker;
let redis: Awaited<ReturnType<typeof startTestServer>>;
let postgres: Awaited<ReturnType<typeof startTestServer>>;
let roles: TestRoles;

beforeAll(async () => {
  [broker, redis, postgres] = await Promise.all([startTestBroker([{ name: "alpha", slots: 1 }]), startTestServer("redis"), startTestServer("postgres")]);
  await migrateDatabase(postgres.url);
  roles = await startTestRoles([testRole(gateway), testRole(router), testRole(worker), testRole(auditSink), testRole(metricsSink), testRole(webhookSender), testRole(consoleSink)], {
    NATS_URL: broker.url, REDIS_URL: redis.url, DATABASE_URL: postgres.url, INFER_TIERS_FILE: writeTierFile(join(folder, "tiers.json"), "http://127.0.0.1:9/v1", [{ name: "alpha" }]), INFER_WORKER_TIER: "alpha",
    INFER_AUTH: "keys", INFER_SECRET: "s".repeat(32), INFER_SNAPSHOT_KEYS: "k".repeat(32), INFER_BACKEND_ALLOW: "127.0.0.0/8", INFER_BUDGET_DAY_USD: "100",
  });
  await become({});
}, 60_000);
afterAll(async () => {
  const areFine = await roles.stop();
  await Promise.all([broker.remove(), redis.remove(), postgres.remove()]);
  rmSync(folder, { recursive: true });
  expect(areFine).toEqual(areFine.map(() => true));
});

/** By role: what it says is in its way; empty when it is ready. */
async function problems(): Promise<Record<string, string>> {
  return Object.fromEntries(await Promise.all([...roles.urls].map(async ([name, url]) => {
    const response = await fetch(`${url}/readyz`).catch(() => null);
    const { problems: found } = (await response?.json() ?? { problems: ["no answer"] }) as { problems: string[] };
    return [name, response?.status === 200 ? "" : found.join("; ")] as const;
  })));
}
const ALL_READY = { gateway: "", router: "", worker: "", "audit-sink": "", "metrics-sink": "", "webhook-sender": "", console: "" };
/** Waits until those who are named say so, and all others are ready. */
async function become(wanted: Readonly<Record<string, RegExp>>): Promise<void> {
  let last = {};
  await waitUntil(async () => {
    const found: Record<string, string> = last = await problems();
    return Object.keys(ALL_READY).every((name) => wanted[name]?.test(found[name] ?? "") ?? found[name] === "") ? true : undefined;
  }, { deadlineMs: 25_000, everyMs: 100, describe: () => JSON.stringify(last) });
}

it("without NATS nothing of requests works; webhooks go on", async () => {
  await broker.server.kill();
  const away = /NATS is disconnected/;
  await become({ gateway: away, router: away, worker: away, "audit-sink": away, "metrics-sink": away, console: away });
  await broker.server.restart();
  await become({});
});

it("without Postgres sinks do not work; who knows keys and tenants goes on", async () => {
  await postgres.stop();
  const away = /Postgres cannot be reached/;
  await become({ "audit-sink": away, "webhook-sender": away, console: away });
  await postgres.restart();
  await become({});
});

it("an audit sink that Postgres lets read and not write is not ready, and goes on by itself", async () => {
  const asOwner = async (sql: string) => {
    const owner = new Client({ connectionString: postgres.url });
    await owner.connect();
    await owner.query(sql).finally(() => owner.end());
  };
  await asOwner("REVOKE INSERT ON ledger_requests FROM infer_audit_sink");
  await broker.broker.acks.publish(completionSubject("infer", completion), new TextEncoder().encode(JSON.stringify(completion)));
  await become({ "audit-sink": /rows of COMPLETIONS cannot be written \(permission denied for table ledger_requests\)/ });
  await asOwner("GRANT INSERT ON ledger_requests TO infer_audit_sink");
  await become({});
});

it("without Redis budgets are not known; all else goes on", async () => {
  await redis.stop();
  await become({ router: /Redis does not answer, so what is left of budgets is not known/ });
  await redis.restart();
  await become({});
});

/** A server that is there and says nothing: no connection breaks, so whoever asks must notice. */
it("servers that hang are noticed too", async () => {
  const signal = (name: NodeJS.Signals) => {
    for (const { process: identity } of [broker.server.info(), redis.info()]) if (identity === undefined || !signalProcess(identity, name)) throw new Error("the server does not run");
  };
  signal("SIGSTOP");
  const away = /NATS is disconnected|JetStream \(/;
  try {
    await become({ gateway: away, router: /Redis does not answer/, worker: away, "audit-sink": away, "metrics-sink": away, console: away });
    await become({ gateway: away, router: away, worker: away, "audit-sink": away, "metrics-sink": away, console: away });
  } finally {
    signal("SIGCONT");
  }
  await become({});
}, 60_000);
