/** `/readyz` of every role while one of the servers is away: 503 with the reason where it cannot work without it, 200 where it can, and 200 again after. */
import { setMaxListeners } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pino } from "pino";
import { afterAll, beforeAll, expect, it } from "vitest";

import { writeTierFile } from "#infra/e2e/tierFile.ts";
import { anyFreePort } from "#infra/embedded/freePort.ts";
import { signalProcess } from "#infra/embedded/processIdentity.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { startTestServer } from "#infra/embedded/testServers.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { gateway } from "#producers/gateway/gateway.ts";
import { router } from "#router/router.ts";
import { migrateDatabase } from "#shared/db/migrate.ts";
import { runScope } from "#shared/runtime/lifecycle.ts";
import type { Role } from "#shared/runtime/runRole.ts";
import { auditSink } from "#sinks/audit/auditSink.ts";
import { metricsSink } from "#sinks/metrics/metricsSink.ts";
import { webhookSender } from "#sinks/webhooks/webhookSender.ts";
import { worker } from "#workers/worker.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-readiness-"));
const end = new AbortController();
const running: Promise<boolean>[] = [];
const ports = new Map<string, number>();
let broker: TestBroker;
let redis: Awaited<ReturnType<typeof startTestServer>>;
let postgres: Awaited<ReturnType<typeof startTestServer>>;

beforeAll(async () => {
  [broker, redis, postgres] = await Promise.all([startTestBroker([{ name: "alpha", slots: 1 }]), startTestServer("redis"), startTestServer("postgres")]);
  await migrateDatabase(postgres.url);
  setMaxListeners(0, end.signal);
  const variables = { gateway: "INFER_GATEWAY_PORT", router: "INFER_ROUTER_PORT", worker: "INFER_WORKER_PORT", "audit-sink": "INFER_AUDIT_SINK_PORT", "metrics-sink": "INFER_METRICS_SINK_PORT", "webhook-sender": "INFER_WEBHOOK_SENDER_PORT" };
  for (const name of Object.keys(variables)) ports.set(name, await anyFreePort());
  const environment = {
    NATS_URL: broker.url, REDIS_URL: redis.url, DATABASE_URL: postgres.url, INFER_TIERS_FILE: writeTierFile(join(folder, "tiers.json"), "http://127.0.0.1:9/v1", [{ name: "alpha" }]), INFER_WORKER_TIER: "alpha", INFER_AUTH: "keys", INFER_BACKEND_ALLOW: "127.0.0.0/8", INFER_SECRET: "s".repeat(32), INFER_BUDGET_DAY_USD: "100",
    ...Object.fromEntries(Object.entries(variables).map(([name, variable]) => [variable, String(ports.get(name))])),
  };
  const start = <C>(role: Role<C>) => void running.push(runScope(pino({ level: "silent" }), end.signal, (lifecycle) => role.start(role.config.parse(environment), { ...lifecycle, log: pino({ level: "silent" }), drainMs: 2_000, natsSeed: () => undefined })));
  start(gateway);
  start(router);
  start(worker);
  start(auditSink);
  start(metricsSink);
  start(webhookSender);
  await become({});
}, 60_000);
afterAll(async () => {
  end.abort();
  const areFine = await Promise.all(running);
  await Promise.all([broker.remove(), redis.remove(), postgres.remove()]);
  rmSync(folder, { recursive: true });
  expect(areFine).toEqual(areFine.map(() => true));
});

/** By role: what it says is in its way; empty when it is ready. */
async function problems(): Promise<Record<string, string>> {
  return Object.fromEntries(await Promise.all([...ports].map(async ([name, port]) => {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null);
    const { problems: found } = (await response?.json() ?? { problems: ["no answer"] }) as { problems: string[] };
    return [name, response?.status === 200 ? "" : found.join("; ")] as const;
  })));
}
const ALL_READY = { gateway: "", router: "", worker: "", "audit-sink": "", "metrics-sink": "", "webhook-sender": "" };
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
  await become({ gateway: away, router: away, worker: away, "audit-sink": away, "metrics-sink": away });
  await broker.server.restart();
  await become({});
});

it("without Postgres sinks do not work; who knows keys and tenants goes on", async () => {
  await postgres.stop();
  const away = /Postgres cannot be reached/;
  await become({ "audit-sink": away, "webhook-sender": away });
  await postgres.restart();
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
    await become({ gateway: away, router: /Redis does not answer/, worker: away, "audit-sink": away, "metrics-sink": away });
    await become({ gateway: away, router: away, worker: away, "audit-sink": away, "metrics-sink": away });
  } finally {
    signal("SIGCONT");
  }
  await become({});
}, 60_000);
