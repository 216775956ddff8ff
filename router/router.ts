/** The router role: decides, sweeps, speaks for dead letters, samples for shadow labels, and watches the quality floor. Keeps no state that it could lose. */
import type { z } from "zod";

import { makeAuditHit } from "#shared/cache/auditHit.ts";
import { openAnswerCache } from "#shared/cache/openAnswerCache.ts";
import { compileNow } from "#shared/contracts/compiled.ts";
import { Completion, Job, Result } from "#shared/contracts/events.ts";
import { RequestMessage } from "#shared/contracts/request.ts";
import { servedBy } from "#shared/contracts/tiers.ts";
import { makePool } from "#shared/db/pool.ts";
import { makeAdmissionProof } from "#shared/limits/admissionProof.ts";
import { openLimiter } from "#shared/limits/openLimiter.ts";
import type { AssignedArm } from "#shared/contracts/experimentArm.ts";
import { consume } from "#shared/messaging/consume.ts";
import { makeExperimentStore } from "#shared/messaging/experimentStore.ts";
import { makeGiveUp } from "#shared/messaging/giveUp.ts";
import { makeJudgedProof } from "#shared/messaging/judgedProof.ts";
import { openBroker } from "#shared/messaging/openBroker.ts";
import type { RequestLimits } from "#shared/messaging/readRequest.ts";
import { openTierFileStore } from "#shared/messaging/tierFileStore.ts";
import { sourcesOf } from "#shared/messaging/topology.ts";
import { untilItWorks } from "#shared/runtime/lifecycle.ts";
import { loadTierFile } from "#shared/runtime/loadConfig.ts";
import { makeReadiness } from "#shared/runtime/readiness.ts";
import { buildRoleServer, listen, makeRegistry } from "#shared/runtime/roleServer.ts";
import type { Role } from "#shared/runtime/runRole.ts";
import { Saga } from "#shared/saga/inferenceMachine.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";
import { followStandings, makeDirectory } from "#shared/tenancy/directory.ts";
import { watchDirectory } from "#shared/tenancy/watchDirectory.ts";
import { openTokenCounter } from "#shared/tokens/openTokenCounter.ts";
import { makeCountedTiers, makePromptTokens, tokenizersOf } from "#shared/tokens/tokensOfTiers.ts";

import { makeAdmitDirect } from "./admitDirect.ts";
import { RouterConfig } from "./config.ts";
import { makeDeadLetterService } from "./deadLetters.ts";
import { addDecideRoute } from "./decideRoute.ts";
import { followLiveTiers } from "./liveTiers.ts";
import { openBudgets } from "./openBudgets.ts";
import { openPacing } from "./openPacing.ts";
import { makeRouterMetrics } from "./metrics.ts";
import type { OpenRequests } from "./openRequests.ts";
import { followArms, NO_EXPERIMENT, type RunningExperiment } from "./followArms.ts";
import { followModel, NO_ROUTING, type Routing } from "./followModel.ts";
import { runExperimentGuard } from "./guardExperiment.ts";
import type { LiveTiers } from "./policy/quoteTiers.ts";
import { eraseKeysAsked } from "./eraseKeysAsked.ts";
import { reconcileCounters } from "./reconcileCounters.ts";
import { makeRouteEvent } from "./routeEvent.ts";
import { shareLoad } from "./shareLoad.ts";
import { runShadows } from "./runShadows.ts";
import { makeSnapshots } from "./snapshots.ts";
import { runSweeper } from "./sweeper.ts";
import { watchBudgets } from "./watchBudgets.ts";
import { makeExperimentMetrics, makeJudgedArms } from "./watchExperiment.ts";
import { runFloorWatch } from "./watchFloor.ts";
import { watchStreams } from "./watchStreams.ts";

export const router: Role<z.infer<typeof RouterConfig>> = {
  name: "router",
  config: RouterConfig,
  async start(config, context) {
    const { log, signal, onClose } = context;
    const { prefix } = config;
    const tierFile = loadTierFile(config);
    let experiments: RunningExperiment = NO_EXPERIMENT;
    const limits: RequestLimits = { defaultDeadlineMs: config.defaultDeadlineMs, maxDeadlineMs: config.maxDeadlineMs, tierFile, experiment: () => experiments.running() };
    const registry = makeRegistry("router");
    const readiness = makeReadiness(signal);
    let live: () => LiveTiers = () => new Map();
    let followed: () => Routing = () => NO_ROUTING;
    const routing = (arm?: AssignedArm) => experiments.modelOf(arm) ?? { model: followed().model, floorSteps: followed().guard?.steps ?? 0 };
    let fold: OpenRequests | null = null;
    let now: () => number = Date.now;
    const app = buildRoleServer(registry, readiness.problems, readiness.warnings);
    const count = await openTokenCounter(tokenizersOf(tierFile));
    const countTokens = makeCountedTiers(count);
    addDecideRoute(app, limits, (arm) => ({ live: live(), ...routing(arm), exploration: config.exploration, nowMs: now() }), countTokens);
    onClose("http", () => app.close());
    await listen(app, { host: config.host, port: config.port, variable: "INFER_ROUTER_PORT" });

    const { tracer, close } = startTracing(config.tracing, "infer-router", log);
    onClose("tracing", close);
    const { routerRequests, routerResults, deadLetterService } = sourcesOf(prefix);
    const needed = [routerRequests, routerResults, deadLetterService];
    const broker = await openBroker({ url: config.natsUrl, role: "router", prefix, needed, readiness, registry, tracer }, context);
    if (signal.aborted) return;
    const { nats, wire, js, jsm, streams, publisher, observeRun } = broker;
    now = broker.now;
    live = await followLiveTiers({ nats, jsm, redisUrl: config.redisUrl, prefix, tiers: servedBy(tierFile), readiness, log }, context);

    const pool = makePool(config.databaseUrl, "router", (error) => { log.warn({ err: error }, "a Postgres connection broke"); }, { service: "router" });
    onClose("postgres", () => pool.end());
    // Sums over a month of a busy tenant, which must not keep what requests need waiting.
    const slowPool = makePool(config.databaseUrl, "router-sums", (error) => { log.warn({ err: error }, "a Postgres connection broke"); }, { service: "router", statementTimeoutMs: 30_000 });
    onClose("postgres for sums", () => slowPool.end());
    if (!config.isKeyless) readiness.watch(await watchDirectory(pool, signal));
    const standingOf = followStandings(makeDirectory({ pool, pepper: null, now }), { isKeyless: config.isKeyless, log });
    const metrics = makeRouterMetrics(registry, { fold: () => fold, routing: () => followed(), now });
    followed = await followModel({ nats, prefix, tierFile, log, observe: (change) => { metrics.observeModel(change); } }, context);
    experiments = await followArms({ nats, prefix, tierFile, log }, context);
    const limiter = await openLimiter({ redisUrl: config.redisUrl, prefix, door: "nats", registry, broker }, context);
    const { isGenuine } = makeAdmissionProof(config.secret, prefix);
    const snapshots = makeSnapshots({ keys: config.snapshotKeys, streams, prefix, observe: metrics.observeSnapshot });
    const giveUp = makeGiveUp({ publisher, prefix, limits, now, readResult: snapshots.openOrJob });
    const cached = { ...openAnswerCache({ role: "router", redisUrl: config.redisUrl, prefix, secret: config.secret, now, registry }, context), auditHit: makeAuditHit({ publisher, tierFile, registry, log, now }) };
    const budgets = openBudgets({ redisUrl: config.redisUrl, prefix, sweepGraceMs: config.sweepGraceMs, global: config.globalBudgets, pool: slowPool, broker, fold: () => fold, registry, readiness }, context);
    const pacing = openPacing({ pool: slowPool, balanceOf: budgets.balanceOf, registry, log, now });
    const { observer, shedDirect } = shareLoad({ broker, prefix, live, fold: () => fold, maxQueueMs: config.maxQueueMs, registry, now }, context);
    const route = makeRouteEvent({ snapshots, shed: shedDirect, cached, budgets, pacing, publisher, streams, prefix, limits, standingOf, isAdmitted: isGenuine, admit: makeAdmitDirect(limiter, makePromptTokens(tierFile, count), now), live, countTokens, routing, exploration: config.exploration, tracer, observe: (decision) => { metrics.observe(decision); }, now });
    const loop = { js, wire, log, now, giveUp, observeRun, concurrency: config.concurrency, signal, drainMs: context.drainMs };
    eraseKeysAsked(config, context);
    reconcileCounters({ config, broker, registry }, context);
    watchBudgets({ redisUrl: config.redisUrl, prefix, global: config.globalBudgets, standingOf, registry, now }, context);
    await watchStreams({ broker, prefix, tiers: servedBy(tierFile), registry, now }, context);
    const experimentMetrics = makeExperimentMetrics(registry);
    const watched = { store: makeExperimentStore(nats, prefix), streams, prefix, running: () => experiments.running(), log, observeRollback: experimentMetrics.observeRollback };
    runExperimentGuard({ ...watched, pool: slowPool, metrics: experimentMetrics, now, signal });
    compileNow(RequestMessage, Result, Job, Completion, Saga);
    readiness.started();
    log.info({ tiers: tierFile.tiers.map(({ name }) => name), default_policy: tierFile.default_policy }, "ready");
    await Promise.all([
      consume({ ...loop, source: routerRequests, handle: (delivery) => route.request(delivery) }),
      consume({ ...loop, source: routerResults, handle: (delivery) => route.result(delivery) }),
      budgets.settle(),
      untilItWorks(context, "keep the tier file for replay", async () => (await openTierFileStore(nats, prefix)).put(tierFile)),
      consume({ ...loop, source: deadLetterService, handle: makeDeadLetterService({ streams, giveUp, tracer }) }),
      runShadows({ publisher, streams, prefix, standingOf, share: config.shadowShare, shadowTiers: config.shadowTiers, tierFile, tracer, observeGone: metrics.observeGone, now }, { js, wire, jsm, log, signal, observeRun, drainMs: context.drainMs }),
      runFloorWatch({ nats, js, wire, observeRun, streams, prefix, used: () => followed().activation, log, now, isGenuine: makeJudgedProof(config.isKeyless ? null : config.secret, prefix).isGenuine, judgedArms: makeJudgedArms(watched), signal, drainMs: context.drainMs }),
      untilItWorks(context, "start the sweeper", () => runSweeper({ nats, js, streams, publisher, prefix, limits, graceMs: config.sweepGraceMs, tracer, log, now, observer, snapshots, signal }, (made) => { fold = made; })),
    ]);
  },
};
