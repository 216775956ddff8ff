/**
 * Reading loops. What becomes of a message is decided by a pure function; the effects are at the edge. A message is
 * acked after its effects are durable, never before, so a crash at any point is repaired by redelivery.
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { Consumer, JetStreamClient } from "@nats-io/jetstream";
import type { Logger } from "pino";

import { AppError, ERROR_CODES, type ErrorCode } from "#shared/contracts/errors.ts";
import { hasEnded, pause, untilItWorks } from "#shared/runtime/lifecycle.ts";
import { traceIdOf, traceparentFrom } from "#shared/telemetry/traceparent.ts";

import { ADMITTED_HEADER, TRACEPARENT_HEADER } from "./ackInbox.ts";
import type { HeldMessage } from "./heldMessage.ts";
import type { HandlerRun, ObserveRun } from "./messageMetrics.ts";
import { NewerVersion } from "./newerVersion.ts";
import { makePulls } from "./pulls.ts";
import { READING } from "./reading.ts";
import type { Source } from "./topology.ts";
import type { Wire } from "./wire.ts";

export type Verdict =
  | { readonly action: "ack" }
  | { readonly action: "hold" | "retry"; readonly delayMs: number }
  | { readonly action: "giveUp"; readonly error: { readonly code: ErrorCode; readonly message: string } };

/** Full-jitter exponential backoff: up to 400 ms after the first try, doubling to at most 30 s. `random` in [0, 1). */
export const backoffMs = (tries: number, random: number): number => Math.round(random * Math.min(30_000, 200 * 2 ** tries));

/** By then the server knows that this process pulls no more: at once it would give the message back to it, and nobody would have it before `ack_wait`. */
const CLOSED_AFTER_MS = 250;
/** During an upgrade about half of the processes are of the later release. */
const NEWER_AGAIN_MS = 500;

interface Count {
  readonly tries: number;
  readonly deliveries: number;
  /** -1: no limit. */
  readonly maxDeliver: number;
}
/**
 * What becomes of a message whose handler threw. Pure: the delivery policy is tested without a broker. An outage is not
 * poison: the message is held, and no delivery is used up. Nor is what a later release wrote: it goes back, for a process of that release, and at the
 * last delivery but one it is held until this process ends. Unknown errors may be a bug that a deploy fixes: retried.
 */
export function verdictFor(error: unknown, { tries, deliveries, maxDeliver }: Count, random: number): Verdict {
  if (error instanceof NewerVersion && (maxDeliver <= 0 || deliveries < maxDeliver - 1)) return { action: "retry", delayMs: NEWER_AGAIN_MS };
  if (error instanceof NewerVersion || (error instanceof AppError && error.isOutage)) return { action: "hold", delayMs: backoffMs(tries, random) };
  if (error instanceof AppError && !error.retryable) return { action: "giveUp", error: { code: error.code, message: error.publicMessage } };
  if (maxDeliver > 0 && deliveries >= maxDeliver) return { action: "giveUp", error: { code: "poison", message: `given up after ${deliveries} deliveries` } };
  return { action: "retry", delayMs: backoffMs(deliveries, random) };
}

/** A message and how it came. */
export interface Delivery {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly stream: string;
  readonly seq: number;
  /** When the stream stored it, by the broker's clock: epoch milliseconds. */
  readonly storedAtMs: number;
  readonly deliveries: number;
  /** `null`: the publisher sent none. */
  readonly traceparent: string | null;
  /** What a gateway shows for having admitted the request, or the judgement; whether it is genuine is the reader's to judge. */
  readonly admitted?: string | undefined;
  /** Delivered before, or so old that another process may have it: look before you act. */
  readonly mayBeRepeat: boolean;
  /** Whether it has been held so long by now, also by a process that was paused or blocked meanwhile: look again before you act. Absent: it has not. */
  readonly isHeldLong?: () => boolean;
  /** Aborts when this process lost the message: it slept through its lease, and another one may have it. */
  readonly lease: AbortSignal;
  /** For a handler that waits for something which is not its own work: another one runs in its place meanwhile. */
  readonly aside?: <T>(wait: Promise<T>) => Promise<T>;
}
export interface ConsumeOptions {
  readonly js: JetStreamClient;
  readonly wire: Wire;
  readonly log: Logger;
  readonly source: Source;
  /** Epoch milliseconds by NATS's clock: how old a message is. Default: this machine's, whose error costs a look or hides what the time since it came in shows. */
  readonly now?: () => number;
  /** Must be idempotent. When it resolves, its effects are durable and the message is acked. */
  readonly handle: (delivery: Delivery) => Promise<void>;
  /** Keeps the message and tells whoever waits, before it is terminated. Must be idempotent. */
  readonly giveUp: (delivery: Delivery, error: { code: ErrorCode; message: string }) => Promise<void>;
  readonly concurrency: number;
  readonly signal: AbortSignal;
  /** How long handlers may go on after `signal`, in milliseconds; then their messages are handed back. Default: no limit. */
  readonly drainMs?: number;
  /** Told of each run of a handler. */
  readonly observeRun?: ObserveRun;
}
export interface SlotOptions extends ConsumeOptions {
  /** Asked before each pull: how long not to pull, in milliseconds. */
  readonly pauseMs?: () => number;
  /** While it says no, nothing is pulled, and what a pull still brought is kept unstarted. Default: always. */
  readonly mayRun?: () => boolean;
  /** How many of the slots pull, asked before each pull; the others rest. Default: all. */
  readonly inUse?: () => number;
}

/** A message in this process's hands. */
interface Held {
  readonly message: HeldMessage;
  readonly receivedAtMs: number;
  readonly lease: AbortController;
  lastBeatAtMs: number;
}
const hold = (message: HeldMessage): Held => ({ message, receivedAtMs: performance.now(), lease: new AbortController(), lastBeatAtMs: performance.now() });

/** Enough for a lease to outlast a connection to a server that hangs: up to a beat that was sent into it, 9 s until it is noticed, another server and the next beat. */
const BEATS_PER_LEASE = 6;
/** Renews the lease, or gives it up when the process was paused for longer than it lasts. */
function beat(held: Held, ackWaitMs: number): void {
  const nowMs = performance.now();
  if (nowMs - held.lastBeatAtMs > ackWaitMs) held.lease.abort(new AppError("broker_unavailable", "lost the message: no heartbeat within ack_wait"));
  if (held.lease.signal.aborted) return;
  held.lastBeatAtMs = nowMs;
  held.message.working();
}

/** Gives the message to another process, now; whatever this one still publishes is refused or was first. */
function handBack({ message, lease }: Held): void {
  lease.abort(new AppError("broker_unavailable", "handed back at shutdown"));
  message.nak();
}

/** Calls `late` once, `drainMs` after the signal. Returns how to take that back. */
function afterDrain({ signal, drainMs }: ConsumeOptions, late: () => void): () => void {
  if (drainMs === undefined) return () => undefined;
  let timer: NodeJS.Timeout | undefined;
  const onAbort = () => { timer = setTimeout(late, drainMs); };
  signal.addEventListener("abort", onAbort, { once: true });
  return () => {
    signal.removeEventListener("abort", onAbort);
    clearTimeout(timer);
  };
}

/** An outage between the look at the topology and here is waited out, like any other. */
const openConsumer = (options: ConsumeOptions): Promise<Consumer> =>
  untilItWorks(options, `read ${options.source.durable}`, () => options.js.consumers.get(options.source.stream, options.source.durable));

/** For router and sinks: prefetches deeply, runs `concurrency` handlers, returns after `signal` when they are done. */
export async function consume(options: ConsumeOptions): Promise<void> {
  const { source, concurrency, signal } = options;
  if (signal.aborted) return;
  const consumer = await openConsumer(options);
  const settle = makeSettle(options, async (wait) => {
    aside += 1;
    startNext();
    return wait.finally(() => { aside -= 1; });
  });
  // Together at most `maxAckPending`: callback mode pulls on, however busy the handlers are.
  const waiting: Held[] = [];
  const running = new Map<Held, Promise<void>>();
  let aside = 0;
  const startNext = () => {
    while (running.size - aside < concurrency) {
      const next = waiting.shift();
      if (!next) return;
      const finish = () => {
        running.delete(next);
        startNext();
      };
      running.set(next, settle(next).finally(finish));
    }
  };
  const heartbeat = setInterval(() => {
    for (const held of [...running.keys(), ...waiting]) beat(held, source.ackWaitMs);
  }, source.ackWaitMs / BEATS_PER_LEASE);

  const callback = (message: HeldMessage) => {
    waiting.push(hold(message));
    startNext();
  };
  const messages = await consumer.consume({ ...READING, bind: true, max_messages: Math.min(256, source.maxAckPending), callback }); // bound: it asks for more at once, where a look at the consumer could fail and be repeated after a whole pull
  const stop = () => void messages.close();
  signal.addEventListener("abort", stop, { once: true });
  if (hasEnded(signal)) stop();
  const drained = afterDrain(options, () => { for (const held of running.keys()) handBack(held); });

  const failure = await messages.closed();
  for (const { message } of waiting.splice(0)) message.nak(); // not started: another process may have it at once
  await Promise.all(running.values());
  drained();
  clearInterval(heartbeat);
  options.wire.flush();
  if (failure instanceof Error) throw failure;
}

/** For workers: a slot pulls when it is free, so that no job waits in a busy client while `ack_wait` runs out. */
export async function consumePerSlot(options: SlotOptions): Promise<void> {
  const { log, source, signal } = options;
  if (signal.aborted) return;
  const settle = makeSettle(options);
  await openConsumer(options); // it is there
  const pulls = makePulls(options.wire, source);
  // Before anything is given back: the server would send it to another pull of this very process, again and again, until its deliveries are used up.
  signal.addEventListener("abort", () => void pulls.drain(), { once: true });
  const running = new Set<Held>();
  const drained = afterDrain(options, () => { for (const held of running) handBack(held); });
  const untilMayRun = async () => {
    while (!signal.aborted && options.mayRun?.() === false) await pause(ASK_AGAIN_MS, signal);
  };
  const isInUse = (slot: number) => slot < (options.inUse?.() ?? Infinity);
  const rests = makeRests(signal);
  const untilInUse = async (slot: number) => {
    if (!isInUse(slot)) rests.wake(1); // in its place
    while (!signal.aborted && !isInUse(slot)) await pause(ASK_AGAIN_MS, signal);
  };
  const run = async (held: Held) => {
    const mustWait = options.mayRun?.() === false; // it was asked before the pull, which may have lasted
    if (mustWait) await untilMayRun();
    if (mustWait && hasEnded(signal)) handBack(held);
    else if (!held.lease.signal.aborted) await settle(held);
  };
  let pulling = 0;
  const slot = async (place: number) => {
    for (let failures = 0; !signal.aborted; ) {
      await untilInUse(place);
      await untilMayRun();
      const pauseMs = options.pauseMs?.() ?? 0;
      if (pauseMs > 0) await sleep(pauseMs, null, { signal }).catch(() => null);
      pulling += 1;
      const message = await pulls.next().catch((error: unknown) => {
        if (failures++ === 0) log.warn({ err: error, durable: source.durable }, "cannot pull; trying again");
        return sleep(backoffMs(Math.min(failures, 3), Math.random()), null, { signal }).catch(() => null);
      });
      pulling -= 1;
      if (!message) {
        if (pulling > 0) await rests.rest();
        continue;
      }
      rests.wake(WOKEN_BY_A_MESSAGE);
      failures = 0;
      if (hasEnded(signal)) { message.nak(); continue; } // not started: another process may have it at once
      const held = hold(message);
      running.add(held);
      const heartbeat = setInterval(() => { beat(held, source.ackWaitMs); }, source.ackWaitMs / BEATS_PER_LEASE);
      await run(held).finally(() => {
        clearInterval(heartbeat);
        running.delete(held);
      });
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, (_, place) => slot(place)));
  drained();
  options.wire.flush();
}
/** Doubles how many slots pull with each message that comes, so that many at once soon find all of them. */
const WOKEN_BY_A_MESSAGE = 2;
/** Where free slots wait while one of them pulls for all: a worker without work costs one pull a second and lane, however many slots it has. */
function makeRests(signal: AbortSignal) {
  const resting: (() => void)[] = [];
  const wake = (most: number) => { for (const one of resting.splice(0, most)) one(); };
  signal.addEventListener("abort", () => { wake(Infinity); }, { once: true });
  return { wake, rest: () => (signal.aborted ? Promise.resolve() : new Promise<void>((resolve) => { resting.push(resolve); })) };
}
/** Seldom enough not to take every moment in which a busy lane has a slot free between two of its jobs. */
const ASK_AGAIN_MS = 250;
const inPlace: NonNullable<Delivery["aside"]> = (wait) => wait;
const RESULT_OF: Readonly<Record<Verdict["action"], HandlerRun["result"]>> = { ack: "handled", hold: "held", retry: "retried", giveUp: "given_up" };
function makeSettle({ log, wire, source, now = Date.now, handle, giveUp, signal, observeRun = () => undefined }: ConsumeOptions, aside = inPlace) {
  const { durable } = source;
  return async function settle(held: Held): Promise<void> {
    const { message, lease } = held;
    try {
      for (let tries = 1; ; tries++) {
        const delivery = { ...deliveryOf(held, { source, now }, tries), aside };
        const waitedMs = tries === 1 && delivery.deliveries === 1 ? now() - delivery.storedAtMs : null;
        const startedMs = performance.now();
        const verdict = await attempt(delivery, tries);
        observeRun({ durable, result: lease.signal.aborted ? "lost" : RESULT_OF[verdict.action], tookMs: performance.now() - startedMs, waitedMs });
        if (lease.signal.aborted) return; // another process has it; whatever was published was refused or was first
        if (verdict.action === "ack") { wire.atTick(() => { message.ack(); }); return; }
        if (verdict.action === "retry") { message.nak(verdict.delayMs); return; }
        if (verdict.action === "giveUp") {
          await giveUp(delivery, verdict.error);
          message.term(verdict.error.code);
          return;
        }
        await sleep(verdict.delayMs, undefined, { signal }).catch(() => undefined);
        if (signal.aborted) { message.nak(CLOSED_AFTER_MS); return; }
      }
    } catch (error) {
      // Not acked, so it is delivered again after ack_wait. Nothing is lost.
      observeRun({ durable, result: "unsettled", tookMs: null, waitedMs: null });
      log.error({ err: error, durable: source.durable, seq: message.seq }, "could not settle message");
    }
  };

  async function attempt(delivery: Delivery, tries: number): Promise<Verdict> {
    try {
      await handle(delivery);
      return { action: "ack" };
    } catch (error) {
      const verdict = verdictFor(error, { tries, deliveries: delivery.deliveries, maxDeliver: source.maxDeliver }, Math.random());
      // A publisher's own mistake is logged by its code alone: the message quotes what it sent, and is in DEAD_LETTERS.
      const isTheirs = error instanceof AppError && !error.retryable && ERROR_CODES[error.code].httpStatus < 500;
      const what = isTheirs ? { code: error.code } : { err: error, verdict };
      const trace_id = delivery.traceparent === null ? null : traceIdOf(delivery.traceparent);
      log.warn({ ...what, durable: source.durable, subject: delivery.subject, trace_id, action: verdict.action }, "handler failed");
      return verdict;
    }
  }
}

function deliveryOf({ message, receivedAtMs, lease }: Held, { source, now }: Pick<ConsumeOptions, "source"> & Required<Pick<ConsumeOptions, "now">>, tries: number): Delivery {
  const { info } = message;
  const storedAtMs = Math.floor(info.timestampNanos / 1e6);
  // What the server sent to a process that was blocked looks new when it is read at last, so its age counts too.
  const isHeldLong = () => performance.now() - receivedAtMs > source.ackWaitMs / 2 || now() - storedAtMs > source.ackWaitMs / 2;
  return {
    subject: message.subject,
    data: message.data,
    stream: info.stream,
    seq: message.seq,
    storedAtMs,
    deliveries: info.deliveryCount,
    traceparent: traceparentFrom(message.headers?.get(TRACEPARENT_HEADER)),
    admitted: message.headers?.values(ADMITTED_HEADER)[0],
    mayBeRepeat: tries > 1 || message.redelivered || isHeldLong(),
    isHeldLong,
    lease: lease.signal,
  };
}
