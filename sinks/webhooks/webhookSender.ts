/** The webhook sender: what the audit sink wrote down for endpoints goes out, each at least once. Several may run. */
import { lookup } from "node:dns";

import type { z } from "zod";

import { makePool } from "#shared/db/pool.ts";
import { watchTables } from "#shared/db/watchTables.ts";
import { every } from "#shared/runtime/lifecycle.ts";
import { makeReadiness } from "#shared/runtime/readiness.ts";
import { buildRoleServer, listen, makeRegistry } from "#shared/runtime/roleServer.ts";
import type { Role } from "#shared/runtime/runRole.ts";
import { subkey } from "#shared/tenancy/keyText.ts";

import { oldestDueS } from "./claims.ts";
import { WebhookSenderConfig } from "./config.ts";
import { makeGuardedAgent } from "#shared/reach/guardedAgent.ts";
import { makeWebhookMetrics } from "./metrics.ts";
import { runSendLoop, SEND_TIMES } from "./sendLoop.ts";
import { sendTry } from "./sendTry.ts";

const TRY_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 4_000;
const LOOK_EVERY_MS = 15_000;

export const webhookSender: Role<z.infer<typeof WebhookSenderConfig>> = {
  name: "webhook-sender",
  config: WebhookSenderConfig,
  async start(config, { log, signal, onClose, drainMs }) {
    const registry = makeRegistry("webhook-sender");
    const readiness = makeReadiness(signal);
    const app = buildRoleServer(registry, readiness.problems);
    onClose("http", () => app.close());
    await listen(app, { host: config.host, port: config.port, variable: "INFER_WEBHOOK_SENDER_PORT" });

    const pool = makePool(config.databaseUrl, "webhook-sender", (error) => { log.warn({ err: error }, "a Postgres connection broke"); }, { service: "webhook_sender" });
    onClose("postgres", () => pool.end());
    readiness.watch(await watchTables(pool, "webhook_sender", log, signal));
    if (signal.aborted) return;
    const agent = makeGuardedAgent({ allowance: config.allowance, lookup }, KEEP_ALIVE_MS);
    onClose("endpoints", () => agent.destroy());
    const metrics = makeWebhookMetrics(registry);
    every(LOOK_EVERY_MS, signal, () => oldestDueS(pool).then((seconds) => { metrics.oldestDue.set(seconds); }, () => undefined));
    readiness.started();
    log.info("ready");
    await runSendLoop({
      pool, key: subkey(config.secret, "webhooks"), metrics, log, signal, drainMs, now: Date.now, random: Math.random, times: SEND_TIMES,
      send: (one, hardStop) => sendTry(one, { agent, timeoutMs: TRY_TIMEOUT_MS, now: Date.now, signal: hardStop }),
    });
  },
};
