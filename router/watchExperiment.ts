/**
 * Watches the quality of the running experiment's arms. Labels of its requests come through the durables that watch the floor and are
 * counted into a state beside its definition in NATS KV. The router that finds an arm worse rolls the experiment back, by a write that
 * only the first can make; every router follows it within seconds. What else is watched: `guardExperiment.ts`. ADR 0041.
 */
import { createHash } from "node:crypto";

import type { Logger } from "pino";
import { Counter, Gauge, type Registry } from "prom-client";

import { AppError } from "#shared/contracts/errors.ts";
import { Completion } from "#shared/contracts/events.ts";
import type { Experiment, ExperimentWatch } from "#shared/contracts/experiment.ts";
import type { FeedbackMessage } from "#shared/contracts/feedback.ts";
import type { LabelSource } from "#shared/contracts/floorGuard.ts";
import type { Shadow } from "#shared/contracts/shadow.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import { type ExperimentStore, UnreadableExperiment } from "#shared/messaging/experimentStore.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { completionSubject } from "#shared/messaging/topology.ts";

import { afterJudged, judgedArmOf, lossFound } from "./experimentStep.ts";
import { lossEvidence } from "./learning/lossTest.ts";
import type { GuardReading } from "./outcomeStep.ts";

export interface ExperimentDeps {
  readonly store: ExperimentStore;
  readonly streams: Pick<StoredMessages, "last">;
  readonly prefix: string;
  /** The one that this router follows. */
  readonly running: () => Experiment | null;
  readonly log: Logger;
  readonly observeRollback: () => void;
}
/** Handlers of what the watch over the floor reads. The caller acks after one resolves. A crash before that repeats it, and the label is counted once. */
export interface JudgedArms {
  readonly shadow: (shadow: Shadow, delivery: Delivery) => Promise<void>;
  readonly feedback: (feedback: Pick<FeedbackMessage, "score">, completion: Completion, delivery: Delivery) => Promise<void>;
}

/** What the labels of an experiment came to, at a revision. */
interface Kept {
  readonly experiment_id: string;
  readonly watch: ExperimentWatch | null;
  readonly revision: number;
}

/** Only a router that was paused and goes on can be in the way. */
const MOST_RACES = 20;

export function makeJudgedArms({ store, streams, prefix, running, log, observeRollback }: ExperimentDeps): JudgedArms {
  /** As stored last, by this router: labels come one after the other, mostly to the same one. Whoever has another is refused, and reads. */
  let kept: Kept | null = null;
  async function count(source: LabelSource, completion: Completion, value: number, { seq: stream_seq, storedAtMs: stored_at_ms }: Delivery): Promise<void> {
    const judged = judgedArmOf(completion, value);
    if (judged === null) return;
    const { experiment_id } = judged;
    const followed = running(); // may be a second old: a label that is counted after the end changes nothing
    const experiment = followed?.experiment_id === experiment_id ? followed : await readable(() => store.get(experiment_id));
    if (experiment?.status !== "running" || experiment.metric.quality !== source) return;
    if (experiment.unit === "user" && !(await orOutage(store.claim(experiment_id, unitOf(completion), `${stored_at_ms} ${stream_seq}`)))) return;
    for (let races = 0; races < MOST_RACES; races++) {
      const stored: Kept | null = kept?.experiment_id === experiment_id ? kept : await readWatch(experiment_id);
      if (stored === null) return;
      const after = afterJudged(stored.watch, judged, experiment, { stream_seq, stored_at_ms });
      kept = null; // an outage leaves it unknown
      const revision = after === null ? stored.revision : await orOutage(store.putWatch(after, stored.revision));
      if (revision === null) continue;
      kept = { experiment_id, watch: after ?? stored.watch, revision };
      // Also when it was counted before: this may be the repetition of what ended in between.
      const why = lossFound(experiment, kept.watch);
      if (why !== null) await rollBack({ store, log, observeRollback }, experiment, why);
      return;
    }
    throw new AppError("broker_unavailable", "the state of the experiment was changed again and again");
  }
  async function readWatch(experiment_id: string): Promise<Kept | null> {
    const found = await readable(() => store.watch(experiment_id));
    return found === null ? null : { experiment_id, ...found };
  }
  /** `null`: nobody can read it, as `inferctl experiment status` says. */
  const readable = <T>(read: () => Promise<T>): Promise<T | null> => orOutage(read().catch((error: unknown) => {
    if (!(error instanceof UnreadableExperiment)) throw error;
    log.error({ problem: error.message }, "a label of an experiment was not counted");
    return null;
  }));
  return {
    async shadow({ tenant_id, request_id, agreement }, delivery) {
      if (agreement === null || running()?.metric.quality !== "shadow") return;
      const stored = await streams.last("COMPLETIONS", completionSubject(prefix, { tenant_id, request_id }));
      if (stored !== null) await count("shadow", readEvent(Completion, prefix, stored), agreement, delivery);
    },
    feedback: ({ score }, completion, delivery) => count("feedback", completion, score, delivery),
  };
}

/** Of a key in NATS KV. */
const unitOf = ({ tenant_id, user_id }: Pick<Completion, "tenant_id" | "user_id">): string => createHash("sha256").update(JSON.stringify([tenant_id, user_id])).digest("hex").slice(0, 32);

export async function rollBack({ store, log, observeRollback }: Pick<ExperimentDeps, "store" | "log" | "observeRollback">, { experiment_id }: Experiment, why: string): Promise<void> {
  if ((await orOutage(store.end(experiment_id, "rolled_back", why))) === null) return; // somebody was first
  observeRollback();
  log.warn({ experiment_id, why }, "an experiment was rolled back: all requests go as their tenants and the tier file say");
}

const orOutage = <T>(work: Promise<T>): Promise<T> => work.catch((cause: unknown) => { throw new AppError("broker_unavailable", "cannot read or write the experiment", { cause }); });

export interface ExperimentMetrics {
  readonly observeRollback: () => void;
  /** Shows what is stored, so that all routers show the same. */
  readonly show: (experiment: Experiment | null, store: Pick<ExperimentStore, "watch">, guards: readonly GuardReading[]) => Promise<void>;
}
export function makeExperimentMetrics(registry: Registry): ExperimentMetrics {
  const registers = [registry];
  const rollbacks = new Counter({ name: "infer_experiment_rollbacks_total", help: "Experiments that this router has rolled back, as an arm was found worse than the control.", registers });
  const labels = new Gauge({ name: "infer_experiment_labels", help: "Labels of the running experiment, by arm.", labelNames: ["arm"], registers });
  const evidence = new Gauge({ name: "infer_experiment_evidence", help: "E-value of a test that an arm is worse than is tolerated: of its quality (from labels), failures, late requests or cost.", labelNames: ["arm", "test"], registers });
  return {
    observeRollback: () => { rollbacks.inc(); },
    async show(experiment, store, guards) {
      const watch = experiment === null ? null : (await store.watch(experiment.experiment_id)).watch;
      labels.reset();
      evidence.reset();
      for (const [arm, { labels: counted }] of Object.entries(watch?.arms ?? {})) labels.set({ arm }, counted);
      for (const [arm, state] of Object.entries(watch?.tests ?? {})) evidence.set({ arm, test: "quality" }, lossEvidence(state));
      for (const { arm, guard, evidence: found } of guards) evidence.set({ arm, test: guard }, found);
    },
  };
}
