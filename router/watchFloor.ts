/**
 * Watches the quality floor of the active model: counts shadow labels into its guard, which lies beside the model in NATS KV
 * and is followed by every router (`followModel.ts`). Several may run; the durable gives each label to one of them at a time.
 */
import type { Logger } from "pino";

import { AppError } from "#shared/contracts/errors.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { Shadow } from "#shared/contracts/shadow.ts";
import { consume, type Delivery } from "#shared/messaging/consume.ts";
import { type ModelStore, openModelStore, UnreadableModel } from "#shared/messaging/modelStore.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { sourcesOf } from "#shared/messaging/topology.ts";
import { untilItWorks } from "#shared/runtime/lifecycle.ts";

import { afterLabel, type Counted, type FloorTerms, floorTerms, type Label, labelOf } from "./floorStep.ts";

export interface FloorDeps {
  readonly store: Pick<ModelStore, "active" | "get" | "floor" | "putFloor">;
  readonly prefix: string;
  readonly log: Logger;
  readonly now: () => number;
}

/** Only a router that was paused and goes on can be in the way, with one label. */
const MOST_RACES = 5;

/** The caller acks after it resolves. A crash before that repeats it, and the label is counted once. */
export const makeWatchFloor = ({ store, prefix, log, now }: FloorDeps) => {
  const said = new Set<string>();
  const sayOnce = (version: string, problem: string) => {
    if (!said.has(version)) log.warn({ version, problem }, "the quality floor of this routing model cannot be watched");
    said.add(version);
  };
  let known: RoutingModelFile | null = null; // a version names its content
  return async (delivery: Delivery): Promise<void> => {
    const label = labelOf(readEvent(Shadow, prefix, delivery));
    if (label === null) return;
    for (let races = 0; races < MOST_RACES; races++) {
      if (await isSettled(label, delivery)) return;
    }
    throw new AppError("broker_unavailable", "the guard of the floor was changed again and again");
  };

  async function isSettled(label: Label, { seq: stream_seq, storedAtMs: stored_at_ms }: Delivery): Promise<boolean> {
    const active = await orOutage(store.active()); // not the one that is followed: that may be a second old
    if (active?.version !== label.model_version) return true;
    const terms = await termsOf(active.version, label);
    if (terms === null) return true;
    const { watched, revision } = await orOutage(store.floor(active.version));
    const counted = afterLabel(watched, label, { active, terms, at: { stream_seq, stored_at_ms, nowMs: now() } });
    if (counted === null) return true;
    if (!(await orOutage(store.putFloor(counted.watched, revision)))) return false;
    warnOf(counted);
    return true;
  }

  async function termsOf(version: string, { reference_tier }: Label): Promise<FloorTerms | null> {
    if (known?.version !== version) {
      const found = await store.get(version).catch((error: unknown) => {
        if (error instanceof UnreadableModel) return null; // routers refuse it, and say so
        throw outage(error);
      });
      if (found === null) return null;
      known = found;
    }
    const { baseline_tier } = known;
    const terms = reference_tier === baseline_tier ? floorTerms(known) : { problem: `its baseline is ${baseline_tier}, and shadow labels ask ${reference_tier}` };
    if (!("problem" in terms)) return terms;
    sayOnce(version, terms.problem);
    return null;
  }

  function warnOf({ watched: { version, guard }, event }: Counted): void {
    const facts = { version, floor_steps: guard.steps, agreement_at_least: guard.source.target };
    if (event === "tightened") log.warn(facts, "the quality floor is in doubt: routing is more careful from now on");
    if (event === "in_doubt_at_the_most_careful") log.warn(facts, "the quality floor is in doubt: the baseline answers alone from now on, until a model is activated");
  }
};

const outage = (cause: unknown) => new AppError("broker_unavailable", "cannot read or write the bucket of models", { cause });
const orOutage = <T>(work: Promise<T>): Promise<T> => work.catch((error: unknown) => { throw outage(error); });

interface Running extends Omit<FloorDeps, "store"> {
  readonly nats: Broker["nats"];
  readonly js: Broker["js"];
  readonly signal: AbortSignal;
  readonly drainMs: number;
}

/**
 * Runs until the signal, and never rejects: requests go on, whatever ends it. Also where this router samples nothing, since
 * others may.
 */
export async function runFloorWatch({ nats, js, prefix, log, now, signal, drainMs }: Running): Promise<void> {
  const waiting = { log, signal };
  try {
    const store = await untilItWorks(waiting, "open the bucket of models", () => openModelStore(nats, prefix));
    const loop = { js, log, source: sourcesOf(prefix).routerFloor, concurrency: 1, signal, drainMs, handle: makeWatchFloor({ store, prefix, log, now }), giveUp: passOver(log) };
    await untilItWorks(waiting, "watch the quality floor", () => consume(loop));
  } catch (error) {
    if (!signal.aborted) log.error({ err: error }, "the quality floor is not watched any more; requests go on");
  }
}

/** One label less. The audit sink speaks for the message itself. */
const passOver = (log: Logger) => ({ seq }: Delivery, { code }: { readonly code: string }): Promise<void> => {
  log.error({ seq, code }, "a shadow label was not counted");
  return Promise.resolve();
};
