/** Routing models in NATS KV: each version under its own key, which of them is active, and the guards of their floors. */
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { z } from "zod";

import { inOneLine, issueLines } from "#shared/contracts/describeIssues.ts";
import { type StoredFloor, WatchedFloor } from "#shared/contracts/floorGuard.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { readModel } from "#shared/runtime/readModel.ts";

import { packedJson, unpackedJson } from "./storedJson.ts";
import type { StoredMessages } from "./storedMessages.ts";
import { keyIn, modelBucket, streamOfBucket } from "./topology.ts";

const ACTIVE = "active";
const keyOf = (version: string): string => `model.${version}`;
const floorKeyOf = (version: string): string => `floor.${version}`;

const Active = z.object({
  /** `null`: none, on purpose. That nothing was ever active, or the bucket was lost, is no entry at all. */
  version: z.string().nullable(),
  /** Active before it, the latest last. */
  previous: z.array(z.string().nullable()),
  activated_at: z.iso.datetime(),
});
export type Active = z.infer<typeof Active>;

/** What is stored is no model, or not the one that it is called: unlike an outage, this will not pass. */
export class UnreadableModel extends Error {
  override readonly name = "UnreadableModel";
}
/** A model that the server has no room for. */
export class ModelNotStored extends Error {
  override readonly name = "ModelNotStored";
  /** What a person can do. */
  readonly remedy: string;

  constructor(message: string, remedy: string, options?: ErrorOptions) {
    super(message, options);
    this.remedy = remedy;
  }
}

export interface ModelStore {
  /** Idempotent: a version names its content. Throws `ModelNotStored`. */
  put(model: RoutingModelFile): Promise<void>;
  /** `null` when there is no such version. Throws `UnreadableModel`. */
  get(version: string): Promise<RoutingModelFile | null>;
  versions(): Promise<string[]>;
  active(): Promise<Active | null>;
  /**
   * The version must be there, and may be the active one: that is an activation of its own, and takes a guard of its floor
   * that cannot be read away. Throws a lost race (`isLostRace`) when somebody else has activated one meanwhile.
   */
  activate(version: string): Promise<Active>;
  /** No model from now on; `rollback` takes it back. `null` when none was active. Throws as `activate` does. */
  deactivate(): Promise<Active | null>;
  /** To what was active before, which may be none; `null` when there is nothing. An activation as by `activate`. */
  rollback(): Promise<Active | null>;
  floor(version: string): Promise<{ watched: StoredFloor; revision: number }>;
  /** `false`: it was changed after that revision, and stays as it is. */
  putFloor(watched: WatchedFloor, revision: number): Promise<boolean>;
}

/** Without a consumer, for who may make none. A version that was taken out may be among them. */
export async function storedVersions(streams: Pick<StoredMessages, "subjects">, prefix: string): Promise<string[]> {
  const { name } = modelBucket(prefix);
  const subjects = await streams.subjects(streamOfBucket(name), keyIn(name, keyOf("*")));
  return subjects.map((subject) => subject.slice(keyIn(name, keyOf("")).length)).sort();
}

/** As many steps as can be taken back. */
const REMEMBERED = 20;
/** What a message has beside its body. */
const HEADER_ROOM_BYTES = 512;
const STREAM_IS_FULL = 10_077;
const LOST_RACE: readonly number[] = [JetStreamApiCodes.StreamWrongLastSequence, JetStreamApiCodes.StreamWrongLastSequenceUnknown];
/** Whether somebody else was first to change what a write was based on. */
export const isLostRace = (error: unknown): boolean => error instanceof JetStreamApiError && LOST_RACE.includes(error.code);

export async function openModelStore(nats: NatsConnection, prefix: string): Promise<ModelStore> {
  const { name } = modelBucket(prefix);
  const bucket = await new Kvm(nats).open(name);
  const stored = async (key: string): Promise<{ bytes: Uint8Array | null; revision: number }> => {
    const entry = await bucket.get(key);
    return { bytes: entry?.operation === "PUT" ? entry.value : null, revision: entry?.revision ?? 0 };
  };
  const readActive = async (): Promise<{ value: Active | null; revision: number }> => {
    const { bytes, revision } = await stored(ACTIVE);
    if (bytes === null) return { value: null, revision };
    const parsed = Active.safeParse(jsonOf(ACTIVE, bytes));
    if (!parsed.success) throw new UnreadableModel(`${ACTIVE} cannot be read: ${inOneLine(issueLines(parsed.error))}`);
    return { value: parsed.data, revision };
  };
  const put = async (next: Omit<Active, "activated_at">, revision: number): Promise<Active> => {
    const value = { ...next, activated_at: new Date().toISOString() };
    await bucket.put(ACTIVE, JSON.stringify(value), { previousSeq: revision });
    if (value.version !== null) await forgetUnreadable(value.version); // afterwards: a crash in between leaves it in doubt
    return value;
  };
  const floor = async (version: string): Promise<{ watched: StoredFloor; revision: number }> => {
    const { bytes, revision } = await stored(floorKeyOf(version));
    return { watched: bytes === null ? null : readFloor(version, bytes), revision };
  };
  const forgetUnreadable = async (version: string): Promise<void> => {
    const { watched, revision } = await floor(version);
    if (watched === "unreadable") await bucket.delete(floorKeyOf(version), { previousSeq: revision });
  };
  const follow = (before: Active, version: string | null, revision: number) => put({ version, previous: [...before.previous, before.version].slice(-REMEMBERED) }, revision);
  return {
    async put(model) {
      const bytes = packedJson(model);
      const mostBytes = (nats.info?.max_payload ?? Infinity) - HEADER_ROOM_BYTES;
      if (bytes.length > mostBytes) throw new ModelNotStored(`model ${model.version} has ${bytes.length} bytes, compressed, and the NATS server takes ${mostBytes}`, `Train for fewer tiers (inferctl train --tiers), or raise max_payload of the NATS server above ${bytes.length + HEADER_ROOM_BYTES} bytes.`);
      await bucket.put(keyOf(model.version), bytes).catch((error: unknown) => {
        if (!(error instanceof JetStreamApiError && error.code === STREAM_IS_FULL)) throw error;
        throw new ModelNotStored(`the bucket ${name} is full`, `Take out versions that nobody goes back to: nats kv del ${name} ${keyOf("<version>")}`, { cause: error });
      });
    },
    async get(version) {
      const key = keyOf(version);
      const { bytes } = await stored(key);
      if (bytes === null) return null;
      const read = readModel(jsonOf(key, bytes));
      if ("problems" in read) throw new UnreadableModel(`${key} cannot be read: ${inOneLine(read.problems)}`);
      if (read.model.version !== version) throw new UnreadableModel(`${key} holds another version: ${read.model.version}`);
      return read.model;
    },
    async versions() {
      const found: string[] = [];
      for await (const key of await bucket.keys("model.*")) found.push(key.slice("model.".length));
      return found.sort();
    },
    active: async () => (await readActive()).value,
    async activate(version) {
      const { value: before, revision } = await readActive();
      if (before === null || before.version === version) return put({ version, previous: before?.previous ?? [] }, revision);
      return follow(before, version, revision);
    },
    async deactivate() {
      const { value: before, revision } = await readActive();
      return before === null || before.version === null ? null : follow(before, null, revision);
    },
    async rollback() {
      const { value: before, revision } = await readActive();
      const version = before?.previous.at(-1);
      return before === null || version === undefined ? null : put({ version, previous: before.previous.slice(0, -1) }, revision);
    },
    floor,
    async putFloor(watched, revision) {
      try {
        await bucket.put(floorKeyOf(watched.version), JSON.stringify(watched), { previousSeq: revision });
        return true;
      } catch (error) {
        if (isLostRace(error)) return false;
        throw error;
      }
    },
  };
}

/** A guard of another version says nothing of this one either. */
function readFloor(version: string, bytes: Uint8Array): StoredFloor {
  try {
    const watched = WatchedFloor.parse(JSON.parse(new TextDecoder().decode(bytes)));
    return watched.version === version ? watched : "unreadable";
  } catch {
    return "unreadable";
  }
}

function jsonOf(key: string, bytes: Uint8Array): unknown {
  try {
    return unpackedJson(bytes);
  } catch (error) {
    throw new UnreadableModel(`${key} cannot be read: ${String(error)}`, { cause: error });
  }
}
