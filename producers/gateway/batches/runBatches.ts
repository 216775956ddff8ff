/**
 * Runs the lines of batches, in the batch lane. One gateway at a time has a batch, by a lease in Postgres; when that one dies another goes
 * on. Each line is a request with an id of its own that follows from batch and line, so whatever is begun again after a crash
 * gives the outcome that is there, and nothing runs twice.
 */
import type { Logger } from "pino";
import type { Pool } from "pg";

import { KEYLESS, type Principal } from "#shared/contracts/apiKey.ts";
import { requestIdOfLine } from "#shared/contracts/batch.ts";
import { AppError } from "#shared/contracts/errors.ts";
import type { Completion, EventError } from "#shared/contracts/events.ts";
import { nanoUsd, toUsd } from "#shared/contracts/money.ts";
import type { InferBody } from "#shared/contracts/request.ts";
import { backoffMs, verdictFor } from "#shared/messaging/consume.ts";
import { hasEnded, pause } from "#shared/runtime/lifecycle.ts";
import type { Standing } from "#shared/tenancy/directory.ts";
import { idAttributes } from "#shared/telemetry/attributes.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";

import type { Inference } from "../inference.ts";
import type { BatchMetrics } from "../metrics.ts";
import { type ClaimedBatch, claimBatches, type Ended, endLines, finishBatch, type Most, nextLines, type OpenLine, releaseBatches } from "./batchQueue.ts";
import { type LineRun, pacedBy, startPace, timesOf } from "./pace.ts";
import { type Crew, makeTurns } from "./turns.ts";

export interface BatchRunnerDeps {
  readonly pool: Pool;
  readonly infer: Inference["infer"];
  readonly standingOf: (tenantId: string) => Promise<Standing>;
  /** This gateway's instance id. */
  readonly instance: string;
  /** Lines that run at once at most, over all batches of this gateway. */
  readonly window: number;
  readonly defaultDeadlineMs: number;
  readonly log: Logger;
  readonly observe: BatchMetrics;
  readonly tracer: Tracer;
  readonly signal: AbortSignal;
}

interface LineDeps extends BatchRunnerDeps {
  readonly onAnswer: (completion: Completion, run: LineRun) => void;
}

const LOOK_EVERY_MS = 1_000;
/** Lines that are read at once. */
const PAGE = 16;
/** Of what nobody expected; an outage or a limit is waited out. */
const MOST_TRIES = 4;
/** Ended lines wait for their transaction no longer than this. */
const WRITE_EVERY_MS = 250;
/** Batches that one gateway has at once, of all tenants and of one. */
const MOST: Most = { batches: 64, perTenant: 4 };

/** Resolves after `signal`, when what ran has ended or was handed back. */
export async function runBatches(deps: BatchRunnerDeps): Promise<void> {
  const { pool, instance, log, observe, signal } = deps;
  const running = new Map<string, Promise<void>>();
  const most = deps.window;
  let pace = startPace(most, performance.now());
  observe.window(pace.window);
  const crewOf = makeTurns(() => pace.window);
  const onAnswer = (completion: Completion, run: LineRun) => {
    const times = timesOf(completion, run);
    if (times === null) return;
    pace = pacedBy(pace, times, { most, nowMs: performance.now() });
    observe.window(pace.window);
  };
  while (!hasEnded(signal)) {
    const claimed = await claimBatches(pool, instance, MOST).catch((error: unknown) => {
      log.debug({ err: error }, "batches cannot be looked at now");
      return [];
    });
    for (const batch of claimed) {
      const key = `${batch.tenant_id}.${batch.batch_id}`;
      if (running.has(key)) continue;
      running.set(key, runBatch({ ...deps, onAnswer }, batch, crewOf()).catch((error: unknown) => {
        log.warn({ err: error, tenant_id: batch.tenant_id, batch_id: batch.batch_id }, "a batch was interrupted; it goes on");
      }).finally(() => { running.delete(key); }));
    }
    await pause(LOOK_EVERY_MS, signal);
  }
  await Promise.all(running.values());
  await releaseBatches(pool, instance).catch(() => undefined); // else the leases run out
}

/** Until all lines have ended, or the gateway ends or may not go on. Lines that run when it may not are waited for and noted. */
async function runBatch(deps: LineDeps, batch: ClaimedBatch, crew: Crew): Promise<void> {
  const { pool, instance, log, observe, signal } = deps;
  const ended: Ended[] = [];
  const stop = new AbortController();
  const onEnd = () => { stop.abort(); };
  signal.addEventListener("abort", onEnd, { once: true });
  const write = async () => {
    const lines = ended.splice(0);
    try {
      const { isOurs, fresh } = await endLines(pool, instance, batch, lines);
      for (const { result } of fresh) observe.lineEnded(result.outcome);
      if (isOurs) return;
      stop.abort();
    } catch (error) {
      ended.unshift(...lines);
      log.debug({ err: error }, "lines that ended are not noted yet");
    }
  };
  const isOver = new AbortController();
  const writing = (async () => {
    while (!isOver.signal.aborted) {
      await pause(WRITE_EVERY_MS, isOver.signal);
      await write();
    }
  })();
  const page = () => nextLines(pool, batch, after, PAGE);
  let after = 0;
  try {
    for (let lines = await page(); lines.length > 0 && !hasEnded(stop.signal); lines = await page()) {
      for (const line of lines) {
        const hasBegun = await crew.begin(async (rest) => {
          const done = await runLine(deps, batch, line, { rest, signal: stop.signal });
          if (done !== null) ended.push(done);
        }, stop.signal);
        if (!hasBegun) break;
        after = line.line;
      }
    }
  } finally {
    await crew.done(signal); // at the gateway's end whoever has the batch next finds their outcomes
    isOver.abort();
    await writing;
    await write();
    signal.removeEventListener("abort", onEnd);
  }
  if (!hasEnded(stop.signal) && ended.length === 0) await finishBatch(pool, instance, batch);
}

/** `null`: not begun, or nobody knows yet; whoever looks again gets its outcome. */
async function runLine(deps: LineDeps, batch: ClaimedBatch, { line, request }: OpenLine, { rest, signal }: { readonly rest: (pause: Promise<void>) => Promise<void>; readonly signal: AbortSignal }): Promise<Ended | null> {
  const { infer, standingOf, defaultDeadlineMs, log, tracer, onAnswer } = deps;
  const id = { tenant_id: batch.tenant_id, request_id: requestIdOfLine(batch.batch_id, line) };
  for (let tries = 1; !signal.aborted; tries++) {
    try {
      const principal: Principal = batch.key_id === null ? KEYLESS : { tenant_id: batch.tenant_id, key_id: batch.key_id, roles: new Set(["infer"]) };
      const caller = { tenant_id: batch.tenant_id, principal, standing: await standingOf(batch.tenant_id) };
      const body: InferBody = { deadline_ms: defaultDeadlineMs, ...request, request_id: id.request_id, priority: "batch" };
      const [startedAtMs, startedMs] = [Date.now(), performance.now()];
      const attributes = { ...idAttributes(id), "infer.batch_id": batch.batch_id };
      const completion = await tracer.span("run batch line", { kind: "INTERNAL", parent: null, attributes }, (traceparent) => infer(id, body, { caller, traceparent }));
      onAnswer(completion, { startedAtMs, durationMs: performance.now() - startedMs });
      return endedBy(line, completion);
    } catch (error) {
      const problem = reasonToGiveUp(error, tries);
      if (problem !== null) {
        log.warn({ err: error, ...id }, "a line of a batch is given up");
        return endedWithout(line, id.request_id, problem);
      }
      const limitMs = error instanceof AppError ? (error.limit?.waitMs ?? 0) : 0;
      await rest(pause(limitMs + backoffMs(tries, Math.random()), signal));
    }
  }
  return null;
}

/** `null`: worth another try. What is away, in progress or limited is waited out. */
function reasonToGiveUp(error: unknown, tries: number): EventError | null {
  if (error instanceof AppError && error.retryable) return null;
  const verdict = verdictFor(error, { tries, deliveries: tries, maxDeliver: MOST_TRIES }, 0);
  return verdict.action === "giveUp" ? verdict.error : null;
}

const endedWithout = (line: number, request_id: string, error: EventError): Ended =>
  ({ line, cost: nanoUsd(0), baseline: nanoUsd(0), result: { request_id, outcome: "failed", output: null, tier: null, model: null, confidence: null, cost_usd: 0, baseline_cost_usd: null, error } });

function endedBy(line: number, { request_id, outcome, output, message, tier, model, confidence, cost_nano_usd, baseline_cost_nano_usd, error }: Completion): Ended {
  return {
    line, cost: cost_nano_usd, baseline: baseline_cost_nano_usd ?? nanoUsd(0),
    result: {
      request_id, outcome, output, ...(message === undefined ? {} : { message }), tier, model, confidence,
      cost_usd: toUsd(cost_nano_usd), baseline_cost_usd: baseline_cost_nano_usd === null ? null : toUsd(baseline_cost_nano_usd), error,
    },
  };
}
