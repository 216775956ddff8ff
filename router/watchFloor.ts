/**
 * Watches the quality floor of the active model: counts shadow labels and judged feedback into its guard, which lies beside
 * the model in NATS KV and is followed by every router (`followModel.ts`). Several may run; each source's durable gives a
 * label to one of them at a time.
 */
import type { Logger } from "pino";

import { AppError } from "#shared/contracts/errors.ts";
import { Completion } from "#shared/contracts/events.ts";
import { FeedbackMessage, isJudged } from "#shared/contracts/feedback.ts";
import type { Activation } from "#shared/contracts/floorGuard.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { Shadow } from "#shared/contracts/shadow.ts";
import { consume, type ConsumeOptions, type Delivery } from "#shared/messaging/consume.ts";
import type { JudgedProof } from "#shared/messaging/judgedProof.ts";
import { type ModelStore, openModelStore, UnreadableModel } from "#shared/messaging/modelStore.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { parseMessage } from "#shared/messaging/parseMessage.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { completionSubject, idOf, type Source, sourcesOf } from "#shared/messaging/topology.ts";
import { untilItWorks } from "#shared/runtime/lifecycle.ts";

import { afterLabel, type Counted, type FloorTerms, floorTerms, type Label, labelOfFeedback, labelOfShadow } from "./floorStep.ts";
import type { JudgedArms } from "./watchExperiment.ts";

export interface FloorDeps {
  readonly store: Pick<ModelStore, "active" | "get" | "floor" | "putFloor">;
  readonly streams: Pick<StoredMessages, "first" | "last">;
  readonly prefix: string;
  /** Of the model that this router uses: the active one cannot be used where that is another. */
  readonly used: () => Activation | null;
  readonly log: Logger;
  readonly now: () => number;
  /** Whether a gateway let somebody judge, as the message says. */
  readonly isGenuine: JudgedProof["isGenuine"];
  /** What counts the same labels for an experiment. Absent: nothing does. */
  readonly judgedArms?: JudgedArms;
}

/** Only the other source's label, and a router that was paused and goes on, can be in the way. */
const MOST_RACES = 20;

/** Handlers by source. The caller acks after one resolves. A crash before that repeats it, and the label is counted once. */
export const makeWatchFloor = ({ store, streams, prefix, used, log, now, isGenuine, judgedArms }: FloorDeps) => {
  const said = new Set<string>();
  const sayOnce = (version: string, problem: string) => {
    if (!said.has(version)) log.warn({ version, problem }, "the quality floor of this routing model cannot be watched");
    said.add(version);
  };
  let known: RoutingModelFile | null = null; // a version names its content
  return {
    shadow: async (delivery: Delivery): Promise<void> => {
      const shadow = readEvent(Shadow, prefix, delivery);
      await count(labelOfShadow(shadow), delivery);
      await judgedArms?.shadow(shadow, delivery);
    },
    /** Throws as `parseMessage` does. */
    feedback: async (delivery: Delivery): Promise<void> => {
      const found = await judged(delivery);
      if (found === null) return;
      await count(found.label, delivery);
      await judgedArms?.feedback(found.feedback, found.completion, delivery);
    },
  };

  async function judged({ subject, data, seq, admitted }: Delivery): Promise<{ feedback: FeedbackMessage; completion: Completion; label: Label | null } | null> {
    const id = idOf(prefix, subject);
    if (id === null) return null;
    const feedback = parseMessage(FeedbackMessage, "feedback.v1", data);
    if (!isJudged(feedback) || !isGenuine(id, feedback, admitted)) return null;
    const [stored, first] = await Promise.all([streams.last("COMPLETIONS", completionSubject(prefix, id)), streams.first("FEEDBACK", subject)]);
    // Each request once. What comes later is a change of mind, or was asked for because of what was said before.
    if (stored === null || first?.seq !== seq) return null;
    const completion = readEvent(Completion, prefix, stored);
    return { feedback, completion, label: labelOfFeedback(feedback, completion) };
  }

  async function count(label: Label | null, delivery: Delivery): Promise<void> {
    if (label === null) return;
    for (let races = 0; races < MOST_RACES; races++) {
      if (await isSettled(label, delivery)) return;
    }
    throw new AppError("broker_unavailable", "the guard of the floor was changed again and again");
  }

  async function isSettled(label: Label, { seq: stream_seq, storedAtMs: stored_at_ms }: Delivery): Promise<boolean> {
    const latest = await orOutage(store.active()); // before the one that is followed: that may be a second old
    const active = latest === null || latest.version === label.model_version ? latest : used();
    if (active?.version !== label.model_version) return true;
    const terms = await termsOf(active.version, label);
    if (terms === null) return true;
    const { watched, revision } = await orOutage(store.floor(active.version));
    if (watched === "unreadable") return true; // only an activation takes it away
    const counted = afterLabel(watched, label, { active, terms, at: { stream_seq, stored_at_ms, nowMs: now() } });
    if (counted === null) return true;
    if (!(await orOutage(store.putFloor(counted.watched, revision)))) return false;
    warnOf(counted, label);
    return true;
  }

  /** `null`: nothing to test. A model may well know nothing that feedback could be tested against: that is no warning. */
  async function termsOf(version: string, { source, reference_tier }: Label): Promise<FloorTerms | null> {
    if (known?.version !== version) {
      const found = await store.get(version).catch((error: unknown) => {
        if (error instanceof UnreadableModel) return null; // routers refuse it, and say so
        throw outage(error);
      });
      if (found === null) return null;
      known = found;
    }
    const { baseline_tier } = known;
    const terms = floorTerms(known);
    const isOther = reference_tier !== null && reference_tier !== baseline_tier;
    const target = isOther ? { problem: `its baseline is ${baseline_tier}, and shadow labels ask ${reference_tier}` } : terms.targets[source];
    if (typeof target === "number") return terms;
    if (source === "shadow") sayOnce(version, target.problem);
    return null;
  }

  function warnOf({ watched: { version, guard }, event }: Counted, { source }: Label): void {
    const facts = { version, floor_steps: guard.steps, labels_of: source, mean_at_least: guard.tests[source]?.target };
    if (event === "tightened") log.warn(facts, "the quality floor is in doubt: routing is more careful from now on");
    if (event === "in_doubt_at_the_most_careful") log.warn(facts, "the quality floor is in doubt: the baseline answers alone from now on, until a model is activated");
  }
};

const outage = (cause: unknown) => new AppError("broker_unavailable", "cannot read or write the bucket of models", { cause });
const orOutage = <T>(work: Promise<T>): Promise<T> => work.catch((error: unknown) => { throw outage(error); });

interface Running extends Omit<FloorDeps, "store"> {
  readonly nats: Broker["nats"];
  readonly js: Broker["js"];
  readonly wire: Broker["wire"];
  readonly observeRun?: Broker["observeRun"];
  readonly signal: AbortSignal;
  readonly drainMs: number;
}

/**
 * Runs until the signal, and never rejects: requests go on, whatever ends it. Also where this router samples nothing, since
 * others may.
 */
export async function runFloorWatch({ nats, js, wire, observeRun = () => undefined, streams, prefix, used, log, now, isGenuine, judgedArms, signal, drainMs }: Running): Promise<void> {
  const waiting = { log, signal };
  const ended = (error: unknown) => {
    if (!signal.aborted) log.error({ err: error }, "the quality floor is not watched any more; requests go on");
  };
  try {
    const store = await untilItWorks(waiting, "open the bucket of models", () => openModelStore(nats, prefix));
    const { shadow, feedback } = makeWatchFloor({ store, streams, prefix, used, log, now, isGenuine, ...(judgedArms === undefined ? {} : { judgedArms }) });
    const loop = (source: Source, given: Pick<ConsumeOptions, "handle" | "giveUp">) =>
      untilItWorks(waiting, `read ${source.durable}`, () => consume({ js, wire, log, now, observeRun, source, concurrency: 1, signal, drainMs, ...given })).catch(ended);
    const { routerFloor, routerFloorFeedback } = sourcesOf(prefix);
    await Promise.all([loop(routerFloor, { handle: shadow, giveUp: passOver(log) }), loop(routerFloorFeedback, { handle: feedback, giveUp: leaveToAudit })]);
  } catch (error) {
    ended(error);
  }
}

/** One label less. The audit sink speaks for the message itself. */
const passOver = (log: Logger) => ({ seq }: Delivery, { code }: { readonly code: string }): Promise<void> => {
  log.error({ seq, code }, "a shadow label was not counted");
  return Promise.resolve();
};
/** Others write feedback, and what cannot be read is no fault of ours. */
const leaveToAudit = (): Promise<void> => Promise.resolve();
