/** The console: a page for people who look rather than read, and the API that it asks. It reads what others have written, and changes nothing. */
import { Gauge } from "prom-client";
import type { z } from "zod";

import { makePool } from "#shared/db/pool.ts";
import { watchTables } from "#shared/db/watchTables.ts";
import { makeCallers } from "#shared/http/callers.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";
import { openBroker } from "#shared/messaging/openBroker.ts";
import { aborted, hasEnded } from "#shared/runtime/lifecycle.ts";
import { loadTierFile } from "#shared/runtime/loadConfig.ts";
import { makeReadiness } from "#shared/runtime/readiness.ts";
import { listen, makeRegistry } from "#shared/runtime/roleServer.ts";
import type { Role } from "#shared/runtime/runRole.ts";
import { makeDirectory } from "#shared/tenancy/directory.ts";
import { subkey } from "#shared/tenancy/keyText.ts";

import { buildConsole } from "./app.ts";
import { ConsoleConfig } from "./config.ts";
import { makeLiveFeed } from "./liveFeed.ts";
import { pageFolder } from "./pageFiles.ts";
import { followPromise, NO_ROUTING } from "./routingNow.ts";
import { followTierStates, unknownTiers } from "./tierStates.ts";

const MOST_QUERY_MS = 5_000;
/** A page asks for several views at once. What finds none free waits, and gives up where it waits too long. */
const CONNECTIONS = 8;

export const consoleSink: Role<z.infer<typeof ConsoleConfig>> = {
  name: "console",
  config: ConsoleConfig,
  async start(config, context) {
    const { log, signal, onClose } = context;
    const { prefix } = config;
    const tierFile = loadTierFile(config);
    const registry = makeRegistry("console");
    const readiness = makeReadiness(signal);
    const pool = makePool(config.databaseUrl, "console", (error) => { log.warn({ err: error }, "a Postgres connection broke"); }, { service: "console", statementTimeoutMs: MOST_QUERY_MS, connections: CONNECTIONS, isReader: true });
    onClose("postgres", () => pool.end());
    const redis = connectRedis(config.redisUrl, "console", log, { meanwhile: "budgets are not shown", mostWaitMs: 2_000 });
    onClose("redis", () => { redis.disconnect(); });

    // Until NATS has said more, and while it is away: what Postgres holds is shown all the same.
    let now: () => number = Date.now, routing = () => NO_ROUTING, tiers = () => unknownTiers(tierFile, now());
    const live = makeLiveFeed({ pool, tiers: () => tiers(), log, signal });
    new Gauge({ name: "infer_console_listeners", help: "Pages that follow requests as they end.", registers: [registry], collect() { this.set(live.listeners()); } });
    const directory = makeDirectory({ pool, pepper: config.secret === null ? null : subkey(config.secret, "api-keys"), now: () => now() });
    const app = await buildConsole({
      api: { pool, redis, prefix, tierFile, routing: () => routing(), tiers: () => tiers(), live, now: () => now() },
      callers: makeCallers({ directory, isKeyless: config.isKeyless, log }), isKeyless: config.isKeyless, pageFolder: pageFolder(), registry, problems: readiness.problems, warnings: readiness.warnings, log,
    });
    onClose("http", () => app.close());
    const port = await listen(app, { host: config.host, port: config.port, variable: "INFER_CONSOLE_PORT" });

    const broker = await openBroker({ url: config.natsUrl, role: "console", prefix, needed: [], readiness, registry }, context);
    if (signal.aborted) return;
    now = broker.now;
    routing = followPromise({ broker, prefix, log }, context);
    tiers = await followTierStates({ broker, prefix, tierFile, pool, log }, context);
    readiness.watch(await watchTables(pool, "console", log, signal));
    if (hasEnded(signal)) return;
    readiness.started();
    log.info({ port }, "ready");
    await aborted(signal);
  },
};
