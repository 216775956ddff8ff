/** The worker role: one tier, `slots` jobs at once, and beside them a few batch jobs and one shadow job. */
import { lookup } from "node:dns";
import { dirname } from "node:path";

import type { z } from "zod";

import { openAnswerCache } from "#shared/cache/openAnswerCache.ts";
import { compileNow } from "#shared/contracts/compiled.ts";
import { Completion, Job } from "#shared/contracts/events.ts";
import { replicasOf, servedBy, type Tier, type TierFile } from "#shared/contracts/tiers.ts";
import type { TierStatus } from "#shared/contracts/tierStatus.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";
import { pushLatencies } from "#shared/liveState/latencyWindow.ts";
import { followCancellations, publishAnswer } from "#shared/messaging/answerStream.ts";
import { followBreakerResets } from "#shared/messaging/breakerResets.ts";
import { consumePerSlot } from "#shared/messaging/consume.ts";
import { makeGiveUp } from "#shared/messaging/giveUp.ts";
import { openBroker } from "#shared/messaging/openBroker.ts";
import { beatStatus } from "#shared/messaging/tierStatusStore.ts";
import { batchWorkerSource, shadowWorkerSource, workerSource } from "#shared/messaging/topology.ts";
import { every } from "#shared/runtime/lifecycle.ts";
import { exitWith, loadApiKey, loadTierFile } from "#shared/runtime/loadConfig.ts";
import { makeReadiness } from "#shared/runtime/readiness.ts";
import { buildRoleServer, listen, makeRegistry } from "#shared/runtime/roleServer.ts";
import type { Role, RoleContext } from "#shared/runtime/runRole.ts";
import { Saga } from "#shared/saga/inferenceMachine.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";

import { makeBackend } from "./backends/makeBackend.ts";
import { problemsOfTier } from "./backends/reach.ts";
import { WorkerConfig } from "./config.ts";
import { makeLanes } from "./lanes.ts";
import { exportPriceEnds, makeWorkerMetrics } from "./metrics.ts";
import { balanced } from "./resilience/balanced.ts";
import { makeRetryBudget } from "./resilience/retryBudget.ts";
import { makeRunJob } from "./runJob.ts";
import { makeRunShadow } from "./runShadow.ts";

/** How often measured latencies are handed to the routers. */
const LATENCY_FLUSH_MS = 250;
/** Long enough for other workers to take jobs, short enough for a lone one to hand them back to the router. */
const MOST_PAUSE_MS = 250;

export const worker: Role<z.infer<typeof WorkerConfig>> = {
  name: "worker",
  config: WorkerConfig,
  async start(config, context) {
    const { log, signal, onClose } = context;
    const file = loadTierFile(config);
    const { tier, port } = tierOf(file, config.tierName, config.firstPort);
    const configured = replicasOf(tier).map((replica) => ({ ...replica, apiKey: loadApiKey({ name: tier.name, backend: replica.backend }) }));
    const misplaced = problemsOfTier(tier, config.backendAllowance);
    if (misplaced.length > 0) return exitWith(config.tiersFile, misplaced);
    const registry = makeRegistry(`worker-${tier.name}`);
    exportPriceEnds(registry, tier.name, configured);
    const readiness = makeReadiness(signal);
    const app = buildRoleServer(registry, readiness.problems, readiness.warnings);
    onClose("http", () => app.close());
    await listen(app, { host: config.host, port, variable: "INFER_WORKER_PORT" });

    const { tracer, close: closeTracing } = startTracing(config.tracing, "infer-worker", log);
    onClose("tracing", closeTracing);
    const servers = await Promise.all(configured.map(async ({ apiKey, ...replica }) => {
      const server = await makeBackend({ backend: replica.backend, prior: tier.prior, apiKey, reach: { allowance: config.backendAllowance, lookup }, localModelsDir: config.localModelsDir, tiersDir: dirname(config.tiersFile) });
      onClose(`backend ${replica.name}`, () => server.close());
      return { ...replica, server };
    }));
    const needed = [workerSource(config.prefix, tier), batchWorkerSource(config.prefix, tier)];
    const { nats, wire, js, streams, publisher, now, instance, observeRun } = await openBroker({ url: config.natsUrl, role: `worker-${tier.name}`, prefix: config.prefix, needed, readiness, registry, tracer }, context);
    if (signal.aborted) return;

    let touch = (): void => undefined;
    const metrics = makeWorkerMetrics(registry, tier.name, { status: () => status(), loads: () => replicas.loads(), limit: () => replicas.limit() });
    const replicas = balanced(tier, servers, { onChange: () => { touch(); }, now: () => performance.now(), random: Math.random, observe: metrics.replicas });
    const lanes = makeLanes(config.prefix, tier, () => replicas.limit());
    const status = (): TierStatus => ({ tier: tier.name, instance, slots: lanes.slots.interactive, limit: replicas.limit(), busy: lanes.busy.interactive, batch_slots: lanes.slots.batch, batch_busy: lanes.busy.batch, ...replicas.state() });
    const beat = await beatStatus(nats, config.prefix, status, log);
    touch = () => { beat.touch(); };
    onClose("tier state", () => beat.stop());
    const latencies = reportLatencies(config, tier, context);

    const deps = { tier, replicas, retryBudget: makeRetryBudget(metrics.retried), publisher, streams, tracer, prefix: config.prefix, now, random: Math.random };
    const cancellations = followCancellations(nats, config.prefix);
    onClose("cancellations", () => { cancellations.close(); });
    followBreakerResets(nats, { prefix: config.prefix, tier: tier.name }, () => {
      log.info({ tier: tier.name }, "somebody has the breaker reset: the next call is its trial");
      replicas.resetBreakers();
    });
    const { cache } = openAnswerCache({ role: `worker-${tier.name}`, redisUrl: config.redisUrl, prefix: config.prefix, secret: config.secret, now, registry }, context);
    const runJob = makeRunJob({
      ...deps, cancellations, keep: (request, completion) => void cache.keep(request, completion), show: (options) => publishAnswer(nats, config.prefix, options),
      observe({ tenant_id, request_id, request }, attempt, { isFinal, traceId }) {
        const { outcome, tries, latency_ms, cost_nano_usd } = attempt;
        metrics.observe(attempt, isFinal);
        // A call that the deadline cut off took at least this long: a tier that hangs must not look as fast as it was. Batches are no measure of what somebody waits for.
        const isMeasure = outcome.kind === "answered" || (outcome.code === "deadline_exceeded" && tries > 0);
        if (isMeasure && request.priority !== "batch") latencies.push(latency_ms);
        const result = outcome.kind === "failed" ? outcome.code : isFinal ? "accepted" : "handed_on";
        log.info({ tenant_id, request_id, trace_id: traceId, tier: tier.name, attempt: attempt.attempt, result, tries, latency_ms, cost_nano_usd }, "attempt");
      },
    });
    const runShadow = makeRunShadow({
      ...deps,
      observeAudit({ result }, { tenant_id, request_id, verdict, agreement }) {
        metrics.observeCalls(result);
        log.info({ tenant_id, request_id, tier: tier.name, verdict, agreement, tries: result.tries, latency_ms: result.latency_ms, cost_nano_usd: result.cost_nano_usd }, "audit of a kept answer");
      },
      observe({ tenant_id, request_id }, attempt, { event, traceId: trace_id }) {
        const agreement = event.type === "shadow.v1" ? event.agreement : event.agreement_with_baseline;
        metrics.observeCalls(attempt);
        log.info({ tenant_id, request_id, trace_id, tier: tier.name, agreement, tries: attempt.tries, latency_ms: attempt.latency_ms, cost_nano_usd: attempt.cost_nano_usd }, "shadow");
      },
    });
    const limits = { defaultDeadlineMs: config.defaultDeadlineMs, maxDeadlineMs: config.maxDeadlineMs, tierFile: file };
    compileNow(Job, Completion, Saga);
    readiness.started();
    for (const { name, backend: { model }, price } of configured) log.info({ tier: tier.name, replica: name, model, ...price }, "price");
    log.info({ tier: tier.name, slots: lanes.slots.interactive, batch_slots: lanes.slots.batch, instance }, "ready");
    const loop = { js, wire, log, now, signal, observeRun, drainMs: context.drainMs, giveUp: makeGiveUp({ publisher, prefix: config.prefix, limits, now }) };
    const jobs = lanes.run({
      ...loop, handle: runJob,
      // A broken tier fails jobs faster than a healthy worker beside it runs them: it must not take most of them.
      pauseMs: () => Math.min(MOST_PAUSE_MS, replicas.state().retry_in_ms),
    });
    const shadows = consumePerSlot({
      ...loop, source: shadowWorkerSource(config.prefix, tier), concurrency: 1, handle: runShadow,
      // Requests come first; and while the breaker is open, a shadow would only be lost.
      pauseMs: () => (lanes.isFull() ? MOST_PAUSE_MS : replicas.state().retry_in_ms),
    }).catch((error: unknown) => { if (!signal.aborted) log.error({ err: error }, "the shadow loop ended; requests go on"); });
    await Promise.all([jobs, shadows]);
  },
};

function tierOf(file: TierFile, name: string | undefined, firstPort: number): { tier: Tier; port: number } {
  const served = servedBy(file);
  const index = served.findIndex((tier) => tier.name === name);
  const tier = served[index];
  if (tier === undefined) throw new Error(`INFER_WORKER_TIER must name a tier or an embedder of the tier file: ${served.map((one) => one.name).join(", ")}`);
  return { tier, port: firstPort === 0 ? 0 : firstPort + index };
}

function reportLatencies({ redisUrl, prefix }: z.infer<typeof WorkerConfig>, tier: Tier, { log, signal, onClose }: RoleContext): number[] {
  const redis = connectRedis(redisUrl, `worker-${tier.name}`, log);
  onClose("redis", () => { redis.disconnect(); });
  const measured: number[] = [];
  every(LATENCY_FLUSH_MS, signal, () => {
    pushLatencies(redis, prefix, tier.name, measured.splice(0)).catch((error: unknown) => { log.debug({ err: error }, "latencies were not kept"); });
  });
  return measured;
}
