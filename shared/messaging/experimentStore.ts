/** Experiments in the bucket of NATS KV that has the routing models: their definitions, which is the latest, and what their labels came to. */
import { jetstreamManager } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import type { z } from "zod";

import { inOneLine, issueLines } from "#shared/contracts/describeIssues.ts";
import { Experiment, type ExperimentStatus, ExperimentWatch } from "#shared/contracts/experiment.ts";
import { ExperimentId } from "#shared/contracts/experimentArm.ts";

import { isLostRace } from "./modelStore.ts";
import { keyIn, modelBucket, streamOfBucket } from "./topology.ts";

/** Names the experiment that was started last: no other can run. */
const LATEST = "latest_experiment";
const keyOf = (experimentId: string): string => `experiment.${experimentId}`;
const watchKeyOf = (experimentId: string): string => `experiment.${experimentId}.watch`;
const unitKeyOf = (experimentId: string, unit: string): string => `experiment.${experimentId}.unit.${unit}`;

/** What is stored is no experiment that can be read: unlike an outage, this will not pass. */
export class UnreadableExperiment extends Error {
  override readonly name = "UnreadableExperiment";
}
export interface ExperimentStore {
  /** `null` when there is none of this id. Throws `UnreadableExperiment`. */
  get(experimentId: string): Promise<Experiment | null>;
  /** Oldest first. */
  list(): Promise<Experiment[]>;
  /** The one that was started last, which may be over. Throws `UnreadableExperiment`. */
  latest(): Promise<Experiment | null>;
  /** `another`: one is running, and there can be no second. `exists`: the id was used. Forgets the units of those before. For who may purge the bucket. */
  start(experiment: Experiment): Promise<"started" | "another" | "exists">;
  /** The first that ends it wins: `null` when it is over already, or not there. */
  end(experimentId: string, status: Exclude<ExperimentStatus, "running">, why: string): Promise<Experiment | null>;
  /** Throws `UnreadableExperiment`. */
  watch(experimentId: string): Promise<{ watch: ExperimentWatch | null; revision: number }>;
  /** The new revision. `null`: it was changed after that one, and stays as it is. */
  putWatch(watch: ExperimentWatch, revision: number): Promise<number | null>;
  /** Whether `claim` is the first, or was. `unit` is part of a key: hex. */
  claim(experimentId: string, unit: string, claim: string): Promise<boolean>;
}

const MOST_RACES = 20;

/** Opens the bucket when it is needed first, so that it may be missing until then. Every call throws an outage. */
export function makeExperimentStore(nats: NatsConnection, prefix: string): ExperimentStore {
  let opened: KV | null = null;
  const bucketOf = async (): Promise<KV> => (opened ??= await new Kvm(nats).open(modelBucket(prefix).name));
  const stored = async (key: string): Promise<{ text: string | null; revision: number }> => {
    const entry = await (await bucketOf()).get(key);
    return { text: entry?.operation === "PUT" ? entry.string() : null, revision: entry?.revision ?? 0 };
  };
  /** The new revision; `null`: a lost race. */
  const put = async (key: string, text: string, previousSeq: number): Promise<number | null> => {
    try {
      return await (await bucketOf()).put(key, text, { previousSeq });
    } catch (error) {
      if (isLostRace(error)) return null;
      throw error;
    }
  };
  const read = async (experimentId: string) => {
    const { text, revision } = await stored(keyOf(experimentId));
    return { experiment: text === null ? null : parse(Experiment, keyOf(experimentId), text), revision };
  };
  const latestId = async () => {
    const { text, revision } = await stored(LATEST);
    return { id: text === null ? null : parse(ExperimentId, LATEST, text), revision };
  };
  const latest = async (): Promise<Experiment | null> => {
    const { id } = await latestId();
    return id === null ? null : (await read(id)).experiment;
  };
  /** Of experiments that are over: they say who took part, and are of no more use. */
  const forgetUnits = async (): Promise<void> => {
    const { name } = modelBucket(prefix);
    await (await jetstreamManager(nats)).streams.purge(streamOfBucket(name), { filter: keyIn(name, unitKeyOf("*", ">")) });
  };
  return {
    get: async (experimentId) => (await read(experimentId)).experiment,
    latest,
    async list() {
      const found: Experiment[] = [];
      for await (const key of await (await bucketOf()).keys("experiment.*")) {
        const { experiment } = await read(key.slice(keyOf("").length));
        if (experiment !== null) found.push(experiment);
      }
      return found.sort((a, b) => Date.parse(a.started_at) - Date.parse(b.started_at));
    },
    async start(experiment) {
      const { id, revision } = await latestId();
      const before = id === null ? null : (await read(id)).experiment;
      if (before?.status === "running") return "another";
      await forgetUnits();
      const { experiment_id } = experiment;
      const { text, revision: own } = await stored(keyOf(experiment_id));
      if (text !== null || (await put(keyOf(experiment_id), JSON.stringify(experiment), own)) === null) return "exists";
      if ((await put(LATEST, JSON.stringify(experiment_id), revision)) !== null) return "started";
      await (await bucketOf()).delete(keyOf(experiment_id)); // it never ran
      return "another";
    },
    async end(experimentId, status, why) {
      for (let races = 0; races < MOST_RACES; races++) {
        const { experiment, revision } = await read(experimentId);
        if (experiment?.status !== "running") return null;
        const ended: Experiment = { ...experiment, status, history: [...experiment.history, { at: new Date().toISOString(), status, why }] };
        if ((await put(keyOf(experimentId), JSON.stringify(ended), revision)) !== null) return ended;
      }
      throw new Error(`experiment ${experimentId} was changed again and again`);
    },
    async watch(experimentId) {
      const { text, revision } = await stored(watchKeyOf(experimentId));
      return { watch: text === null ? null : parse(ExperimentWatch, watchKeyOf(experimentId), text), revision };
    },
    putWatch: (watch, revision) => put(watchKeyOf(watch.experiment_id), JSON.stringify(watch), revision),
    async claim(experimentId, unit, claim) {
      const key = unitKeyOf(experimentId, unit);
      return (await put(key, claim, 0)) !== null || (await stored(key)).text === claim;
    },
  };
}

function parse<S extends z.ZodType>(schema: S, key: string, text: string): z.infer<S> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UnreadableExperiment(`${key} cannot be read: ${String(error)}`, { cause: error });
  }
  const { data, error } = schema.safeParse(value);
  if (error !== undefined) throw new UnreadableExperiment(`${key} cannot be read: ${inOneLine(issueLines(error))}`);
  return data;
}
