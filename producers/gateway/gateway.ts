/** The gateway role: HTTP in, REQUESTS out, and the durable outcome back. */
import { lookup } from "node:dns";

import type { z } from "zod";

import { makeAuditHit } from "#shared/cache/auditHit.ts";
import { openAnswerCache } from "#shared/cache/openAnswerCache.ts";
import { compileNow } from "#shared/contracts/compiled.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { Completion } from "#shared/contracts/events.ts";
import type { Experiment } from "#shared/contracts/experiment.ts";
import { makePool } from "#shared/db/pool.ts";
import { followErasures } from "#shared/erasure/readErasures.ts";
import { makeAdmissionProof } from "#shared/limits/admissionProof.ts";
import { openLimiter } from "#shared/limits/openLimiter.ts";
import { makeAnswerStreams } from "#shared/messaging/answerStream.ts";
import { followExperiment } from "#shared/messaging/followExperiment.ts";
import { followRouting } from "#shared/messaging/followRouting.ts";
import { followLoads } from "#shared/messaging/loads.ts";
import { makeJudgedProof } from "#shared/messaging/judgedProof.ts";
import { type Broker, openBroker } from "#shared/messaging/openBroker.ts";
import { makeReplies, type Replies } from "#shared/messaging/replies.ts";
import { makeSubmitFeedback } from "#shared/messaging/submitFeedback.ts";
import { makeSubmitRequest } from "#shared/messaging/submitRequest.ts";
import { sourcesOf } from "#shared/messaging/topology.ts";
import { measureLag } from "#shared/overload/eventLoopLag.ts";
import { makeShedding } from "#shared/overload/shedding.ts";
import { aborted } from "#shared/runtime/lifecycle.ts";
import { loadTierFile } from "#shared/runtime/loadConfig.ts";
import { makeReadiness } from "#shared/runtime/readiness.ts";
import { listen, makeRegistry } from "#shared/runtime/roleServer.ts";
import type { Role } from "#shared/runtime/runRole.ts";
import { VERSION } from "#shared/runtime/version.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";
import { followStandings, makeDirectory } from "#shared/tenancy/directory.ts";
import { subkey } from "#shared/tenancy/keyText.ts";
import { watchDirectory } from "#shared/tenancy/watchDirectory.ts";
import { openTokenCounter } from "#shared/tokens/openTokenCounter.ts";
import { makePromptTokens, tokenizersOf } from "#shared/tokens/tokensOfTiers.ts";

import { makeAdmit } from "./admit.ts";
import { buildGateway } from "./app.ts";
import { runBatches } from "./batches/runBatches.ts";
import { makeCachedRuns } from "./cachedRuns.ts";
import { makeCallers } from "#shared/http/callers.ts";
import { GatewayConfig } from "./config.ts";
import type { Desk } from "./desk.ts";
import { assertNotErased, makeFindRequest } from "./findRequest.ts";
import { boundConnections } from "./idleConnections.ts";
import { AFTER_SWEEP_MS, makeInference } from "./inference.ts";
import { makeKnownWork } from "./knownWork.ts";
import { makeLetIn } from "./letIn.ts";
import { makeBatchMetrics } from "./metrics.ts";
import { watchRouting } from "./routingWatch.ts";
import { makeWatches } from "./watchRequest.ts";

/** At once; what administrates is few. */
const ADMIN_CONNECTIONS = 100;

export const gateway: Role<z.infer<typeof GatewayConfig>> = {
  name: "gateway",
  config: GatewayConfig,
  async start(config, context) {
    const { log, signal, onClose } = context;
    const { prefix } = config;
    let experiment: () => Experiment | null = () => null;
    const limits = { defaultDeadlineMs: config.defaultDeadlineMs, maxDeadlineMs: config.maxDeadlineMs, tierFile: loadTierFile(config), experiment: () => experiment() };
    const registry = makeRegistry("gateway");
    const readiness = makeReadiness(signal);
    const { tracer, close: closeTracing } = startTracing(config.tracing, "infer-gateway", log);
    onClose("tracing", closeTracing);
    const pool = makePool(config.databaseUrl, "gateway", (error) => { log.warn({ err: error }, "a Postgres connection broke"); }, { service: "gateway" });
    onClose("postgres", () => pool.end());
    const pepper = config.secret === null ? null : subkey(config.secret, "api-keys");
    let now: () => number = Date.now; // until NATS has said its own
    const directory = makeDirectory({ pool, pepper, now: () => now() });
    if (!config.isKeyless) readiness.watch(await watchDirectory(pool, signal));
    const callers = makeCallers({ directory, isKeyless: config.isKeyless, log });
    let desk: Desk | null = null;
    let operating: Broker | null = null;
    let waiting = () => 0;
    const { service, admin } = await buildGateway({
      desk: () => desk ?? starting(), tracer, registry, log,
      problems: readiness.problems, warnings: readiness.warnings, waiting: () => waiting(), callers, admin: { pool, pepper }, webhooks: { pool, key: config.secret === null ? null : subkey(config.secret, "webhooks"), allowance: config.webhookAllowance, lookup }, isKeyless: config.isKeyless, version: VERSION, consoleUrl: config.consoleUrl, operations: { broker: () => operating ?? starting(), prefix },
      door: { tierFile: limits.tierFile, budgetUsd: config.openAiBudgetUsd },
    });
    boundConnections(service.server, config.maxConnections);
    boundConnections(admin.server, ADMIN_CONNECTIONS);
    const closeServers = () => Promise.all([service.close(), admin.close()]);
    onClose("http", closeServers);
    const port = await listen(service, { host: config.host, port: config.port, variable: "INFER_GATEWAY_PORT" });
    const adminPort = await listen(admin, { host: config.adminHost, port: config.adminPort, variable: "INFER_GATEWAY_ADMIN_PORT" });

    const broker = await openBroker({ url: config.natsUrl, role: "gateway", prefix, needed: [sourcesOf(prefix).routerRequests], readiness, registry, tracer }, context);
    if (signal.aborted) return;
    const { nats, acks, streams, publisher, instance } = broker;
    now = broker.now;
    operating = broker;
    const limiter = await openLimiter({ redisUrl: config.redisUrl, prefix, door: "http", registry, broker }, context);
    experiment = await followExperiment({ nats, prefix, tierFile: limits.tierFile, log }, context);
    const { sign } = makeAdmissionProof(config.secret, prefix);
    const replies = makeReplies({ nats, streams, prefix, origin: instance, log, now });
    onClose("replies", () => { replies.close(); });
    const erasures = followErasures(pool, log, signal);
    const stored: Pick<Replies, "expect" | "find"> = {
      ...replies,
      async find(id) {
        const found = await replies.find(id);
        return found === null ? null : assertNotErased(erasures(), found);
      },
    };
    const answers = makeAnswerStreams(nats, { prefix, origin: instance, log });
    onClose("answers", () => { answers.close(); });
    const cached = makeCachedRuns({
      ...openAnswerCache({ role: "gateway", redisUrl: config.redisUrl, prefix, secret: config.secret, now, registry }, context),
      auditHit: makeAuditHit({ publisher, tierFile: limits.tierFile, registry, log, now }), publisher, streams, replies: stored, prefix, limits, routing: followRouting({ nats, prefix, log }, context),
      origin: instance, graceMs: config.sweepGraceMs + AFTER_SWEEP_MS, tracer, log, now,
    });
    const known = makeKnownWork(() => performance.now());
    followLoads(nats, prefix, known.heard);
    const { isStalled } = await watchRouting({ broker, prefix, longestMs: config.maxDeadlineMs + config.sweepGraceMs, now }, registry, context);
    const shedding = makeShedding({ door: "http", maxQueueMs: config.maxQueueMs, lagMs: measureLag(signal), isRoutingStalled: isStalled, work: known.work, registry, now: () => performance.now() });
    const inference = makeInference({ letIn: makeLetIn({ known, shedding, streams, prefix }), admit: makeAdmit(limiter, makePromptTokens(limits.tierFile, await openTokenCounter(tokenizersOf(limits.tierFile)))), submit: makeSubmitRequest({ acks, streams, prefix, sign }), replies: stored, cancel: (id) => { answers.cancel(id); }, limits, cached, origin: instance, sweepGraceMs: config.sweepGraceMs, now });
    const watches = makeWatches({ nats, streams, prefix, replies: stored, limits, sweepGraceMs: config.sweepGraceMs, mostWatches: config.maxEventStreams, log });
    waiting = replies.waiting;
    desk = { inference, find: makeFindRequest({ streams, pool, prefix, erasures }), listen: (id, onMessage) => answers.listen(id, onMessage), submitFeedback: makeSubmitFeedback({ acks, prefix, sign: makeJudgedProof(config.secret, prefix).sign }), watches };
    onClose("requests", async () => {
      watches.close();
      const late = setTimeout(() => { replies.giveUp(); }, context.drainMs); // their clients ask again with the same request_id
      await closeServers().finally(() => { clearTimeout(late); });
    });
    compileNow(Completion);
    readiness.started();
    log.info({ host: config.host, port, admin_port: adminPort, instance }, "ready");
    const standingOf = followStandings(directory, { isKeyless: config.isKeyless, log });
    const observe = makeBatchMetrics(registry);
    await Promise.all([
      aborted(signal),
      runBatches({ pool, infer: (id, body, call) => inference.infer(id, body, call), standingOf, instance, window: config.batchWindow, defaultDeadlineMs: config.maxDeadlineMs, log, observe, tracer, signal }),
    ]);
  },
};

function starting(): never {
  throw new AppError("broker_unavailable", "the gateway is starting and waits for NATS: GET /readyz says for what");
}
