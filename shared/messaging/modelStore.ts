/** Routing models in NATS KV: each version under its own key, which of them is active, and the guards of their floors. */
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { z } from "zod";

import { issueLines } from "#shared/contracts/describeIssues.ts";
import { WatchedFloor } from "#shared/contracts/floorGuard.ts";
import { RoutingModelFile } from "#shared/contracts/routingModel.ts";

import { modelBucket } from "./topology.ts";

const ACTIVE = "active";
const keyOf = (version: string): string => `model.${version}`;
const floorKeyOf = (version: string): string => `floor.${version}`;

const Active = z.object({
  version: z.string(),
  /** Active before it, the latest last. */
  previous: z.array(z.string()),
  activated_at: z.iso.datetime(),
});
export type Active = z.infer<typeof Active>;

/** What is stored is no model: unlike an outage, this will not pass. */
export class UnreadableModel extends Error {
  override readonly name = "UnreadableModel";
}

export interface ModelStore {
  /** Idempotent: a version names its content. */
  put(model: RoutingModelFile): Promise<void>;
  /** `null` when there is no such version. Throws `UnreadableModel` for content that is none. */
  get(version: string): Promise<RoutingModelFile | null>;
  versions(): Promise<string[]>;
  active(): Promise<Active | null>;
  /** The version must be there, and may be the active one: that is an activation of its own. Throws when somebody else has activated one meanwhile. */
  activate(version: string): Promise<Active>;
  /** To what was active before; `null` when there is nothing. */
  rollback(): Promise<Active | null>;
  /** `null` before the first margin; also for what cannot be read, so that another guard can begin in its place. */
  floor(version: string): Promise<{ watched: WatchedFloor | null; revision: number }>;
  /** `false`: it was changed after that revision, and stays as it is. */
  putFloor(watched: WatchedFloor, revision: number): Promise<boolean>;
}

/** As many steps as can be taken back. */
const REMEMBERED = 20;
const LOST_RACE: readonly number[] = [JetStreamApiCodes.StreamWrongLastSequence, JetStreamApiCodes.StreamWrongLastSequenceUnknown];

export async function openModelStore(nats: NatsConnection, prefix: string): Promise<ModelStore> {
  const bucket = await new Kvm(nats).open(modelBucket(prefix).name);
  const read = async <S extends z.ZodType>(key: string, schema: S): Promise<{ value: z.infer<S> | null; revision: number }> => {
    const entry = await bucket.get(key);
    if (entry === null || entry.operation !== "PUT") return { value: null, revision: entry?.revision ?? 0 };
    try {
      return { value: schema.parse(entry.json()), revision: entry.revision };
    } catch (error) {
      throw new UnreadableModel(`${key} cannot be read: ${error instanceof z.ZodError ? (issueLines(error)[0] ?? "") : String(error)}`, { cause: error });
    }
  };
  const put = async (next: Omit<Active, "activated_at">, revision: number): Promise<Active> => {
    const value = { ...next, activated_at: new Date().toISOString() };
    await bucket.put(ACTIVE, JSON.stringify(value), { previousSeq: revision });
    return value;
  };
  return {
    async put(model) {
      await bucket.put(keyOf(model.version), JSON.stringify(model));
    },
    get: async (version) => (await read(keyOf(version), RoutingModelFile)).value,
    async versions() {
      const found: string[] = [];
      for await (const key of await bucket.keys("model.*")) found.push(key.slice("model.".length));
      return found.sort();
    },
    active: async () => (await read(ACTIVE, Active)).value,
    async activate(version) {
      const { value: before, revision } = await read(ACTIVE, Active);
      if (before === null || before.version === version) return put({ version, previous: before?.previous ?? [] }, revision);
      return put({ version, previous: [...before.previous, before.version].slice(-REMEMBERED) }, revision);
    },
    async rollback() {
      const { value: before, revision } = await read(ACTIVE, Active);
      const version = before?.previous.at(-1);
      return before === null || version === undefined ? null : put({ version, previous: before.previous.slice(0, -1) }, revision);
    },
    async floor(version) {
      const entry = await bucket.get(floorKeyOf(version));
      const revision = entry?.revision ?? 0;
      try {
        return { watched: entry?.operation === "PUT" ? WatchedFloor.parse(entry.json()) : null, revision };
      } catch {
        return { watched: null, revision };
      }
    },
    async putFloor(watched, revision) {
      try {
        await bucket.put(floorKeyOf(watched.version), JSON.stringify(watched), { previousSeq: revision });
        return true;
      } catch (error) {
        if (error instanceof JetStreamApiError && LOST_RACE.includes(error.code)) return false;
        throw error;
      }
    },
  };
}
